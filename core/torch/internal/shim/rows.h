// Embedding tables whose gradient has few rows that are not zero. The gradient
// stays an ordinary dense tensor, in a buffer that is kept between steps; beside
// it stands the list of rows that were written, so that clearing, measuring,
// clipping and Adam need not pass over the rest.
#pragma once
#include <ATen/ATen.h>

#include <vector>

struct islm_rows {
  at::Tensor buffer;           // [n, h], zero outside the listed rows
  std::vector<int64_t> list;   // rows written since the buffer was clean
  std::vector<uint8_t> listed; // the same as flags
  uint64_t version = 0;        // of the buffer after our last write; another one means that somebody else wrote
};

at::Tensor islm_rows_embedding(const at::Tensor &w, const at::Tensor &ids);
// The rows of p's gradient, or nullptr when it is an ordinary one.
islm_rows *islm_rows_of(const at::Tensor &p);
double islm_rows_norm(const islm_rows &r);
void islm_rows_scale(islm_rows &r, float factor);
// Somebody else writes the moments of which m is the first: which rows have none
// is looked up anew.
void islm_rows_forget(const at::Tensor &m);
// One step of AdamW (or of Adam without weight decay) with step count t.
void islm_rows_adam(const at::Tensor &p, const at::Tensor &m, const at::Tensor &v, const islm_rows &r, double t, double lr, double beta1,
                    double beta2, double wd, double eps);
