//go:build torch

package model

import "github.com/islm-dev/islm/core/torch"

// cache holds keys and values of what a causal encoder has read of some rows, so
// that a further token costs one position. Prompts stand padded to width at the
// front, further tokens behind them; what is padding stays hidden.
type cache struct {
	keys, values []*torch.Tensor // of each layer [B, heads, S, size]
	old          []*torch.Tensor // replaced in the pass at hand
	lengths      []int           // ids of each row's prompt
	width        int             // of the padded prompts
	steps        int             // tokens behind them
	virtual      int             // an adapter's tokens, before the prompts
}

// extend puts the keys and values of a layer [B, heads, T, size] behind those that
// it has, and gives all of them. A nil cache keeps nothing.
func (c *cache) extend(scope *torch.Scope, layer int, key, value *torch.Tensor) (k, v *torch.Tensor) {
	if c == nil {
		return key, value
	}
	if layer == len(c.keys) {
		c.keys, c.values = append(c.keys, scope.Keep(key.Contiguous())), append(c.values, scope.Keep(value.Contiguous()))
		return c.keys[layer], c.values[layer]
	}
	put := func(at []*torch.Tensor, x *torch.Tensor) *torch.Tensor {
		c.old = append(c.old, at[layer])
		at[layer] = scope.Keep(torch.Cat([]*torch.Tensor{at[layer], x}, 2))
		return at[layer]
	}
	return put(c.keys, key), put(c.values, value)
}

// take keeps the rows at, in that order; a row may come several times.
func (c *cache) take(at []int) {
	identity := len(at) == len(c.lengths)
	lengths, rows := make([]int, len(at)), make([]int64, len(at))
	for i, row := range at {
		lengths[i], rows[i] = c.lengths[row], int64(row)
		identity = identity && row == i
	}
	if identity {
		return
	}
	c.lengths = lengths
	inner := torch.Open()
	defer inner.Close()
	index := torch.FromInt64(rows, int64(len(rows))).ToDevice(c.keys[0].Device())
	for _, all := range [][]*torch.Tensor{c.keys, c.values} {
		for i, x := range all {
			all[i] = inner.Keep(x.IndexSelect(0, index))
			x.Free()
		}
	}
}

// settle frees what the pass replaced and moves what is held out of its scope.
func (c *cache) settle(scope *torch.Scope) {
	for _, x := range c.old {
		x.Free()
	}
	c.old = c.old[:0]
	for i := range c.keys {
		scope.Keep(c.keys[i])
		scope.Keep(c.values[i])
	}
}

// filled is the number of places that hold keys.
func (c *cache) filled() int {
	if c == nil || len(c.keys) == 0 {
		return 0
	}
	return c.virtual + c.width + c.steps
}

// next is the batch of one more token for each row.
func (c *cache) next(m *Model, tokens []int64) *Input {
	n, all := int64(len(tokens)), c.filled()+1
	in := &Input{Width: 1, cache: c, lengths: make([]int, n), prompts: make([]int, n)}
	places := make([]int64, n)
	hidden := make([]float32, int(n)*all)
	padded := false
	for i, length := range c.lengths {
		in.lengths[i], in.prompts[i] = 1, 1
		places[i] = int64(c.virtual + length + c.steps)
		for j := c.virtual + length; j < c.virtual+c.width; j++ {
			hidden[i*all+j], padded = maskedOut, true
		}
	}
	in.IDs = torch.FromInt64(tokens, n, 1).ToDevice(m.device)
	in.places = places
	in.positions = torch.FromInt64(places, n, 1).ToDevice(m.device)
	if padded {
		in.Bias = torch.FromFloat32(hidden, n, 1, 1, int64(all)).ToDevice(m.device)
	}
	return in
}
