//go:build torch

package model

import "github.com/islm-dev/islm/core/torch"

// cache keeps the keys and values of the positions that a decoder has seen, so
// that the next one is computed alone. Its tensors belong to no scope.
type cache struct {
	seen         []int           // real positions of each row
	width        int             // positions held, padding among them
	kept         [][]bool        // which of them are real, row by row
	keys, values []*torch.Tensor // per layer [B, heads, width, size]
}

func newCache(rows, layers int) *cache {
	return &cache{seen: make([]int, rows), kept: make([][]bool, rows), keys: make([]*torch.Tensor, layers), values: make([]*torch.Tensor, layers)}
}

// grow appends the keys and values of new positions of a layer and gives all.
// They outlive scope.
func (c *cache) grow(scope *torch.Scope, layer int, key, value *torch.Tensor) (*torch.Tensor, *torch.Tensor) {
	if c == nil {
		return key, value
	}
	add := func(old *[]*torch.Tensor, x *torch.Tensor) *torch.Tensor {
		if before := (*old)[layer]; before != nil {
			x = torch.Cat([]*torch.Tensor{before, x}, 2)
			before.Free()
		} else {
			x = x.Contiguous()
		}
		(*old)[layer] = scope.Keep(x)
		return x
	}
	return add(&c.keys, key), add(&c.values, value)
}

// choose keeps the given rows, in that order; a row may come several times.
func (c *cache) choose(rows []int) {
	index := make([]int64, len(rows))
	seen, kept := make([]int, len(rows)), make([][]bool, len(rows))
	for i, r := range rows {
		index[i], seen[i], kept[i] = int64(r), c.seen[r], append([]bool(nil), c.kept[r]...)
	}
	c.seen, c.kept = seen, kept
	scope := torch.Open()
	defer scope.Close()
	for _, held := range [][]*torch.Tensor{c.keys, c.values} {
		for i, x := range held {
			at := torch.FromInt64(index, int64(len(index))).ToDevice(x.Device())
			held[i] = x.IndexSelect(0, at)
			scope.Keep(held[i])
			x.Free()
		}
	}
}

func (c *cache) free() {
	for _, held := range [][]*torch.Tensor{c.keys, c.values} {
		for _, x := range held {
			x.Free()
		}
	}
}

// causal is added to the scores of attention [B or 1, 1, T, held+T]: a position
// sees itself, those before it, and of a cache what is real.
func (in *Input) causal(c *cache) *torch.Tensor {
	t, held := in.Width, 0
	rows := 1
	if c != nil {
		held = c.width
		rows = len(in.Rows)
	}
	w := held + t
	sees := make([]float32, rows*t*w)
	for r := range rows {
		for q := range t {
			line := sees[(r*t+q)*w : (r*t+q+1)*w]
			for j := range line {
				if j < held && !c.kept[r][j] || j > held+q {
					line[j] = maskedOut
				}
			}
		}
	}
	return torch.FromFloat32(sees, int64(rows), 1, int64(t), int64(w)).ToDevice(in.IDs.Device())
}
