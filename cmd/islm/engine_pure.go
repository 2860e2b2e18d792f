//go:build !torch

package main

import "github.com/islm-dev/islm/core/recipe"

// newEngine returns nil: tensors live in islm-torch.
func newEngine() recipe.Engine { return nil }
