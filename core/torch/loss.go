//go:build torch

package torch

import "github.com/sugarme/gotch/libtch"

// Reduction says how a loss joins its elements.
type Reduction int64

const (
	None Reduction = 0 // no joining
	Mean Reduction = 1 // PyTorch's mean (with class weights: by the sum of weights)
	Sum  Reduction = 2
)

// CrossEntropy of logits [n, k] (or [n, k, …]) and int64 classes [n] (or
// [n, …]). Rows whose class is ignoreIndex do not count; weight [k] may be nil.
// The mean over no row at all is NaN, as in PyTorch.
func CrossEntropy(logits, target, weight *Tensor, ignoreIndex int64, reduction Reduction) *Tensor {
	return CrossEntropySmooth(logits, target, weight, ignoreIndex, reduction, 0)
}

// CrossEntropySmooth is CrossEntropy with label smoothing in [0, 1].
func CrossEntropySmooth(logits, target, weight *Tensor, ignoreIndex int64, reduction Reduction, smoothing float64) *Tensor {
	return gotch("cross_entropy", func(out *handle) {
		libtch.AtgCrossEntropyLoss(out, handle(logits.c), handle(target.c), handle(weight.o("cross_entropy")), int64(reduction), ignoreIndex, smoothing)
	}, logits, target)
}

// BCEWithLogits is the binary cross entropy of sigmoid(logits) and float
// targets of the same shape. weight (per element, broadcast) and posWeight (per
// class) may be nil.
func BCEWithLogits(logits, target, weight, posWeight *Tensor, reduction Reduction) *Tensor {
	const op = "binary_cross_entropy_with_logits"
	return gotch(op, func(out *handle) {
		libtch.AtgBinaryCrossEntropyWithLogits(out, handle(logits.c), handle(target.c), handle(weight.o(op)), handle(posWeight.o(op)), int64(reduction))
	}, logits, target)
}

// MSELoss is the squared difference.
func MSELoss(x, y *Tensor, reduction Reduction) *Tensor {
	return gotch("mse_loss", func(out *handle) { libtch.AtgMseLoss(out, handle(x.c), handle(y.c), int64(reduction)) }, x, y)
}

// SmoothL1Loss is squared below beta and linear above (Huber/beta).
func SmoothL1Loss(x, y *Tensor, reduction Reduction, beta float64) *Tensor {
	return gotch("smooth_l1_loss", func(out *handle) {
		libtch.AtgSmoothL1Loss(out, handle(x.c), handle(y.c), int64(reduction), beta)
	}, x, y)
}

// KLDiv is target·(log target − x) for log-probabilities x and target given as
// probabilities, or as log-probabilities when logTarget is set.
func KLDiv(x, target *Tensor, reduction Reduction, logTarget bool) *Tensor {
	return gotch("kl_div", func(out *handle) {
		libtch.AtgKlDiv(out, handle(x.c), handle(target.c), int64(reduction), cflag(logTarget))
	}, x, target)
}
