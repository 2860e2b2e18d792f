// Package train runs a prepared job on libtorch: the training loop with its
// schedule, validation, early stopping and checkpoints, prediction, and the
// export of the finished model. Engine satisfies recipe.Engine.
//
// A step is a function of the plan, the step's number and the examples of its
// batches, never of the process that computes it: dropout masks are keyed by
// (seed, step, layer, example), the loader is a pure function of (seed, epoch),
// and a checkpoint holds weights, optimizer moments and the position. So a run
// that was killed and resumed ends in the same bytes, in fp32, on one kind of
// CPU with one number of threads (which the checkpoint records and resume
// restores).
//
// Losses are sums over the labels of a head divided by the number of labels in
// the whole optimizer step, so that micro-batches of unequal size add up to
// what one batch would give. Padding, special tokens and pieces after a word's
// first never enter.
//
// The package is built with `-tags torch`.
package train
