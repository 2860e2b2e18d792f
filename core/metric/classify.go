package metric

import (
	"strings"
)

// Classification scores one class per example. gold and pred are indices into
// labels and have equal length; a gold of -1 (no label) is left out, a pred of
// -1 is a miss. An index out of range counts as -1.
func Classification(labels []string, gold, pred []int32) *Report {
	s := &Sample{labels: labels, rows: make([]row, 0, len(gold)), inputs: len(gold)}
	c := newConfusion(labels)
	for i, g := range gold {
		if !valid(g, labels) {
			continue
		}
		p := int32(-1)
		if i < len(pred) {
			p = pred[i]
		}
		c.add(g, p)
		r := row{total: 1, cells: make([]cell, 0, 2)}
		r.count(g, p, labels)
		s.keep(i, r)
	}
	r := s.report(TaskClassify)
	r.N = len(s.rows)
	r.Confusion = c.finish()
	r.Majority = majority(labels, c)
	return r
}

// MultiLabel scores a set of labels per example. gold and pred hold one bool
// per label; nil gold (no label at all known) is left out, an empty set is a
// set. Micro, macro and weighted averages are over all labels, Averages.Samples
// over examples.
func MultiLabel(labels []string, gold, pred [][]bool) *Report {
	s := &Sample{labels: labels, multi: true, rows: make([]row, 0, len(gold)), inputs: len(gold)}
	samples := Average{}
	for i, g := range gold {
		if g == nil {
			continue
		}
		var p []bool
		if i < len(pred) {
			p = pred[i]
		}
		r := row{total: 1, right: 1}
		tp, fp, fn := 0, 0, 0
		for k := range labels {
			a, b := k < len(g) && g[k], k < len(p) && p[k]
			switch {
			case a && b:
				r.cells = append(r.cells, cell{label: int32(k), tp: 1})
				tp++
			case a:
				r.cells = append(r.cells, cell{label: int32(k), fn: 1})
				fn++
			case b:
				r.cells = append(r.cells, cell{label: int32(k), fp: 1})
				fp++
			}
			if a != b {
				r.right = 0
			}
		}
		r.samplesF1 = f1(tp, fn, fp)
		samples.Precision += ratio(float64(tp), float64(tp+fp))
		samples.Recall += ratio(float64(tp), float64(tp+fn))
		samples.F1 += r.samplesF1
		samples.Support += tp + fn
		s.keep(i, r)
	}
	r := s.report(TaskMultiLabel)
	r.N = len(s.rows)
	n := float64(r.N)
	samples.Precision, samples.Recall, samples.F1 = ratio(samples.Precision, n), ratio(samples.Recall, n), ratio(samples.F1, n)
	r.Averages.Samples, r.SamplesF1 = &samples, &samples.F1
	r.Majority = majoritySet(labels, gold, r.N)
	return r
}

// report fills what follows from the sums.
func (s *Sample) report(task string) *Report {
	t := newTotals(len(s.labels))
	t.add(s, nil)
	r := &Report{
		Task:     task,
		Accuracy: ratio(float64(t.right), float64(t.total)),
		Averages: Averages{Micro: t.micro(), Macro: t.macro(s.multi), Weighted: t.weighted()},
		Labels:   LabelScores{},
		Sample:   s,
	}
	r.MicroF1, r.MacroF1, r.WeightedF1 = r.Averages.Micro.F1, r.Averages.Macro.F1, r.Averages.Weighted.F1
	for i, label := range s.labels {
		if !t.used(i) {
			r.Unused = append(r.Unused, label)
			if !s.multi {
				continue
			}
		}
		a := t.label(i)
		r.Labels = append(r.Labels, LabelScore{label, a.Precision, a.Recall, a.F1, a.Support})
	}
	return r
}

// count adds one answer to the example's cells.
func (r *row) count(gold, pred int32, labels []string) {
	if gold == pred {
		r.right++
		r.cell(gold).tp++
		return
	}
	r.cell(gold).fn++
	if valid(pred, labels) {
		r.cell(pred).fp++
	}
}

// cell finds or adds the cell of a label; an example has few.
func (r *row) cell(label int32) *cell {
	for i := range r.cells {
		if r.cells[i].label == label {
			return &r.cells[i]
		}
	}
	r.cells = append(r.cells, cell{label: label})
	return &r.cells[len(r.cells)-1]
}

func valid(class int32, labels []string) bool { return class >= 0 && int(class) < len(labels) }

// majority scores the most frequent gold label, the first of equals.
func majority(labels []string, c *Confusion) Majority {
	best, total, most, used := 0, 0, 0, 0
	for i := range c.Counts {
		n := sum(c.Counts[i])
		if c.Missed != nil {
			n += c.Missed[i]
		}
		total += n
		if n > 0 {
			used++
		}
		if n > most {
			best, most = i, n
		}
	}
	if total == 0 {
		return Majority{}
	}
	// The other labels that occur score 0.
	return Majority{
		Accuracy: float64(most) / float64(total),
		MacroF1:  f1(most, 0, total-most) / float64(used),
		Label:    labels[best],
	}
}

// majoritySet scores the set of the labels that more than half of the examples
// have.
func majoritySet(labels []string, gold [][]bool, n int) Majority {
	if n == 0 {
		return Majority{}
	}
	support := make([]int, len(labels))
	for _, g := range gold {
		for k := range labels {
			if k < len(g) && g[k] {
				support[k]++
			}
		}
	}
	m, names := Majority{}, []string{}
	for k, label := range labels {
		if 2*support[k] > n {
			names = append(names, label)
			m.MacroF1 += f1(support[k], 0, n-support[k])
		}
	}
	m.MacroF1 = ratio(m.MacroF1, float64(len(labels)))
	m.Label = strings.Join(names, "|")
	right := 0
	for _, g := range gold {
		if g == nil {
			continue
		}
		same := true
		for k := range labels {
			same = same && (k < len(g) && g[k]) == (2*support[k] > n)
		}
		if same {
			right++
		}
	}
	m.Accuracy = float64(right) / float64(n)
	return m
}

func newConfusion(labels []string) *Confusion {
	c := &Confusion{Labels: labels, Counts: make([][]int, len(labels)), Missed: make([]int, len(labels))}
	for i := range c.Counts {
		c.Counts[i] = make([]int, len(labels))
	}
	return c
}

func (c *Confusion) add(gold, pred int32) {
	if valid(pred, c.Labels) {
		c.Counts[gold][pred]++
	} else {
		c.Missed[gold]++
	}
}

func (c *Confusion) finish() *Confusion {
	if sum(c.Missed) == 0 {
		c.Missed = nil
	}
	return c
}
