// Command memory trains a tiny model for many steps and prints how the resident
// size grew, as one JSON object. It needs -tags torch:
//
//	scripts/go run ./bench/memory -steps 10000
package main
