package report

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/template"

	"github.com/islm-dev/islm/core/metric"
)

// Card is the model card: README.md of a bundle, with the front matter that
// model hubs read.
type Card struct {
	Name      string
	Languages []string // codes such as en, zh
	License   string   // of the model; "" = not stated
	Base      Artifact
	Domain    []string // plugins
	Data      []Artifact
	Primary   string              // head in config.json and model.safetensors
	Labels    map[string][]string // by head
	MaxLength int                 // tokens the model was trained with
	Metrics   *metric.Metrics
	// Requires lists what only islm computes (config.json's islm.requires):
	// knowledge, crf, heads other than the primary one.
	Requires []string
	Limits   []string      // what the model should not be used for, what it was not tested on
	Command  []string      // see CleanArgs
	Stages   []StageRecord // before the last, of a recipe that lists several
}

//go:embed card.md
var cardTemplate string

// Write renders the card.
func (c *Card) Write(w io.Writer) error {
	page, err := template.New("card").Funcs(template.FuncMap{"three": three, "md": markdown, "code": codeSpan, "yaml": quoteYAML, "join": strings.Join, "next": func(n int) int { return n + 1 }}).Parse(cardTemplate)
	if err != nil {
		return fmt.Errorf("model card: %w", err)
	}
	var b bytes.Buffer
	if err := page.Execute(&b, c.view()); err != nil {
		return fmt.Errorf("model card: %w", err)
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("model card: %w", err)
	}
	return nil
}

// Save writes the card whole or not at all.
func (c *Card) Save(path string) error {
	var b bytes.Buffer
	if err := c.Write(&b); err != nil {
		return err
	}
	if err := writeWhole(path, b.Bytes()); err != nil {
		return fmt.Errorf("save model card: %w", err)
	}
	return nil
}

type cardView struct {
	*Card
	Pipeline         string
	Class            string // of transformers
	Heads            []cardHead
	Train            metric.Train
	Command          string
	Tag, Set, Number bool // kind of the primary head; none = one class
}

type cardHead struct {
	Name, Task string
	Labels     []string
	More       int // labels that are not listed
	Scores     []cardScore
	Report     *metric.Report
	Primary    bool
	Rows       metric.LabelScores
}

type cardScore struct{ Name, Majority, Before, After string }

func (c *Card) view() *cardView {
	v := &cardView{Card: c, Pipeline: "text-classification", Class: "AutoModelForSequenceClassification", Command: Clean(strings.Join(c.Command, " "))}
	m := c.Metrics
	if m == nil {
		m = &metric.Metrics{}
	}
	v.Train = m.Train
	names := slices.Sorted(maps.Keys(c.Labels))
	for name := range m.Heads {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	slices.SortStableFunc(names, func(a, b string) int {
		switch {
		case a == b:
			return 0
		case a == c.Primary:
			return -1
		case b == c.Primary:
			return 1
		}
		return 0
	})
	for _, name := range names {
		h := cardHead{Name: name, Labels: c.Labels[name], Primary: name == c.Primary}
		if len(h.Labels) > 40 {
			h.More = len(h.Labels) - 40
			h.Labels = h.Labels[:40]
		}
		if r := m.Heads[name]; r != nil {
			h.Report, h.Task, h.Rows = r, r.Task, Rows(r)
			for _, row := range compare(m.Before[name], r) {
				h.Scores = append(h.Scores, cardScore{row.Name, cmp.Or(row.Majority, "-"), cmp.Or(row.Before, "-"), row.After})
			}
			v.Set = v.Set || h.Primary && taskOf(r) == metric.TaskMultiLabel
			v.Number = v.Number || h.Primary && r.Regression != nil
			if h.Primary && taskOf(r) == metric.TaskTag {
				v.Pipeline, v.Class, v.Tag = "token-classification", "AutoModelForTokenClassification", true
			}
		}
		v.Heads = append(v.Heads, h)
	}
	return v
}

// markdown escapes text for a line or a table cell of Markdown.
func markdown(s string) string {
	var b strings.Builder
	for _, r := range Clean(s) {
		switch {
		case strings.ContainsRune("\\`*_{}[]<>#|~$&", r):
			b.WriteRune('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// codeSpan quotes text as code, also where it holds backticks or pipes.
func codeSpan(s string) string {
	s = strings.ReplaceAll(Clean(s), "|", "\\|")
	fence := "`"
	for strings.Contains(s, fence) {
		fence += "`"
	}
	if strings.HasPrefix(s, "`") || strings.HasSuffix(s, "`") || s == "" {
		s = " " + s + " "
	}
	return fence + s + fence
}

// quoteYAML is a double-quoted YAML scalar; every JSON string is one.
func quoteYAML(s string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(Clean(s)); err != nil {
		return `""`
	}
	return strings.TrimSpace(b.String())
}
