package metric

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// Sample is what one model did on each example of one head, as counts that add
// up over examples. Any score of a Report can be computed from a part of the
// examples, or from examples drawn several times.
type Sample struct {
	labels   []string
	multi    bool // all labels are in the macro average, also unused ones
	entities bool
	rows     []row
	none     int       // 1 + the label that is no relation; 0 = relation_f1 does not exist here
	inputs   int       // examples given, also those without a label
	from     []int     // per row: its place among the examples given
	gold     []float64 // regression: rows is empty
	value    []float64
	means    map[string][]float64 // scores that are means over units, such as queries: rows is empty
	units    int                  // length of each
	texts    []textRow            // generated texts: rows is empty
}

// row is one example.
type row struct {
	right, total int32 // answers that are right, answers
	cells        []cell
	correct      int32 // entities
	goldEntities int32
	predEntities int32
	samplesF1    float64
}

// cell counts one label in one example.
type cell struct{ label, tp, fp, fn int32 }

// Len returns the number of examples.
func (s *Sample) Len() int {
	if s.means != nil {
		return s.units
	}
	if s.gold != nil {
		return len(s.gold)
	}
	if s.texts != nil {
		return len(s.texts)
	}
	return len(s.rows)
}

// keep adds the row of the example at place i.
func (s *Sample) keep(i int, r row) {
	s.rows, s.from = append(s.rows, r), append(s.from, i)
}

// part returns the sample of some examples.
func (s *Sample) part(rows []int) *Sample {
	p := *s
	p.rows, p.from, p.gold, p.value = nil, nil, nil, nil
	if s.means != nil {
		p.means, p.units = map[string][]float64{}, len(rows)
		for name, values := range s.means {
			for _, i := range rows {
				p.means[name] = append(p.means[name], values[i])
			}
		}
		return &p
	}
	if s.texts != nil {
		p.texts = make([]textRow, 0, len(rows))
		for _, i := range rows {
			p.texts = append(p.texts, s.texts[i])
		}
		return &p
	}
	for _, i := range rows {
		if s.gold != nil {
			p.gold, p.value = append(p.gold, s.gold[i]), append(p.value, s.value[i])
		} else {
			p.rows = append(p.rows, s.rows[i])
		}
	}
	return &p
}

// Score computes a score by its name (see Names; not `loss`). weight says how
// often each example counts; nil = once.
func (s *Sample) Score(name string, weight []int32) (float64, error) {
	if weight != nil && len(weight) != s.Len() {
		return 0, fmt.Errorf("score %s: %d weights for %d examples", name, len(weight), s.Len())
	}
	f, err := s.scorer(name)
	if err != nil {
		return 0, err
	}
	return f(weight), nil
}

// scorer returns the function that computes a score, so that a bootstrap
// looks its name up once.
func (s *Sample) scorer(name string) (func(weight []int32) float64, error) {
	if s.means != nil {
		values, ok := s.means[name]
		if !ok {
			return nil, fmt.Errorf("score %q does not exist here; there are %s", name, strings.Join(slices.Sorted(maps.Keys(s.means)), ", "))
		}
		return func(w []int32) float64 { return mean(repeat(values, w)) }, nil
	}
	if s.texts != nil {
		pick, ok := map[string]func(*Text) float64{
			"bleu": func(t *Text) float64 { return t.BLEU.Score }, "chrf": func(t *Text) float64 { return t.ChrF },
			"rouge_l": func(t *Text) float64 { return t.ROUGE.L }, "exact_match": func(t *Text) float64 { return t.ExactMatch },
		}[name]
		if !ok {
			return nil, fmt.Errorf("score %q does not exist for texts; there are bleu, chrf, rouge_l, exact_match", name)
		}
		return func(w []int32) float64 { return pick(scoreTexts(s.texts, w)) }, nil
	}
	if s.gold != nil {
		switch name {
		case "rmse":
			return func(w []int32) float64 { return math.Sqrt(meanSquare(repeat(s.gold, w), repeat(s.value, w))) }, nil
		case "mse":
			return func(w []int32) float64 { return meanSquare(repeat(s.gold, w), repeat(s.value, w)) }, nil
		case "mae":
			return func(w []int32) float64 { return meanAbs(repeat(s.gold, w), repeat(s.value, w)) }, nil
		case "pearson":
			return func(w []int32) float64 { return Pearson(repeat(s.gold, w), repeat(s.value, w)) }, nil
		case "spearman":
			return func(w []int32) float64 { return Spearman(repeat(s.gold, w), repeat(s.value, w)) }, nil
		}
		return nil, fmt.Errorf("score %q does not exist for regression; there are mse, mae, pearson, spearman", name)
	}
	known := []string{"accuracy", "micro_f1", "macro_f1", "weighted_f1"}
	if s.multi {
		known = append(known, "samples_f1")
	}
	if s.entities {
		known = append(known, "entity_f1")
	}
	if s.none > 0 {
		known = append(known, "relation_f1")
	}
	if !slices.Contains(known, name) {
		return nil, fmt.Errorf("score %q does not exist here; there are %s", name, strings.Join(known, ", "))
	}
	t := newTotals(len(s.labels))
	return func(weight []int32) float64 {
		t.add(s, weight)
		switch name {
		case "accuracy":
			return ratio(float64(t.right), float64(t.total))
		case "micro_f1":
			return t.micro().F1
		case "macro_f1":
			return t.macro(s.multi).F1
		case "weighted_f1":
			return t.weighted().F1
		case "relation_f1":
			return t.without(s.none - 1).F1
		case "samples_f1":
			return ratio(t.samplesF1, float64(t.n))
		}
		return f1(t.correct, t.goldEntities-t.correct, t.predEntities-t.correct)
	}, nil
}

