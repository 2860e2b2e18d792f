//go:build torch

package torch

import (
	"fmt"
	"unsafe"

	"github.com/islm-dev/islm/core/torch/internal/shim"
	"github.com/sugarme/gotch/libtch"
)

// Tensor is a handle on a libtorch tensor. Handles are cheap; views share
// storage with what they were made from.
type Tensor struct {
	c     shim.Handle
	scope *Scope
	slot  int
}

// DType is the type of a tensor's elements; the values are libtorch's.
type DType int

const (
	Uint8    DType = 0
	Int8     DType = 1
	Int16    DType = 2
	Int32    DType = 3
	Int64    DType = 4
	Float16  DType = 5
	Float32  DType = 6
	Float64  DType = 7
	Bool     DType = 11
	BFloat16 DType = 15
)

// String is PyTorch's name of the type.
func (d DType) String() string {
	switch d {
	case Uint8:
		return "uint8"
	case Int8:
		return "int8"
	case Int16:
		return "int16"
	case Int32:
		return "int32"
	case Int64:
		return "int64"
	case Float16:
		return "float16"
	case Float32:
		return "float32"
	case Float64:
		return "float64"
	case Bool:
		return "bool"
	case BFloat16:
		return "bfloat16"
	}
	return fmt.Sprintf("dtype(%d)", int(d))
}

// Size is the number of bytes of one element.
func (d DType) Size() int {
	switch d {
	case Uint8, Int8, Bool:
		return 1
	case Int16, Float16, BFloat16:
		return 2
	case Int32, Float32:
		return 4
	}
	return 8
}

// IsFloat says whether elements are floating point numbers.
func (d DType) IsFloat() bool {
	return d == Float16 || d == BFloat16 || d == Float32 || d == Float64
}

// FromFloat32 copies data into a float32 tensor on the CPU.
func FromFloat32(data []float32, shape ...int64) *Tensor { return from(data, Float32, shape) }

// FromFloat64 copies data into a float64 tensor on the CPU.
func FromFloat64(data []float64, shape ...int64) *Tensor { return from(data, Float64, shape) }

// FromInt64 copies data into an int64 tensor on the CPU.
func FromInt64(data []int64, shape ...int64) *Tensor { return from(data, Int64, shape) }

// FromInt32 copies data into an int32 tensor on the CPU.
func FromInt32(data []int32, shape ...int64) *Tensor { return from(data, Int32, shape) }

// FromBool copies data into a bool tensor on the CPU.
func FromBool(data []bool, shape ...int64) *Tensor { return from(data, Bool, shape) }

// FromBytes copies raw little-endian elements into a tensor on the CPU, in
// libtorch's aligned memory.
func FromBytes(data []byte, dtype DType, shape ...int64) *Tensor { return from(data, dtype, shape) }

func from[E any](data []E, dtype DType, shape []int64) *Tensor {
	var zero E
	n := int64(len(data)) * int64(unsafe.Sizeof(zero))
	return call("from_data", func(out *shim.Handle) string {
		return shim.FromData(out, unsafe.Pointer(unsafe.SliceData(data)), n, shape, int(dtype))
	})
}

// Full makes a tensor of one value.
func Full(v float64, dtype DType, device Device, shape ...int64) *Tensor {
	return call("full", func(out *shim.Handle) string { return shim.Full(out, v, shape, int(dtype), int(device)) })
}

// Zeros makes a tensor of zeros.
func Zeros(dtype DType, device Device, shape ...int64) *Tensor {
	return Full(0, dtype, device, shape...)
}

// Ones makes a tensor of ones.
func Ones(dtype DType, device Device, shape ...int64) *Tensor {
	return Full(1, dtype, device, shape...)
}

// Arange is the int64 tensor 0, 1, …, n-1.
func Arange(n int64, device Device) *Tensor {
	return call("arange", func(out *shim.Handle) string { return shim.Arange(out, n, int(device)) })
}

// ZerosLike has x's shape, type and device.
func ZerosLike(x *Tensor) *Tensor {
	i := x.info("zeros_like")
	return Full(0, DType(i.DType), Device(i.Device), i.Shape...)
}

// Defined says whether t still has a value.
func (t *Tensor) Defined() bool { return t != nil && t.c != nil }

// Shape is the size of each dimension; none for a scalar.
func (t *Tensor) Shape() []int64 { return t.info("shape").Shape }

// Dim is the number of dimensions.
func (t *Tensor) Dim() int { return len(t.info("dim").Shape) }

// Size is the size of dimension d; negative d counts from the end.
func (t *Tensor) Size(d int) int64 {
	s := t.info("size").Shape
	if d < 0 {
		d += len(s)
	}
	if d < 0 || d >= len(s) {
		fail("size", fmt.Sprintf("dimension %d is out of range", d), t)
	}
	return s[d]
}

// Numel is the number of elements.
func (t *Tensor) Numel() int64 {
	n := int64(1)
	for _, d := range t.info("numel").Shape {
		n *= d
	}
	return n
}

// DType is the type of the elements.
func (t *Tensor) DType() DType { return DType(t.info("dtype").DType) }

// Device is where the elements lie.
func (t *Tensor) Device() Device { return Device(t.info("device").Device) }

// IsContiguous says whether elements lie in row-major order without gaps.
func (t *Tensor) IsContiguous() bool { return t.info("is_contiguous").Contiguous }

// Float32s copies the elements out in row-major order, converted.
func (t *Tensor) Float32s() []float32 { return read[float32](t, Float32) }

// Float64s copies the elements out in row-major order, converted.
func (t *Tensor) Float64s() []float64 { return read[float64](t, Float64) }

