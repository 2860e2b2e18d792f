package corpus

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/token"
	"github.com/islm-dev/islm/sdk"
)

// Stats describes a corpus for people.
type Stats struct {
	Heads  []HeadStats  `json:"heads"`
	Splits []SplitStats `json:"splits"`
}

// HeadStats counts the labels of one head. Of tag heads tokens are counted.
type HeadStats struct {
	Name   string                    `json:"name"`
	Kind   string                    `json:"kind"`
	Labels []string                  `json:"labels"`
	Counts map[string]map[string]int `json:"counts"` // split -> label -> count
	Rows   map[string]int            `json:"rows"`   // split -> examples with a label
}

// SplitStats describes the texts of one split. Word pieces and what follows
// from them are 0 without a tokenizer.
type SplitStats struct {
	Name       string             `json:"name"`
	Examples   int                `json:"examples"`
	Characters int                `json:"characters"`
	Tokens     int                `json:"tokens"`  // words of token files
	Scripts    map[string]float64 `json:"scripts"` // share of the letters
	Pieces     int                `json:"pieces"`  // special tokens included, not cut
	Longest    int                `json:"longest"` // pieces
	Median     int                `json:"median"`
	P95        int                `json:"p95"`
	Cut        float64            `json:"cut"`     // share of examples beyond max_length
	Unknown    float64            `json:"unknown"` // share of the pieces
	Padding    float64            `json:"padding"` // share of padding in training batches
	Histogram  []Bin              `json:"histogram"`
}

// Bin counts examples of From to To pieces, without a tokenizer of characters.
type Bin struct {
	From  int `json:"from"`
	To    int `json:"to"`
	Count int `json:"count"`
}

// Stats counts labels, lengths, scripts, padding and unknown words. t may be nil.
func (c *Corpus) Stats(ctx context.Context, plan *recipe.Plan, t *token.Tokenizer, maxLength int) (*Stats, error) {
	s := &Stats{}
	for _, h := range c.Heads {
		hs := HeadStats{Name: h.Name, Kind: h.Kind, Labels: recipe.Outputs(h), Counts: map[string]map[string]int{}, Rows: map[string]int{}}
		for _, split := range SplitNames() {
			counts := map[string]int{}
			examples := c.Split(split)
			for i := range examples {
				l, ok := examples[i].Labels[h.Name]
				if !ok {
					continue
				}
				hs.Rows[split]++
				if h.Kind == sdk.KindGenerate {
					continue
				}
				for _, v := range l.Values {
					counts[v]++
				}
				for _, tag := range l.Tags {
					counts[tag]++
				}
			}
			if len(examples) > 0 {
				hs.Counts[split] = counts
			}
		}
		s.Heads = append(s.Heads, hs)
	}
	for _, split := range SplitNames() {
		examples := c.Split(split)
		if len(examples) == 0 {
			continue
		}
		st, err := splitStats(ctx, split, examples, plan, t, maxLength)
		if err != nil {
			return nil, err
		}
		s.Splits = append(s.Splits, *st)
	}
	return s, nil
}

func splitStats(ctx context.Context, name string, examples []sdk.Example, plan *recipe.Plan, t *token.Tokenizer, maxLength int) (*SplitStats, error) {
	st := &SplitStats{Name: name, Examples: len(examples)}
	scripts := map[string]int{}
	letters := 0
	lengths := make([]int, len(examples))
	for i := range examples {
		ex := &examples[i]
		n := utf8.RuneCountInString(ex.Text) + utf8.RuneCountInString(ex.TextB)
		st.Characters += n
		st.Tokens += len(ex.Tokens)
		lengths[i] = n
		for _, r := range ex.Text {
			if unicode.IsLetter(r) {
				letters++
				scripts[scriptOf(r)]++
			}
		}
	}
	st.Scripts = map[string]float64{}
	for script, n := range scripts {
		st.Scripts[script] = float64(n) / float64(letters)
	}
	if t != nil {
		rows, err := (&Encoder{Tokenizer: t}).EncodeAll(ctx, examples, 0)
		if err != nil {
			return nil, err
		}
		unk, hasUnk := t.Special("unk")
		unknown, cut := 0, 0
		for i, r := range rows {
			lengths[i] = len(r.IDs)
			st.Pieces += len(r.IDs)
			for _, id := range r.IDs {
				if hasUnk && id == unk {
					unknown++
				}
			}
			if maxLength > 0 && len(r.IDs) > maxLength {
				cut++
				r.IDs = r.IDs[:maxLength]
			}
		}
		st.Unknown = float64(unknown) / float64(max(1, st.Pieces))
		st.Cut = float64(cut) / float64(len(examples))
		st.Padding = NewLoader(NewShard(nil, rows), plan, maxLength).padding()
	}
	slices.Sort(lengths)
	st.Histogram = histogram(lengths)
	if t != nil {
		st.Longest, st.Median, st.P95 = lengths[len(lengths)-1], lengths[len(lengths)/2], lengths[len(lengths)*95/100]
	}
	return st, nil
}

