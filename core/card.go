package core

import (
	"cmp"
	"path/filepath"
	"slices"
	"strings"

	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/report"
	"github.com/islm-dev/islm/sdk"
)

// card is the model card of the finished run.
func (r *Run) card(prov *report.Provenance) *report.Card {
	c := &report.Card{Name: cmp.Or(r.name, filepath.Base(r.folder.Dir)), Base: prov.Base, Domain: r.plan.Domain.Names, Data: prov.Data, Primary: primary(r.plan, r.data.heads),
		Labels: map[string][]string{}, MaxLength: r.data.maxLength, Metrics: r.metrics, Command: prov.Command, Stages: prov.Stages}
	for _, h := range r.data.heads {
		c.Labels[h.Name] = recipe.Outputs(h)
	}
	if cfg, ds := hf.ReadConfig(r.folder.ExportDir()); !ds.HasErrors() {
		c.Requires = cfg.Requires
	}
	languages := map[string]bool{}
	for _, ex := range r.data.corpus.Train {
		languages[script(&ex)] = true
	}
	for _, l := range []string{"en", "zh"} {
		if languages[l] {
			c.Languages = append(c.Languages, l)
		}
	}
	for _, p := range r.plugins {
		for _, l := range p.about.Licences {
			c.Limits = append(c.Limits, strings.TrimSpace(l.Data+": "+l.SPDX+" "+l.Note))
		}
	}
	slices.Sort(c.Limits)
	c.Limits = slices.Compact(c.Limits)
	return c
}

// script guesses a text's language from its letters: Han characters mean zh.
func script(ex *sdk.Example) string {
	han, latin := 0, 0
	for _, r := range ex.Text {
		switch {
		case r >= 0x4e00 && r <= 0x9fff:
			han++
		case r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z':
			latin++
		}
	}
	switch {
	case han > 0 && 3*han >= latin:
		return "zh"
	case latin > 0:
		return "en"
	}
	return ""
}
