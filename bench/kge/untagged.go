//go:build !torch

package main

import "fmt"

func main() { fmt.Println("bench/kge needs libtorch: scripts/go run ./bench/kge") }
