// C interface of the shim. Every function that can fail returns NULL or a
// message that the caller frees. A tensor is an at::Tensor*.
#pragma once
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif
#define islm_tensor void * // cgo then sees unsafe.Pointer, which is what gotch holds

// Thread, memory, build.
void islm_claim_thread(int own);
int islm_owns_thread(void);
void islm_free_many(void **ts, int64_t n);
void islm_tune_malloc(void);
void islm_trim_malloc(void);
int islm_num_threads(void);
char *islm_set_num_threads(int n);
char *islm_version(void);
char *islm_cpu_capability(void);

// Metadata and data.
void islm_info(islm_tensor t, int64_t *shape, int *ndim, int *dtype, int *device, int *flags);
char *islm_from_data(islm_tensor *out, const void *data, int64_t nbytes, const int64_t *shape, int ndim, int dtype);
char *islm_full(islm_tensor *out, double value, const int64_t *shape, int ndim, int dtype, int device);
char *islm_arange(islm_tensor *out, int64_t n, int device);
char *islm_read(islm_tensor t, void *dst, int64_t nbytes, int dtype);
char *islm_item(islm_tensor t, double *out);
char *islm_to(islm_tensor *out, islm_tensor t, int dtype, int device);
char *islm_copy_into(islm_tensor dst, islm_tensor src);
char *islm_add_into(islm_tensor dst, islm_tensor src, double alpha);
char *islm_scale_into(islm_tensor dst, double factor);
char *islm_fill_into(islm_tensor dst, double value);
char *islm_clone(islm_tensor *out, islm_tensor t);
char *islm_same_storage(islm_tensor a, islm_tensor b, int *same);

// Ops that gotch lacks, leaks in, or binds to an older argument list.
char *islm_gelu(islm_tensor *out, islm_tensor x, int tanh_form);
char *islm_clamp(islm_tensor *out, islm_tensor x, double lo, double hi);
char *islm_scalar_op(islm_tensor *out, int op, islm_tensor x, double v);
char *islm_vector_norm(islm_tensor *out, islm_tensor x, double p, int64_t dim, int keep);
char *islm_sdpa(islm_tensor *out, islm_tensor q, islm_tensor k, islm_tensor v, islm_tensor mask, double scale);
char *islm_rms_norm(islm_tensor *out, islm_tensor x, islm_tensor w, double eps);
char *islm_split(islm_tensor *out, int n, islm_tensor x, int64_t size, int64_t dim);

// Products; in float32 on the CPU by the faster of libtorch's libraries: see linear.h.
char *islm_linear(islm_tensor *out, islm_tensor x, islm_tensor w, islm_tensor b);
char *islm_matmul(islm_tensor *out, islm_tensor x, islm_tensor y);

// Rows of w by ids. The gradient of a large table is kept by rows: see rows.h.
char *islm_embedding(islm_tensor *out, islm_tensor w, islm_tensor ids);

// Autograd and autocast.
int islm_grad_enabled(void);
void islm_set_grad_enabled(int on);
char *islm_set_requires_grad(islm_tensor t, int on);
char *islm_backward(islm_tensor loss, islm_tensor grad);
char *islm_grad(islm_tensor t, islm_tensor *out);
char *islm_set_grad(islm_tensor t, islm_tensor grad);
char *islm_clear_grads(void **ts, int n);
char *islm_autocast_set(int device, int on, int dtype, int *was_on, int *was_dtype);
void islm_autocast_clear(void);

// Optimizers. Lists hold n tensors each; params without gradient must be left out by the caller.
char *islm_adam_step(int decoupled, void **params, void **m, void **v, void **steps, int n,
                     double lr, double beta1, double beta2, double wd, double eps);
char *islm_sgd_step(void **params, void **bufs, uint8_t *first, int n, double lr, double momentum, double wd, int nesterov);
char *islm_grad_norm(void **params, int n, double *norm);
char *islm_clip_grad_norm(void **params, int n, double max_norm, double *norm);

// Philox4x32-10.
void islm_philox_block(const uint32_t *ctr, const uint32_t *key, uint32_t *out);
char *islm_init_normal(islm_tensor t, uint64_t seed, uint64_t name, double mean, double std);
char *islm_init_uniform(islm_tensor t, uint64_t seed, uint64_t name, double lo, double hi);
typedef struct {
  uint64_t seed, stream, step, layer;
} islm_mask_key;
// x [B, ...]; rows int64 [B] on the CPU; one run of elements per row.
char *islm_dropout(islm_tensor *out, islm_tensor x, double p, const islm_mask_key *key, islm_tensor rows);
// q, k, v [B, H, S, D]; mask NULL, or additive float, broadcastable to [B, 1, 1, S].
char *islm_attention(islm_tensor *out, islm_tensor q, islm_tensor k, islm_tensor v, islm_tensor mask, double scale,
                     double p, const islm_mask_key *key, islm_tensor rows);
// layer_norm(residual + dropout(x)) over the last dimension; narrow is the same in x's type where that is narrower,
// else NULL.
char *islm_add_norm(islm_tensor *out, islm_tensor *narrow, islm_tensor x, islm_tensor residual, islm_tensor w, islm_tensor b,
                    double eps, double p, const islm_mask_key *key, islm_tensor rows);

// Linear-chain CRF. scores [B, T, K] float; tags, mask [B, T]; start, end [K]; trans [K, K] (from, to).
char *islm_viterbi(islm_tensor *out, islm_tensor scores, islm_tensor mask, islm_tensor start, islm_tensor end, islm_tensor trans);

// CUDA, opened at run time.
char *islm_cuda_open(void);
int islm_cuda_count(void);
char *islm_cuda_name(int index, char **name, int64_t *total, int64_t *free_bytes);
char *islm_cuda_sync(int index);
#ifdef __cplusplus
}
#endif
