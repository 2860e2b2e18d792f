// Package fewshot is what learning from a few examples needs besides a trainer:
// fixed draws of examples, pairs of texts within a budget, and linear heads on
// sentence vectors by logistic regression or nearest means, in pure Go.
package fewshot
