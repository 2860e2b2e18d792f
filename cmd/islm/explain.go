package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/islm-dev/islm/core"
	"github.com/islm-dev/islm/core/report"
)

// most words of an explanation that a terminal shows.
const shownWords = 8

// explained prints answers with their explanations, and writes the page.
func (a *app) explained(answers []core.Answer, out, page string) error {
	if page != "" {
		if err := core.ExplanationPage(answers).Save(page); err != nil {
			return err
		}
	}
	if out != "" {
		return writeAnswers(out, answers)
	}
	for _, ans := range answers {
		if a.json {
			if err := a.print(ans); err != nil {
				return err
			}
			continue
		}
		a.answer(ans)
		for _, e := range ans.Explain {
			a.explanation(&e)
		}
		if len(ans.Unexplained) > 0 {
			fmt.Fprintf(a.stdout, "\n  not explained: %s\n", strings.Join(ans.Unexplained, ", "))
		}
	}
	return nil
}

func (a *app) explanation(e *core.Explanation) {
	what := e.Label
	if e.Span != nil {
		what = fmt.Sprintf("%s [%s]", report.Clean(e.Span.Text), e.Label)
	}
	fmt.Fprintf(a.stdout, "\n  why %s: %s, log-odds %+.2f; of a text of masks %+.2f\n", e.Head, what, e.Full, e.Empty)
	words := slices.Clone(e.Words)
	slices.SortStableFunc(words, func(x, y core.WordShare) int { return cmp.Compare(math.Abs(y.Share), math.Abs(x.Share)) })
	t := report.Table{Left: 1, Header: []string{"  word", "share", "masked"}}
	for _, w := range words[:min(len(words), shownWords)] {
		t.Rows = append(t.Rows, []string{"  " + report.Clean(w.Text), fmt.Sprintf("%+.3f", w.Share), fmt.Sprintf("%+.3f", -w.Dropped)})
	}
	fmt.Fprint(a.stdout, t.String())
	fmt.Fprintf(a.stdout, "  the shares add up to %+.3f of %+.3f (%d points); order of shares and of masking: %.2f\n", e.Sum, e.Full-e.Empty, e.Steps, e.Agreement)
	for _, k := range e.Knowledge {
		fmt.Fprintln(a.stdout, "  "+report.Clean(k.Sentence()))
	}
}
