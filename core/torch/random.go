//go:build torch

package torch

import (
	"hash/fnv"

	"github.com/islm-dev/islm/core/torch/internal/shim"
)

// InitNormal fills t with normal numbers that depend on seed and name only.
func InitNormal(t *Tensor, seed uint64, name string, mean, std float64) {
	if e := shim.InitNormal(t.h("init_normal"), seed, nameKey(name), mean, std); e != "" {
		fail("init_normal", e, t)
	}
}

// InitUniform fills t with uniform numbers in (lo, hi) that depend on seed and
// name only.
func InitUniform(t *Tensor, seed uint64, name string, lo, hi float64) {
	if e := shim.InitUniform(t.h("init_uniform"), seed, nameKey(name), lo, hi); e != "" {
		fail("init_uniform", e, t)
	}
}

// Philox4x32 is one block of the generator (10 rounds).
func Philox4x32(counter [4]uint32, key [2]uint32) [4]uint32 { return shim.PhiloxBlock(counter, key) }

func nameKey(name string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name))
	return h.Sum64()
}
