//go:build race

package token

// racing: the race detector makes everything ten times slower.
const racing = true
