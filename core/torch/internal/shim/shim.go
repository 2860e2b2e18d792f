//go:build torch

package shim

// #cgo CFLAGS: -O3 -fopenmp-simd -fno-trapping-math -fno-math-errno -fno-signed-zeros
// #cgo CXXFLAGS: -DISLM_SHIM -O3 -fopenmp
// #cgo LDFLAGS: -ltorch -ltorch_cpu -lc10 -lstdc++ -lgomp -ldl -lm
// #include <stdlib.h>
// #include "shim.h"
// #include "kernels.h"
import "C"

import (
	"unsafe"
)

// Handle is a pointer to an at::Tensor, as in gotch.
type Handle = unsafe.Pointer

// MaskKey names one dropout mask; rows and elements complete it.
type MaskKey struct{ Seed, Stream, Step, Layer uint64 }

func text(e *C.char) string {
	if e == nil {
		return ""
	}
	s := C.GoString(e)
	C.free(unsafe.Pointer(e))
	if s == "" {
		return "unknown error"
	}
	return s
}

func dims(shape []int64) *C.int64_t {
	if len(shape) == 0 {
		return nil
	}
	return (*C.int64_t)(unsafe.Pointer(&shape[0]))
}

func handles(ts []Handle) *unsafe.Pointer {
	if len(ts) == 0 {
		return nil
	}
	return &ts[0]
}

func flag(b bool) C.int {
	if b {
		return 1
	}
	return 0
}

func maskKey(k MaskKey) C.islm_mask_key {
	return C.islm_mask_key{seed: C.uint64_t(k.Seed), stream: C.uint64_t(k.Stream), step: C.uint64_t(k.Step), layer: C.uint64_t(k.Layer)}
}

func ClaimThread(own bool) { C.islm_claim_thread(flag(own)) }
func OwnsThread() bool     { return C.islm_owns_thread() != 0 }
func FreeMany(ts []Handle) {
	if len(ts) > 0 {
		C.islm_free_many(&ts[0], C.int64_t(len(ts)))
	}
}
func TuneMalloc()                { C.islm_tune_malloc() }
func TrimMalloc()                { C.islm_trim_malloc() }
func NumThreads() int            { return int(C.islm_num_threads()) }
func SetNumThreads(n int) string { return text(C.islm_set_num_threads(C.int(n))) }
func Version() string            { return text(C.islm_version()) }
func CPUCapability() string      { return text(C.islm_cpu_capability()) }

// Info is what islm_info reports in one call.
type Info struct {
	Shape                            []int64
	DType, Device                    int
	RequiresGrad, Contiguous, IsLeaf bool
	Defined                          bool
}

func InfoOf(t Handle) Info {
	var shape [16]C.int64_t
	var ndim, dtype, device, flags C.int
	C.islm_info(t, &shape[0], &ndim, &dtype, &device, &flags)
	if ndim < 0 {
		return Info{}
	}
	out := Info{Shape: make([]int64, ndim), DType: int(dtype), Device: int(device), Defined: true,
		RequiresGrad: flags&1 != 0, Contiguous: flags&2 != 0, IsLeaf: flags&4 != 0}
	for i := range out.Shape {
		out.Shape[i] = int64(shape[i])
	}
	return out
}

func FromData(out *Handle, data unsafe.Pointer, bytes int64, shape []int64, dtype int) string {
	return text(C.islm_from_data(out, data, C.int64_t(bytes), dims(shape), C.int(len(shape)), C.int(dtype)))
}
func Full(out *Handle, v float64, shape []int64, dtype, device int) string {
	return text(C.islm_full(out, C.double(v), dims(shape), C.int(len(shape)), C.int(dtype), C.int(device)))
}
func Arange(out *Handle, n int64, device int) string {
	return text(C.islm_arange(out, C.int64_t(n), C.int(device)))
}
func Read(t Handle, dst unsafe.Pointer, bytes int64, dtype int) string {
	return text(C.islm_read(t, dst, C.int64_t(bytes), C.int(dtype)))
}
func Item(t Handle) (float64, string) {
	var v C.double
	e := text(C.islm_item(t, &v))
	return float64(v), e
}
func To(out *Handle, t Handle, dtype, device int) string {
	return text(C.islm_to(out, t, C.int(dtype), C.int(device)))
}
func CopyInto(dst, src Handle) string { return text(C.islm_copy_into(dst, src)) }
func AddInto(dst, src Handle, alpha float64) string {
	return text(C.islm_add_into(dst, src, C.double(alpha)))
}
func ScaleInto(dst Handle, f float64) string { return text(C.islm_scale_into(dst, C.double(f))) }
func FillInto(dst Handle, v float64) string  { return text(C.islm_fill_into(dst, C.double(v))) }
func Clone(out *Handle, t Handle) string     { return text(C.islm_clone(out, t)) }
func SameStorage(a, b Handle) (bool, string) {
	var same C.int
	e := text(C.islm_same_storage(a, b, &same))
	return same != 0, e
}

func Gelu(out *Handle, x Handle, tanh bool) string { return text(C.islm_gelu(out, x, flag(tanh))) }
func Clamp(out *Handle, x Handle, lo, hi float64) string {
	return text(C.islm_clamp(out, x, C.double(lo), C.double(hi)))
}
func ScalarOp(out *Handle, op int, x Handle, v float64) string {
	return text(C.islm_scalar_op(out, C.int(op), x, C.double(v)))
}
func VectorNorm(out *Handle, x Handle, p float64, dim int64, keep bool) string {
	return text(C.islm_vector_norm(out, x, C.double(p), C.int64_t(dim), flag(keep)))
}
func SDPA(out *Handle, q, k, v, mask Handle, scale float64) string {
	return text(C.islm_sdpa(out, q, k, v, mask, C.double(scale)))
}
func RMSNorm(out *Handle, x, w Handle, eps float64) string {
	return text(C.islm_rms_norm(out, x, w, C.double(eps)))
}
func Split(out []Handle, x Handle, size, dim int64) string {
	return text(C.islm_split(&out[0], C.int(len(out)), x, C.int64_t(size), C.int64_t(dim)))
}