// Int64s copies the elements out in row-major order, converted (floats are cut).
func (t *Tensor) Int64s() []int64 { return read[int64](t, Int64) }

// Int32s copies the elements out in row-major order, converted (floats are cut).
func (t *Tensor) Int32s() []int32 { return read[int32](t, Int32) }

// Bools copies the elements out in row-major order; non-zero is true.
func (t *Tensor) Bools() []bool { return read[bool](t, Bool) }

// Bytes copies the raw elements out, little-endian, in row-major order.
func (t *Tensor) Bytes() []byte {
	d := t.DType()
	out := make([]byte, t.Numel()*int64(d.Size()))
	if e := shim.Read(t.h("read"), unsafe.Pointer(unsafe.SliceData(out)), int64(len(out)), int(d)); e != "" {
		fail("read", e, t)
	}
	return out
}

func read[E any](t *Tensor, d DType) []E {
	out := make([]E, t.Numel())
	if e := shim.Read(t.h("read"), unsafe.Pointer(unsafe.SliceData(out)), int64(len(out)*d.Size()), int(d)); e != "" {
		fail("read", e, t)
	}
	return out
}

// Item is the value of a tensor with one element.
func (t *Tensor) Item() float64 {
	v, e := shim.Item(t.h("item"))
	if e != "" {
		fail("item", e, t)
	}
	return v
}

// To converts and moves; when nothing changes, the result shares storage.
// Gradients flow back through it.
func (t *Tensor) To(dtype DType, device Device) *Tensor {
	return call("to", func(out *shim.Handle) string { return shim.To(out, t.c, int(dtype), int(device)) }, t)
}

// ToDType converts on the same device.
func (t *Tensor) ToDType(dtype DType) *Tensor { return t.To(dtype, t.Device()) }

// ToDevice moves with the same type.
func (t *Tensor) ToDevice(device Device) *Tensor { return t.To(t.DType(), device) }

// Clone copies the elements; gradients flow back through it.
func (t *Tensor) Clone() *Tensor {
	return call("clone", func(out *shim.Handle) string { return shim.Clone(out, t.c) }, t)
}

// Contiguous is t itself or a copy in row-major order.
func (t *Tensor) Contiguous() *Tensor { return unary("contiguous", libtch.AtgContiguous, t) }

// Alias is a second handle on the same tensor, with its own owner.
func (t *Tensor) Alias() *Tensor { return unary("alias", libtch.AtgAlias, t) }

// Free ends the handle now, whoever owns it. Freeing twice does nothing.
func (t *Tensor) Free() {
	if t == nil || t.c == nil {
		return
	}
	if t.scope != nil {
		t.scope.remove(t)
	}
	shim.FreeMany([]shim.Handle{t.c})
	t.c = nil
	owner.live--
}

// CopyFrom overwrites t with src, converted and broadcast. For leaves that
// require gradients call it inside NoGrad.
func (t *Tensor) CopyFrom(src *Tensor) {
	if e := shim.CopyInto(t.h("copy_"), src.h("copy_")); e != "" {
		fail("copy_", e, t, src)
	}
}

// AddInPlace adds alpha*src to t.
func (t *Tensor) AddInPlace(src *Tensor, alpha float64) {
	if e := shim.AddInto(t.h("add_"), src.h("add_"), alpha); e != "" {
		fail("add_", e, t, src)
	}
}

// ScaleInPlace multiplies t by f.
func (t *Tensor) ScaleInPlace(f float64) {
	if e := shim.ScaleInto(t.h("mul_"), f); e != "" {
		fail("mul_", e, t)
	}
}

// FillInPlace sets every element to v.
func (t *Tensor) FillInPlace(v float64) {
	if e := shim.FillInto(t.h("fill_"), v); e != "" {
		fail("fill_", e, t)
	}
}

// SharesStorage says whether a and b lie in the same memory.
func SharesStorage(a, b *Tensor) bool {
	same, e := shim.SameStorage(a.h("is_alias_of"), b.h("is_alias_of"))
	if e != "" {
		fail("is_alias_of", e, a, b)
	}
	return same
}

// String is shape, type and device, without elements.
func (t *Tensor) String() string { return t.describe() }

func (t *Tensor) info(op string) shim.Info { return shim.InfoOf(t.h(op)) }

// h is the handle of an operand.
func (t *Tensor) h(op string) shim.Handle {
	if t == nil || t.c == nil {
		fail(op, "an operand is nil or was freed", t)
	}
	return t.c
}

// o is the handle of an optional operand; nil is none.
func (t *Tensor) o(op string) shim.Handle {
	if t == nil {
		return nil
	}
	return t.h(op)
}

func (t *Tensor) describe() string {
	if t == nil {
		return "nil"
	}
	if t.c == nil {
		return "freed"
	}
	i := shim.InfoOf(t.c)
	if !i.Defined {
		return "undefined"
	}
	s := fmt.Sprintf("%v %s", i.Shape, DType(i.DType))
	if i.Device >= 0 {
		s += " " + Device(i.Device).String()
	}
	return s
}

// call runs a shim function that writes one handle and returns a message.
func call(op string, f func(out *shim.Handle) string, operands ...*Tensor) *Tensor {
	for _, t := range operands {
		if !t.Defined() {
			fail(op, "an operand is nil or was freed", operands...)
		}
	}
	var c shim.Handle
	if e := f(&c); e != "" {
		fail(op, e, operands...)
	}
	return wrap(op, c)
}

func wrap(op string, c shim.Handle) *Tensor {
	if !shim.OwnsThread() {
		fail(op, "called outside torch.Do")
	}
	t := &Tensor{c: c}
	owner.live++
	current().adopt(t)
	return t
}
