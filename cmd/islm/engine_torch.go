//go:build torch

package main

import (
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/train"
)

func newEngine() recipe.Engine { return train.Engine{} }
