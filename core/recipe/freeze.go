package recipe

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Frozen says which parts of an encoder are not trained.
type Frozen struct {
	Embeddings bool
	Layers     []bool // one per layer, from the bottom
	Encoder    bool   // all but the heads: embeddings, layers and pooler
}

// Frozen works out `train.freeze` for an encoder of so many layers. Layers that
// the encoder does not have are an error.
func (t *TrainPlan) Frozen(layers int) (Frozen, error) {
	f := Frozen{Layers: make([]bool, layers)}
	for _, item := range t.Freeze {
		r, err := parseFreeze(item)
		if err != nil {
			return f, fmt.Errorf("train.freeze: %w", err)
		}
		if r.encoder {
			f.Encoder = true
			r.embeddings, r.from, r.to = true, 0, layers-1
		}
		if r.top >= 0 {
			if r.top > layers {
				return f, fmt.Errorf("train.freeze: %q, but the model has %d layers", item, layers)
			}
			r.embeddings, r.from, r.to = true, 0, layers-r.top-1
		}
		f.Embeddings = f.Embeddings || r.embeddings
		if r.from < 0 {
			continue
		}
		if r.to >= layers {
			return f, fmt.Errorf("train.freeze: %q, but the model's layers are 0-%d", item, layers-1)
		}
		for i := r.from; i <= r.to; i++ {
			f.Layers[i] = true
		}
	}
	return f, nil
}

type freezeItem struct {
	embeddings, encoder bool
	from, to            int // layers, -1 for none
	top                 int // layers that stay trained, -1 for none
}

var (
	freezeLayers = regexp.MustCompile(`^layers?\s+([0-9]{1,4})(?:\s*-\s*([0-9]{1,4}))?$`)
	freezeTop    = regexp.MustCompile(`^all but (?:the )?top ([0-9]{1,4})$`)
)

func parseFreeze(text string) (freezeItem, error) {
	item := freezeItem{from: -1, to: -1, top: -1}
	text = strings.ToLower(strings.TrimSpace(text))
	switch text {
	case "embeddings":
		item.embeddings = true
		return item, nil
	case "encoder", "all":
		item.encoder = true
		return item, nil
	}
	if m := freezeTop.FindStringSubmatch(text); m != nil {
		n, err := strconv.Atoi(m[1])
		item.top = n
		return item, err
	}
	if m := freezeLayers.FindStringSubmatch(text); m != nil {
		from, err := strconv.Atoi(m[1])
		if err != nil {
			return item, err
		}
		to := from
		if m[2] != "" {
			if to, err = strconv.Atoi(m[2]); err != nil {
				return item, err
			}
		}
		if to < from {
			return item, fmt.Errorf("%q runs backwards", text)
		}
		item.from, item.to = from, to
		return item, nil
	}
	return item, fmt.Errorf("%q is not understood; wanted embeddings, layer N, layers A-B, all but top N, or encoder", text)
}