// totals are the sums over examples. Integers: the order does not matter.
type totals struct {
	n, right, total                     int
	tp, fp, fn                          []int
	correct, goldEntities, predEntities int
	samplesF1                           float64
}

func newTotals(labels int) *totals {
	return &totals{tp: make([]int, labels), fp: make([]int, labels), fn: make([]int, labels)}
}

// add replaces t by the sums over s.
func (t *totals) add(s *Sample, weight []int32) {
	clear(t.tp)
	clear(t.fp)
	clear(t.fn)
	*t = totals{tp: t.tp, fp: t.fp, fn: t.fn}
	for i := range s.rows {
		w := 1
		if weight != nil {
			if w = int(weight[i]); w == 0 {
				continue
			}
		}
		r := &s.rows[i]
		t.n += w
		t.right += w * int(r.right)
		t.total += w * int(r.total)
		t.correct += w * int(r.correct)
		t.goldEntities += w * int(r.goldEntities)
		t.predEntities += w * int(r.predEntities)
		t.samplesF1 += float64(w) * r.samplesF1
		for _, c := range r.cells {
			t.tp[c.label] += w * int(c.tp)
			t.fp[c.label] += w * int(c.fp)
			t.fn[c.label] += w * int(c.fn)
		}
	}
}

func (t *totals) used(label int) bool { return t.tp[label]+t.fp[label]+t.fn[label] > 0 }

func (t *totals) label(i int) Average {
	return Average{
		Precision: ratio(float64(t.tp[i]), float64(t.tp[i]+t.fp[i])),
		Recall:    ratio(float64(t.tp[i]), float64(t.tp[i]+t.fn[i])),
		F1:        f1(t.tp[i], t.fn[i], t.fp[i]),
		Support:   t.tp[i] + t.fn[i],
	}
}

func (t *totals) micro() Average {
	tp, fp, fn := sum(t.tp), sum(t.fp), sum(t.fn)
	return Average{
		Precision: ratio(float64(tp), float64(tp+fp)),
		Recall:    ratio(float64(tp), float64(tp+fn)),
		F1:        f1(tp, fn, fp),
		Support:   tp + fn,
	}
}

// without is the micro average of all labels but one.
func (t *totals) without(label int) Average {
	rest := newTotals(len(t.tp))
	for i := range t.tp {
		if i != label {
			rest.tp[i], rest.fp[i], rest.fn[i] = t.tp[i], t.fp[i], t.fn[i]
		}
	}
	return rest.micro()
}

func (t *totals) macro(all bool) Average {
	a, n := Average{}, 0
	for i := range t.tp {
		if !all && !t.used(i) {
			continue
		}
		row := t.label(i)
		a.Precision += row.Precision
		a.Recall += row.Recall
		a.F1 += row.F1
		a.Support += row.Support
		n++
	}
	a.Precision, a.Recall, a.F1 = ratio(a.Precision, float64(n)), ratio(a.Recall, float64(n)), ratio(a.F1, float64(n))
	return a
}

func (t *totals) weighted() Average {
	a := Average{}
	for i := range t.tp {
		row := t.label(i)
		w := float64(row.Support)
		a.Precision += w * row.Precision
		a.Recall += w * row.Recall
		a.F1 += w * row.F1
		a.Support += row.Support
	}
	n := float64(a.Support)
	a.Precision, a.Recall, a.F1 = ratio(a.Precision, n), ratio(a.Recall, n), ratio(a.F1, n)
	return a
}

// f1 is 2TP/(2TP+FN+FP).
func f1(tp, fn, fp int) float64 { return ratio(2*float64(tp), float64(2*tp+fn+fp)) }

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

func sum(values []int) int {
	n := 0
	for _, v := range values {
		n += v
	}
	return n
}

func repeat(values []float64, weight []int32) []float64 {
	if weight == nil {
		return values
	}
	out := make([]float64, 0, len(values))
	for i, v := range values {
		for range weight[i] {
			out = append(out, v)
		}
	}
	return out
}
