package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"math"
)

// Explanations is a page that shows what answers came from.
type Explanations struct {
	Answers []ExplainedAnswer
}

// ExplainedAnswer is one answer about one text.
type ExplainedAnswer struct {
	Head, Label  string
	Full, Empty  float64 // scores, in log-odds
	Sum          float64 // of the shares
	Steps        int
	Agreement    float64
	Words        []ExplainedWord
	WithoutFacts []string // a sentence for each piece of knowledge that was removed
}

// ExplainedWord is a stretch of the text: a word with its share, or what stands
// between words.
type ExplainedWord struct {
	Text    string
	Word    bool
	Answer  bool // belongs to the span that is explained
	Share   float64
	Dropped float64
}

//go:embed explain.html
var explainPage string

// Save writes the page whole or not at all.
func (e *Explanations) Save(path string) error {
	page, err := template.New("explain").Funcs(template.FuncMap{"shade": shade, "two": func(v float64) string { return fmt.Sprintf("%+.2f", v) }}).Parse(explainPage)
	if err != nil {
		return fmt.Errorf("explanations: %w", err)
	}
	var b bytes.Buffer
	if err := page.Execute(&b, e); err != nil {
		return fmt.Errorf("explanations: %w", err)
	}
	if err := writeWhole(path, b.Bytes()); err != nil {
		return fmt.Errorf("save explanations: %w", err)
	}
	return nil
}

// shade is the background of a word: green speaks for the answer, red against.
func shade(a ExplainedAnswer, w ExplainedWord) template.CSS {
	most := 1e-9
	for _, v := range a.Words {
		most = math.Max(most, math.Abs(v.Share))
	}
	colour := "46,160,67"
	if w.Share < 0 {
		colour = "218,54,51"
	}
	// Numbers of our own: nothing of the text enters.
	return template.CSS(fmt.Sprintf("background:rgba(%s,%.2f)", colour, 0.75*math.Abs(w.Share)/most)) //nolint:gosec
}
