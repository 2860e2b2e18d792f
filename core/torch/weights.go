//go:build torch

package torch

import (
	"fmt"

	"github.com/islm-dev/islm/core/torch/safetensors"
)

// FromEntry copies a tensor of a safetensors file or of a checkpoint into
// libtorch's aligned memory on the CPU (products of unaligned memory may round
// differently).
func FromEntry(e safetensors.Entry) *Tensor {
	d, ok := entryType(e.DType)
	if !ok {
		fail("from_entry", fmt.Sprintf("tensor %q: elements of type %s are not supported", e.Name, e.DType))
	}
	data := e.Data
	if data == nil && e.Fill != nil {
		var err error
		if data, err = e.Fill(); err != nil {
			fail("from_entry", err.Error())
		}
	}
	return FromBytes(data, d, e.Shape...)
}

// ToEntry copies a tensor out for safetensors.Write.
func ToEntry(name string, t *Tensor) safetensors.Entry {
	d := t.DType()
	return safetensors.Entry{Name: name, DType: typeName(d), Shape: t.Shape(), Data: t.Bytes()}
}

func entryType(name string) (DType, bool) {
	for _, d := range []DType{Float32, BFloat16, Float16, Float64, Int64, Int32, Int16, Int8, Uint8, Bool} {
		if typeName(d) == name {
			return d, true
		}
	}
	return 0, false
}

func typeName(d DType) string {
	switch d {
	case Float32:
		return "F32"
	case BFloat16:
		return "BF16"
	case Float16:
		return "F16"
	case Float64:
		return "F64"
	case Int64:
		return "I64"
	case Int32:
		return "I32"
	case Int16:
		return "I16"
	case Int8:
		return "I8"
	case Uint8:
		return "U8"
	case Bool:
		return "BOOL"
	}
	return d.String()
}
