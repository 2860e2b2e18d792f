//go:build torch

package torch

import (
	"fmt"

	"github.com/sugarme/gotch/libtch"
)

// adagradBlock is the number of elements that one pass over parameter, gradient
// and sum covers: all three stay in a core's cache between its operators.
const adagradBlock = 1 << 16

// AdagradStep is one step of Adagrad (Duchi, Hazan, Singer 2011) on a matrix
// param [n, m] with gradient grad and the running sum of its squares, all
// float32 and contiguous:
//
//	sum ← sum + grad², param ← param − lr·grad/√sum
//
// sum must start above zero; 1e-20 gives PyTorch's Adagrad with its eps of
// 1e-10, but for gradients of that size. grad is used up: its elements are
// scaled on the way.
func AdagradStep(param, grad, sum *Tensor, lr float64) {
	const op = "adagrad_step"
	shape := param.Shape()
	if len(shape) != 2 || fmt.Sprint(grad.Shape()) != fmt.Sprint(shape) || fmt.Sprint(sum.Shape()) != fmt.Sprint(shape) {
		fail(op, "parameter, gradient and sum must be matrices of one shape", param, grad, sum)
	}
	rows := max(1, adagradBlock/max(1, shape[1]))
	if param.Device() != CPU {
		rows = max(1, shape[0])
	}
	for at := int64(0); at < shape[0]; at += rows {
		s := Open()
		n := min(rows, shape[0]-at)
		p, g, v := param.Narrow(0, at, n), grad.Narrow(0, at, n), sum.Narrow(0, at, n)
		inPlace(op, func(out *handle) { libtch.AtgAddcmul_(out, handle(v.c), handle(g.c), handle(g.c)) }, v, g)
		g.ScaleInPlace(-lr)
		root := v.Sqrt()
		inPlace(op, func(out *handle) { libtch.AtgAddcdiv_(out, handle(p.c), handle(g.c), handle(root.c)) }, p, g, root)
		s.Close()
	}
}
