//go:build !torch

package main

// newEmbedTrainer returns nil: tensors live in islm-torch.
func newEmbedTrainer() embedTrainer { return nil }
