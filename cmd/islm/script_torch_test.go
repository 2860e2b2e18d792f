//go:build torch

package main

import "testing"

// TestTorchScripts runs the scripts that train and predict.
func TestTorchScripts(t *testing.T) { runScripts(t, "testdata/torch") }
