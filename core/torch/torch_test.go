//go:build torch

package torch

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// do runs f on libtorch's thread and checks that it leaves no tensor behind.
func do(t *testing.T, f func()) {
	t.Helper()
	var before, after int
	err := Do(func() {
		before = Live()
		s := Open()
		defer func() { s.Close(); after = Live() }()
		f()
	})
	require.NoError(t, err)
	require.Equal(t, before, after, "live tensors")
}

func TestSmoke(t *testing.T) {
	var got []float32
	do(t, func() {
		x := FromFloat32([]float32{1, 2, 3, 4}, 2, 2)
		w := FromFloat32([]float32{1, 0, 0, 1}, 2, 2).RequiresGrad(true)
		y := Linear(x, w, nil).Gelu().Sum()
		y.Backward()
		got = w.Grad().Float32s()
	})
	require.Len(t, got, 4)
	err := Do(func() {
		s := Open()
		defer s.Close()
		FromFloat32([]float32{1, 2}, 2).MatMul(FromFloat32([]float32{1, 2, 3}, 3))
	})
	require.ErrorContains(t, err, "matmul")
	t.Log(err)
}
