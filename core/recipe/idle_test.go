package recipe

import (
	"testing"

	"github.com/islm-dev/islm/sdk"
)

// Plans that train nothing are refused; a control that leaves teachers or a language
// model out is none of them.
func TestIdle(t *testing.T) {
	label := []sdk.HeadSpec{{Name: "label", Kind: sdk.KindClassify, Labels: []string{"a", "b"}}}
	none := []string{"distill.labels=0", "distill.logits=0", "distill.hidden=0"}
	for name, c := range map[string]struct {
		preset, path string
		sets         []string
	}{
		"usual":              {},
		"no rate":            {path: "train.lr", sets: []string{"train.lr=0"}},
		"of an adapter":      {path: "train.lr", sets: []string{"train.lr=0", "train.peft=lora", "train.head_lr=1e-3"}},
		"a head's":           {path: "heads.label.weight", sets: []string{"heads.label.weight=0"}},
		"another's":          {sets: []string{"heads.words.weight=0", "heads.words.kind=mlm.v0"}},
		"a student":          {preset: "distill"},
		"of labels alone":    {preset: "distill", sets: []string{"distill.labels=1", "distill.logits=0", "distill.hidden=0"}},
		"of states alone":    {preset: "distill", sets: []string{"distill.labels=0", "distill.logits=0", "distill.hidden=1"}},
		"of no loss":         {preset: "distill", path: "distill.labels", sets: none},
		"not a distillation": {sets: none},
		"without training":   {preset: "fewshot", sets: []string{"train.lr=0"}},
	} {
		t.Run(name, func(t *testing.T) {
			sets := append([]string{"data.path=y"}, c.sets...)
			if c.preset != "distill" {
				sets = append(sets, "base=x")
			}
			p := mustPlan(t, Sources{Preset: c.preset, Sets: sets})
			ds := append(p.Idle(), p.IdleHeads(label)...)
			if c.path == "" {
				if len(ds) > 0 {
					t.Fatal(ds)
				}
				return
			}
			if len(ds) != 1 || ds[0].Code != "train.nothing" || ds[0].Path != c.path || ds[0].Remedy == "" {
				t.Fatalf("wanted an error at %s, got %v", c.path, ds)
			}
		})
	}
}
