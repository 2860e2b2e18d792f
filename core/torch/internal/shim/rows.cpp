//go:build torch

#include "rows.h"

#include <ATen/Parallel.h>
#include <torch/torch.h>

#include <cmath>
#include <cstring>
#include <unordered_map>

#include "kernels.h"

namespace {
using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// A table below this size is not worth the bookkeeping.
constexpr int64_t kSmallest = 1 << 20;

// Facts about a tensor, kept as long as it lives. The weak pointer also keeps
// its address from being used again.
template <class V> class Facts {
public:
  V *find(const Tensor &t) {
    auto it = map_.find(t.unsafeGetTensorImpl());
    return it == map_.end() ? nullptr : &it->second.value;
  }
  V &make(const Tensor &t) {
    for (auto it = map_.begin(); it != map_.end();) it = it->second.alive.expired() ? map_.erase(it) : std::next(it);
    auto [it, fresh] = map_.try_emplace(t.unsafeGetTensorImpl(), Item{c10::weak_intrusive_ptr<c10::TensorImpl>(t.getIntrusivePtr()), V{}});
    return it->second.value;
  }

private:
  struct Item {
    c10::weak_intrusive_ptr<c10::TensorImpl> alive;
    V value;
  };
  std::unordered_map<c10::TensorImpl *, Item> map_;
};

// Touched by the owning thread only, as everything of libtorch here.
Facts<islm_rows> gradients;                // by weight
Facts<std::vector<uint8_t>> used_by_adam; // by exp_avg: rows whose moments are not zero

void clean(islm_rows &r) {
  int64_t h = r.buffer.size(1);
  float *p = r.buffer.data_ptr<float>();
  if (r.buffer._version() != static_cast<int64_t>(r.version)) {
    r.buffer.zero_();
  } else {
    for (int64_t row : r.list) std::memset(p + row * h, 0, h * sizeof(float));
  }
  for (int64_t row : r.list) r.listed[row] = 0;
  r.list.clear();
  r.version = r.buffer._version();
}

// Adds the rows of g to out; every row in the order of its positions, whatever
// the number of threads.
void add_rows(float *out, const int64_t *ids, const float *g, int64_t n, int64_t h) {
  int64_t parts = at::get_num_threads();
  at::parallel_for(0, parts, 1, [&](int64_t from, int64_t to) {
    for (int64_t part = from; part < to; part++)
      for (int64_t i = 0; i < n; i++) {
        if (ids[i] % parts != part) continue;
        float *o = out + ids[i] * h;
        const float *x = g + i * h;
        for (int64_t j = 0; j < h; j++) o[j] += x[j];
      }
  });
}

struct RowsFn : public torch::autograd::Function<RowsFn> {
  static Tensor forward(AutogradContext *ctx, const Tensor &w, const Tensor &ids) {
    ctx->save_for_backward({w, ids});
    return at::embedding(w, ids);
  }
  // Writes the gradient of the table itself and hands nothing on.
  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    auto saved = ctx->get_saved_variables();
    Tensor w = saved[0], ids = saved[1].to(at::kLong).contiguous();
    Tensor g = grads[0].to(at::kFloat).contiguous();
    int64_t n = ids.numel(), h = w.size(1);
    const int64_t *ip = ids.data_ptr<int64_t>();
    islm_rows &r = gradients.make(w);
    if (!r.buffer.defined()) {
      r.buffer = at::zeros(w.sizes(), at::kFloat);
      r.listed.assign(w.size(0), 0);
      r.version = r.buffer._version();
    }
    Tensor &grad = w.mutable_grad();
    if (!grad.defined()) {
      clean(r);
      grad = r.buffer;
    }
    if (grad.unsafeGetTensorImpl() == r.buffer.unsafeGetTensorImpl()) {
      for (int64_t i = 0; i < n; i++)
        if (!r.listed[ip[i]]) r.listed[ip[i]] = 1, r.list.push_back(ip[i]);
      add_rows(r.buffer.data_ptr<float>(), ip, g.data_ptr<float>(), n, h);
    } else {
      grad.index_add_(0, ids.view(-1), g.view({n, h}).to(grad.scalar_type()));
    }
    return {Tensor(), Tensor()};
  }
};
} // namespace

