//go:build !race

package token

const racing = false
