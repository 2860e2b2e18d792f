//go:build !torch

package main

import "fmt"

func main() { fmt.Println("bench/memory needs libtorch: scripts/go run ./bench/memory") }
