package metric

import (
	"strings"
	"unicode"
)

// Stretch is a span of tokens, Start to End (included), and its label's index.
type Stretch struct {
	Start, End, Label int32
}

// Spans scores sets of spans, which may overlap: a span is right when its first
// token, last token and label are. nil gold (nothing known) is left out. Micro,
// macro and weighted averages count spans by label, Accuracy the examples whose
// whole set is right.
func Spans(labels []string, gold, pred [][]Stretch) *Report {
	s := &Sample{labels: labels, entities: true, multi: true, rows: make([]row, 0, len(gold)), inputs: len(gold)}
	types := map[string]*EntityScore{}
	for _, l := range labels {
		types[l] = &EntityScore{Type: l}
	}
	for i, g := range gold {
		if g == nil {
			continue
		}
		want, r := map[Stretch]bool{}, row{total: 1, right: 1}
		for _, x := range g {
			want[x] = true
		}
		r.goldEntities = int32(len(want))
		said := map[Stretch]bool{}
		for _, x := range pred[i] {
			if !valid(x.Label, labels) || said[x] {
				continue
			}
			said[x] = true
			types[labels[x.Label]].Predicted++
			if want[x] {
				r.cell(x.Label).tp++
				types[labels[x.Label]].Correct++
				r.correct++
			} else {
				r.cell(x.Label).fp++
				r.right = 0
			}
		}
		r.predEntities = int32(len(said))
		for _, x := range g {
			if !want[x] {
				continue // given twice
			}
			delete(want, x)
			types[labels[x.Label]].Support++
			if !said[x] {
				r.cell(x.Label).fn++
				r.right = 0
			}
		}
		s.keep(i, r)
	}
	for name, t := range types {
		if t.Support == 0 && t.Predicted == 0 {
			delete(types, name)
		}
	}
	rep := s.report(TaskSpan)
	rep.N = len(s.rows)
	rep.Entities = sumEntities(types)
	rep.EntityF1 = &rep.Entities.F1
	return rep
}

// Relations scores one relation per pair of mentions. none is the label that says
// that there is no relation, -1 if no label does: RelationF1 is the micro average of
// all others, as for TACRED (Zhang et al. 2017).
func Relations(labels []string, gold, pred []int32, none int) *Report {
	r := Classification(labels, gold, pred)
	r.Sample.none = none + 1
	if none < 0 {
		r.Sample.none = len(labels) + 1
	}
	t := newTotals(len(labels))
	t.add(r.Sample, nil)
	f := t.without(none).F1
	r.RelationF1 = &f
	return r
}

// Answers are the scores of SQuAD 2.0 (Rajpurkar et al. 2018), from 0 to 1. Texts
// are compared without case, marks and English articles; of Chinese and Japanese
// every character is a token.
type Answers struct {
	ExactMatch float64 `json:"exact_match"` // share of questions with an answer that is right
	F1         float64 `json:"token_f1"`    // mean F1 of the tokens of the answer and of the gold answer nearest to it
	// Those of questions that have an answer, and the share of the others that were
	// left without one.
	Answerable    int     `json:"answerable"`
	HasExactMatch float64 `json:"has_exact_match"`
	HasF1         float64 `json:"has_f1"`
	NoAnswer      float64 `json:"no_answer"`
}

// NewAnswers scores one answer per question, "" for none. gold are the answers that
// count as right, none where there is no answer.
func NewAnswers(gold [][]string, pred []string) *Report {
	a := &Answers{}
	means := map[string][]float64{"exact_match": {}, "token_f1": {}}
	var exact, overlap, none []float64
	for i, answers := range gold {
		e, f := 0.0, 0.0
		if len(answers) == 0 {
			if len(answerTokens(pred[i])) == 0 {
				e, f = 1, 1
			}
			none = append(none, e)
		} else {
			for _, g := range answers {
				same, part := compareAnswers(g, pred[i])
				e, f = max(e, same), max(f, part)
			}
			exact, overlap = append(exact, e), append(overlap, f)
		}
		means["exact_match"], means["token_f1"] = append(means["exact_match"], e), append(means["token_f1"], f)
	}
	a.ExactMatch, a.F1 = mean(means["exact_match"]), mean(means["token_f1"])
	a.Answerable, a.HasExactMatch, a.HasF1, a.NoAnswer = len(exact), mean(exact), mean(overlap), mean(none)
	return &Report{Task: TaskQA, N: len(gold), Answers: a, Sample: &Sample{means: means, units: len(gold)}}
}

func compareAnswers(gold, said string) (exact, f float64) {
	a, b := answerTokens(gold), answerTokens(said)
	if strings.Join(a, " ") == strings.Join(b, " ") {
		exact = 1
	}
	if len(a) == 0 || len(b) == 0 {
		return exact, exact
	}
	left := map[string]int{}
	for _, t := range a {
		left[t]++
	}
	same := 0
	for _, t := range b {
		if left[t] > 0 {
			left[t]--
			same++
		}
	}
	return exact, f1(same, len(a)-same, len(b)-same)
}

// answerTokens are those of SQuAD's evaluation script, and the characters of
// Chinese and Japanese one by one, as for CMRC 2018 (Cui et al. 2019), without marks.
func answerTokens(text string) (out []string) {
	var b strings.Builder
	for _, r := range strings.ToLower(text) {
		switch {
		case r < 0x80 && (unicode.IsPunct(r) || unicode.IsSymbol(r)):
		case unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana):
			b.WriteString(" " + string(r) + " ")
		case r >= 0x3000 && unicode.IsPunct(r):
		default:
			b.WriteRune(r)
		}
	}
	for _, w := range strings.Fields(b.String()) {
		if w != "a" && w != "an" && w != "the" {
			out = append(out, w)
		}
	}
	return out
}
