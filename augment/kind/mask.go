package kind

import (
	"strings"
	"unicode/utf8"

	"github.com/islm-dev/islm/augment/edit"
)

// maskParams are the keys of mask.v0.
type maskParams struct {
	With  string   `yaml:"with" doc:"text that stands for what is masked; default [MASK]"`
	Unit  string   `yaml:"unit" doc:"match (one sign for the whole), word (one for each word) or letter (one for each letter or digit); default match"`
	Share *float64 `yaml:"share" doc:"mask each unit with this probability; default all"`
}

// mask hides words behind a sign, so that a model learns to do without them:
// the masked words of BERT (Devlin et al. 2019) and the blanking of Xie et al.
// 2017 (Data Noising as Smoothing in Neural Network Language Models).
type mask struct {
	with  string
	unit  string
	share float64
}

func newMask(b *edit.Build) edit.Action {
	p := maskParams{With: "[MASK]", Unit: "match"}
	if !b.Decode(&p) {
		return nil
	}
	if strings.TrimSpace(p.With) == "" {
		b.Report("rules.param", "with", "to take words away use delete.v0", "the sign is empty")
	}
	oneOf(b, "unit", p.Unit, "match", "word", "letter")
	return &mask{with: p.With, unit: p.Unit, share: share(b, "share", p.Share, 1)}
}

// Edit masks the match or parts of it.
func (m *mask) Edit(c *edit.Context) {
	switch m.unit {
	case "match":
		if m.drawn(c) && c.Matched() != m.with {
			c.Replace(c.Match.Start, c.Match.End, m.with)
		}
	case "word":
		for _, w := range c.Words() {
			if w.Start < c.Match.Start || w.End > c.Match.End {
				continue
			}
			if r, _ := utf8.DecodeRuneInString(c.Text[w.Start:]); edit.IsWord(r) && m.drawn(c) {
				c.Replace(w.Start, w.End, m.with)
			}
		}
	case "letter":
		var b strings.Builder
		for _, r := range c.Matched() {
			if edit.IsWord(r) && m.drawn(c) {
				b.WriteString(m.with)
			} else {
				b.WriteRune(r)
			}
		}
		if text := b.String(); text != c.Matched() {
			c.Replace(c.Match.Start, c.Match.End, text)
		}
	}
}

func (m *mask) drawn(c *edit.Context) bool { return m.share == 1 || c.Rand.Float64() < m.share }