func Linear(out *Handle, x, w, b Handle) string { return text(C.islm_linear(out, x, w, b)) }
func MatMul(out *Handle, x, y Handle) string    { return text(C.islm_matmul(out, x, y)) }

func Embedding(out *Handle, w, ids Handle) string { return text(C.islm_embedding(out, w, ids)) }

func GradEnabled() bool      { return C.islm_grad_enabled() != 0 }
func SetGradEnabled(on bool) { C.islm_set_grad_enabled(flag(on)) }
func SetRequiresGrad(t Handle, on bool) string {
	return text(C.islm_set_requires_grad(t, flag(on)))
}
func Backward(loss, grad Handle) string { return text(C.islm_backward(loss, grad)) }
func Grad(t Handle, out *Handle) string { return text(C.islm_grad(t, out)) }
func SetGrad(t, grad Handle) string     { return text(C.islm_set_grad(t, grad)) }
func ClearGrads(ts []Handle) string     { return text(C.islm_clear_grads(handles(ts), C.int(len(ts)))) }
func AutocastClear()                    { C.islm_autocast_clear() }
func AutocastSet(device int, on bool, dtype int) (wasOn bool, wasDType int, err string) {
	var a, b C.int
	e := text(C.islm_autocast_set(C.int(device), flag(on), C.int(dtype), &a, &b))
	return a != 0, int(b), e
}

func AdamStep(decoupled bool, params, m, v, steps []Handle, lr, beta1, beta2, wd, eps float64) string {
	return text(C.islm_adam_step(flag(decoupled), handles(params), handles(m), handles(v), handles(steps), C.int(len(params)),
		C.double(lr), C.double(beta1), C.double(beta2), C.double(wd), C.double(eps)))
}
func SGDStep(params, bufs []Handle, first []byte, lr, momentum, wd float64, nesterov bool) string {
	var f *C.uint8_t
	if len(first) > 0 {
		f = (*C.uint8_t)(unsafe.Pointer(&first[0]))
	}
	return text(C.islm_sgd_step(handles(params), handles(bufs), f, C.int(len(params)), C.double(lr), C.double(momentum), C.double(wd), flag(nesterov)))
}
func GradNorm(params []Handle) (float64, string) {
	var n C.double
	e := text(C.islm_grad_norm(handles(params), C.int(len(params)), &n))
	return float64(n), e
}
func ClipGradNorm(params []Handle, limit float64) (float64, string) {
	var n C.double
	e := text(C.islm_clip_grad_norm(handles(params), C.int(len(params)), C.double(limit), &n))
	return float64(n), e
}

// UseKernels chooses an instruction set for tests; it says whether the processor has it.
func UseKernels(name string) bool {
	c := C.CString(name)
	defer C.free(unsafe.Pointer(c))
	return C.islm_use_kernels(c) != 0
}

func PhiloxBlock(ctr [4]uint32, key [2]uint32) (out [4]uint32) {
	C.islm_philox_block((*C.uint32_t)(unsafe.Pointer(&ctr[0])), (*C.uint32_t)(unsafe.Pointer(&key[0])), (*C.uint32_t)(unsafe.Pointer(&out[0])))
	return out
}
func InitNormal(t Handle, seed, name uint64, mean, std float64) string {
	return text(C.islm_init_normal(t, C.uint64_t(seed), C.uint64_t(name), C.double(mean), C.double(std)))
}
func InitUniform(t Handle, seed, name uint64, lo, hi float64) string {
	return text(C.islm_init_uniform(t, C.uint64_t(seed), C.uint64_t(name), C.double(lo), C.double(hi)))
}
func Dropout(out *Handle, x Handle, p float64, key MaskKey, rows Handle) string {
	k := maskKey(key)
	return text(C.islm_dropout(out, x, C.double(p), &k, rows))
}
func Attention(out *Handle, q, k, v, mask Handle, scale, p float64, key MaskKey, rows Handle) string {
	mk := maskKey(key)
	return text(C.islm_attention(out, q, k, v, mask, C.double(scale), C.double(p), &mk, rows))
}
func AddNorm(out, narrow *Handle, x, residual, w, b Handle, eps, p float64, key MaskKey, rows Handle) string {
	k := maskKey(key)
	return text(C.islm_add_norm(out, narrow, x, residual, w, b, C.double(eps), C.double(p), &k, rows))
}
func Viterbi(out *Handle, scores, mask, start, end, trans Handle) string {
	return text(C.islm_viterbi(out, scores, mask, start, end, trans))
}

func CUDAOpen() string { return text(C.islm_cuda_open()) }
func CUDACount() int   { return int(C.islm_cuda_count()) }
func CUDADescribe(i int) (name string, total, free int64, err string) {
	var n *C.char
	var t, f C.int64_t
	if e := text(C.islm_cuda_name(C.int(i), &n, &t, &f)); e != "" {
		return "", 0, 0, e
	}
	return text(n), int64(t), int64(f), ""
}
func CUDASync(i int) string { return text(C.islm_cuda_sync(C.int(i))) }

// TakeString copies a message that gotch left and frees it.
func TakeString(p unsafe.Pointer) string { return text((*C.char)(p)) }
