//go:build torch

package main

import "github.com/islm-dev/islm/core/train/kge"

func newEmbedTrainer() embedTrainer { return kge.Train }
