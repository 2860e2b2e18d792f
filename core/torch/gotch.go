//go:build torch

package torch

import (
	"unsafe"

	"github.com/islm-dev/islm/core/torch/internal/shim"
	"github.com/sugarme/gotch/libtch"
)

// The few lines through which every gotch operator goes.

type handle = libtch.Ctensor

// gotch runs an operator that writes one handle.
func gotch(op string, f func(out *handle), operands ...*Tensor) *Tensor {
	for _, t := range operands {
		if !t.Defined() {
			fail(op, "an operand is nil or was freed", operands...)
		}
	}
	var c handle
	f(&c)
	check(op, operands...)
	return wrap(op, shim.Handle(c))
}

// gotch2 runs an operator that writes two handles.
func gotch2(op string, f func(out *handle), operands ...*Tensor) (*Tensor, *Tensor) {
	for _, t := range operands {
		if !t.Defined() {
			fail(op, "an operand is nil or was freed", operands...)
		}
	}
	var c [2]handle
	f(&c[0])
	check(op, operands...)
	return wrap(op, shim.Handle(c[0])), wrap(op, shim.Handle(c[1]))
}

func unary(op string, f func(out *handle, x handle), x *Tensor) *Tensor {
	return gotch(op, func(out *handle) { f(out, handle(x.c)) }, x)
}

func binary(op string, f func(out *handle, x, y handle), x, y *Tensor) *Tensor {
	return gotch(op, func(out *handle) { f(out, handle(x.c), handle(y.c)) }, x, y)
}

// check turns the thread's last error into a panic.
func check(op string, operands ...*Tensor) {
	if p := libtch.GetAndResetLastErr(); p != nil {
		fail(op, shim.TakeString(unsafe.Pointer(p)), operands...)
	}
}

func handlesOf(op string, ts []*Tensor) []handle {
	out := make([]handle, len(ts))
	for i, t := range ts {
		out[i] = handle(t.h(op))
	}
	return out
}

// Empty lists must not be indexed by gotch's wrappers.
func list(v []int64) []int64 {
	if len(v) == 0 {
		return []int64{0}
	}
	return v
}

func cflag(b bool) int32 {
	if b {
		return 1
	}
	return 0
}
