package core

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

// Texts get the positions that virtual tokens leave: of methods that take some.
func TestVirtualTokensTakePositions(t *testing.T) {
	cfg := &hf.Config{MaxPositions: 160}
	for _, method := range recipe.PeftMethods() {
		room := 160
		if method == recipe.PeftPrefix || method == recipe.PeftPTuning || method == recipe.PeftPrompt {
			room = 140
		}
		plan := recipe.Defaults()
		plan.Train.Peft, plan.Peft.Tokens = method, 20
		d := &data{}
		require.Empty(t, d.fitLength(plan, cfg), method)
		require.Equal(t, room, d.maxLength, method)
		d.maxLength = room + 1
		ds := d.fitLength(plan, cfg)
		require.True(t, ds.HasErrors(), method)
		require.Equal(t, "data.max_length", ds[0].Code)
	}
	plan := recipe.Defaults()
	plan.Train.Peft, plan.Peft.Tokens = recipe.PeftPrompt, 157
	ds := (&data{}).fitLength(plan, cfg)
	require.True(t, ds.HasErrors())
	require.Equal(t, "peft.tokens", ds[0].Code)
	require.Contains(t, ds[0].Remedy, "at most 156")
}

// A model that answers leaves room for its virtual tokens and for what it writes.
func TestPromptLengthBesideVirtualTokens(t *testing.T) {
	plan := recipe.Defaults()
	plan.Generate.MaxNewTokens = 30
	for _, c := range []struct {
		virtual, length, most, prompt int
		own                           bool
	}{{0, 0, 160, 130, true}, {20, 0, 140, 110, true}, {20, 150, 140, 110, true}, {20, 100, 100, 100, true}, {20, 100, 100, 110, false}} {
		p := *plan
		p.Data.MaxLength = c.length
		b := &Bundle{Plan: &p, Own: c.own, Config: &hf.Config{MaxPositions: 160}, virtual: c.virtual, Heads: []sdk.HeadSpec{{Name: "text", Kind: sdk.KindGenerate}}}
		require.Equal(t, c.most, b.maxLength(), "%+v", c)
		require.Equal(t, c.prompt, b.promptLength(), "%+v", c)
	}
}
