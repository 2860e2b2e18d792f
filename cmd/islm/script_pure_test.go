//go:build !torch

package main

import "testing"

// TestScripts runs what the documents show, as a user would type it. What needs no
// libtorch is run by the program without it, as it is installed; a second run in
// islm-torch would take minutes and show the same.
func TestScripts(t *testing.T) { runScripts(t, "testdata/script") }
