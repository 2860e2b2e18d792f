// Package shim is the C++ that stands beside gotch: metadata and copies in one
// call, autograd and autocast switches, optimizers, the Philox generator and
// the fused kernels that use it. Handles are the same as gotch's: a pointer to
// an at::Tensor on the C++ heap. Nothing here is safe for more than one thread.
//
// Only core/torch imports it.
package shim