Tensor islm_rows_embedding(const Tensor &w, const Tensor &ids) {
  bool fits = at::GradMode::is_enabled() && w.requires_grad() && w.is_leaf() && w.is_cpu() && w.scalar_type() == at::kFloat && w.dim() == 2 &&
              w.is_contiguous() && w.numel() >= kSmallest;
  return fits ? RowsFn::apply(w, ids) : at::embedding(w, ids);
}

islm_rows *islm_rows_of(const Tensor &p) {
  const Tensor &g = p.grad();
  islm_rows *r = g.defined() ? gradients.find(p) : nullptr;
  if (!r || !r->buffer.defined() || g.unsafeGetTensorImpl() != r->buffer.unsafeGetTensorImpl()) return nullptr;
  return r->buffer._version() == static_cast<int64_t>(r->version) ? r : nullptr;
}

double islm_rows_norm(const islm_rows &r) {
  int64_t h = r.buffer.size(1), n = static_cast<int64_t>(r.list.size());
  const float *p = r.buffer.data_ptr<float>();
  std::vector<double> sums(n);
  at::parallel_for(0, n, 64, [&](int64_t from, int64_t to) {
    for (int64_t i = from; i < to; i++) sums[i] = islm_pick_kernels()->squares(p + r.list[i] * h, h);
  });
  double total = 0;
  for (double s : sums) total += s;
  return std::sqrt(total);
}

void islm_rows_scale(islm_rows &r, float factor) {
  int64_t h = r.buffer.size(1);
  float *p = r.buffer.data_ptr<float>();
  at::parallel_for(0, static_cast<int64_t>(r.list.size()), 64, [&](int64_t from, int64_t to) {
    for (int64_t i = from; i < to; i++)
      for (int64_t j = 0; j < h; j++) p[r.list[i] * h + j] *= factor;
  });
}

void islm_rows_forget(const Tensor &m) {
  if (auto *used = used_by_adam.find(m)) used->clear();
}

void islm_rows_adam(const Tensor &p, const Tensor &m, const Tensor &v, const islm_rows &r, double t, double lr, double beta1, double beta2,
                    double wd, double eps) {
  int64_t n = p.size(0), h = p.size(1);
  float *pp = p.data_ptr<float>(), *mp = m.data_ptr<float>(), *vp = v.data_ptr<float>();
  const float *gp = r.buffer.data_ptr<float>();
  std::vector<uint8_t> *found = used_by_adam.find(m), &used = found ? *found : used_by_adam.make(m);
  if (static_cast<int64_t>(used.size()) != n) {
    used.assign(n, 0);
    at::parallel_for(0, n, 256, [&](int64_t from, int64_t to) {
      for (int64_t i = from; i < to; i++)
        for (int64_t j = 0; j < h && !used[i]; j++) used[i] = mp[i * h + j] != 0.0f || vp[i * h + j] != 0.0f;
    });
  }
  for (int64_t row : r.list) used[row] = 1;
  float decay = static_cast<float>(1.0 - lr * wd), w1 = static_cast<float>(1.0 - beta1), b2 = static_cast<float>(beta2),
        w2 = static_cast<float>(1.0 - beta2), size = static_cast<float>(lr / (1.0 - std::pow(beta1, t))),
        root = static_cast<float>(std::sqrt(1.0 - std::pow(beta2, t)));
  at::parallel_for(0, n, 256, [&](int64_t from, int64_t to) {
    for (int64_t i = from; i < to; i++) {
      int64_t at = i * h;
      if (used[i]) {
        islm_pick_kernels()->adam(pp + at, mp + at, vp + at, r.listed[i] ? gp + at : nullptr, h, decay, w1, b2, w2, size, root, (float)eps);
      } else if (wd != 0) {
        for (int64_t j = 0; j < h; j++) pp[at + j] *= decay;
      }
    }
  });
}