// padding is the share of padding among all ids of the first epoch.
func (l *Loader) padding() float64 {
	real, all := 0, 0
	for _, rows := range l.order(0) {
		width := l.width
		for _, r := range rows {
			real += l.shard.Width(r)
			width = max(width, l.shard.Width(r))
		}
		all += width * len(rows)
	}
	return 1 - float64(real)/float64(max(1, all))
}

// histogram counts sorted lengths in bins whose width doubles: 1-8, 9-16, 17-32 …
func histogram(lengths []int) []Bin {
	var bins []Bin
	from, to := 0, 8
	for i := 0; i < len(lengths); {
		n := 0
		for i < len(lengths) && lengths[i] <= to {
			i++
			n++
		}
		bins = append(bins, Bin{from, to, n})
		from, to = to+1, 2*to
	}
	return bins
}

// scriptOf names the script of a letter.
func scriptOf(r rune) string {
	switch {
	case unicode.Is(unicode.Latin, r):
		return "Latin"
	case unicode.Is(unicode.Han, r):
		return "Han"
	}
	for _, name := range []string{"Hiragana", "Katakana", "Hangul", "Cyrillic", "Greek", "Arabic", "Hebrew", "Devanagari", "Thai"} {
		if unicode.Is(unicode.Scripts[name], r) {
			return name
		}
	}
	return "other"
}

// Write prints the statistics as tables.
func (s *Stats) Write(w io.Writer) error {
	var b strings.Builder
	for _, h := range s.Heads {
		unit := "examples"
		if h.Kind == sdk.KindTag {
			unit = "tokens"
		}
		fmt.Fprintf(&b, "head %s (%s), %s by label\n", h.Name, h.Kind, unit)
		var splits []string
		for _, split := range SplitNames() {
			if h.Counts[split] != nil {
				splits = append(splits, split)
			}
		}
		width := 5
		for _, l := range h.Labels {
			width = max(width, columnsOf(l))
		}
		line := func(name string, cell func(split string) string) {
			fmt.Fprintf(&b, "  %s%s", name, strings.Repeat(" ", max(0, width-columnsOf(name))))
			for _, split := range splits {
				fmt.Fprintf(&b, "  %16s", cell(split))
			}
			b.WriteByte('\n')
		}
		line("", func(split string) string { return split })
		for _, l := range h.Labels {
			line(l, func(split string) string {
				total := 0
				for _, n := range h.Counts[split] {
					total += n
				}
				return fmt.Sprintf("%d %6.1f %%", h.Counts[split][l], 100*float64(h.Counts[split][l])/float64(max(1, total)))
			})
		}
		line("rows", func(split string) string { return fmt.Sprint(h.Rows[split]) })
		b.WriteByte('\n')
	}
	for _, st := range s.Splits {
		fmt.Fprintf(&b, "%s: %d examples, %d characters", st.Name, st.Examples, st.Characters)
		if st.Tokens > 0 {
			fmt.Fprintf(&b, ", %d tokens", st.Tokens)
		}
		var scripts []string
		for _, name := range sortedKeys(st.Scripts) {
			scripts = append(scripts, fmt.Sprintf("%s %.0f %%", name, 100*st.Scripts[name]))
		}
		if len(scripts) > 0 {
			fmt.Fprintf(&b, ", letters: %s", strings.Join(scripts, ", "))
		}
		b.WriteByte('\n')
		unit := "characters"
		if st.Pieces > 0 {
			unit = "word pieces"
			fmt.Fprintf(&b, "  %d word pieces, median %d, 95 %% within %d, longest %d; cut %.1f %%, unknown %.2f %%, padding %.1f %%\n",
				st.Pieces, st.Median, st.P95, st.Longest, 100*st.Cut, 100*st.Unknown, 100*st.Padding)
		}
		most := 0
		for _, bin := range st.Histogram {
			most = max(most, bin.Count)
		}
		for _, bin := range st.Histogram {
			fmt.Fprintf(&b, "  %6d-%-6d %s %7d %s\n", bin.From, bin.To, unit, bin.Count, strings.Repeat("#", (40*bin.Count+most-1)/max(1, most)))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// columnsOf is the width of a text on a terminal: wide characters take two.
func columnsOf(s string) int {
	n := 0
	for _, r := range s {
		n++
		if isIdeograph(r) {
			n++
		}
	}
	return n
}
