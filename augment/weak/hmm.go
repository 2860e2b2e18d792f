package weak

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Mark is a labelled stretch of tokens, [Start, End).
type Mark struct {
	Function   int // index into Sequences.Functions; in results 0
	Start, End int // tokens
	Label      int // index into Sequences.Labels
	// Score is in results the probability of the whole stretch as it stands.
	Score float64
}

// Sequence is one text: how many tokens it has, and what the functions mark in it.
type Sequence struct {
	Tokens int
	Marks  []Mark // of one function without overlap
}

// Sequences are texts with the marks of functions. A function that marks nothing at
// a token says that nothing is there, as far as it knows the label at all.
type Sequences struct {
	Functions []string
	Labels    []string
	Items     []Sequence
}

// The states of a token: 0 outside, then for each label its first token and any
// other.
func (s *Sequences) states() int { return 1 + 2*len(s.Labels) }

func begin(label int) int  { return 1 + 2*label }
func inside(label int) int { return 2 + 2*label }

// follows reports whether state b may stand behind a: what is inside of a label
// needs that label before it.
func follows(a, b int) bool { return b == 0 || b%2 == 1 || a == b || a == b-1 }

// Check reports the first mark that is out of place.
func (s *Sequences) Check() error {
	for i, it := range s.Items {
		for _, m := range it.Marks {
			if m.Function < 0 || m.Function >= len(s.Functions) || m.Label < 0 || m.Label >= len(s.Labels) || m.Start < 0 || m.Start >= m.End || m.End > it.Tokens {
				return fmt.Errorf("text %d: mark %+v is out of range", i, m)
			}
		}
	}
	return nil
}

// observed gives what each function says at each token, as states by token and
// function. Of overlapping marks of one function the first counts.
func (s *Sequences) observed(it Sequence) [][]int {
	obs := make([][]int, it.Tokens)
	flat := make([]int, it.Tokens*len(s.Functions))
	for t := range obs {
		obs[t], flat = flat[:len(s.Functions)], flat[len(s.Functions):]
	}
	for _, m := range it.Marks {
		if free := !slices.ContainsFunc(obs[m.Start:m.End], func(o []int) bool { return o[m.Function] != 0 }); !free {
			continue
		}
		for t := m.Start; t < m.End; t++ {
			obs[t][m.Function] = inside(m.Label)
		}
		obs[m.Start][m.Function] = begin(m.Label)
	}
	return obs
}

// covers lists for each function the labels that it ever marks.
func (s *Sequences) covers() [][]bool {
	out := make([][]bool, len(s.Functions))
	for f := range out {
		out[f] = make([]bool, len(s.Labels))
	}
	for _, it := range s.Items {
		for _, m := range it.Marks {
			out[m.Function][m.Label] = true
		}
	}
	return out
}

// MajoritySpans gives the marks on which most functions agree, token by token: a
// token has the state that most functions give it among those that mark anything,
// if they are at least share of the functions that ever mark its label. A share of
// 0 lets one mark be enough; 0.5 demands half.
func MajoritySpans(s *Sequences, share float64) [][]Mark {
	covers := s.covers()
	able := make([]float64, len(s.Labels))
	for _, c := range covers {
		for l, ok := range c {
			if ok {
				able[l]++
			}
		}
	}
	out := make([][]Mark, len(s.Items))
	for i, it := range s.Items {
		states := make([]int, it.Tokens)
		score := make([]float64, it.Tokens)
		for t, row := range s.observed(it) {
			counts := make([]float64, s.states())
			for _, o := range row {
				counts[o]++
			}
			best := 0
			for o := 1; o < len(counts); o++ {
				if counts[o] > 0 && (best == 0 || counts[o] > counts[best]) {
					best = o
				}
			}
			if best == 0 {
				continue
			}
			label := (best - 1) / 2
			votes := counts[begin(label)] + counts[inside(label)]
			if votes >= share*able[label] {
				states[t], score[t] = best, votes/able[label]
			}
		}
		out[i] = marksOf(states, func(from, to int) float64 {
			sum := 0.0
			for t := from; t < to; t++ {
				sum += score[t]
			}
			return sum / float64(to-from)
		})
	}
	return out
}

// marksOf reads marks from the states of tokens. A stretch that does not begin as
// it should begins all the same.
func marksOf(states []int, score func(from, to int) float64) []Mark {
	var out []Mark
	for t := 0; t < len(states); {
		if states[t] == 0 {
			t++
			continue
		}
		label, end := (states[t]-1)/2, t+1
		for end < len(states) && states[end] == inside(label) {
			end++
		}
		out = append(out, Mark{Start: t, End: end, Label: label, Score: score(t, end)})
		t = end
	}
	return out
}

// SequenceModel is a hidden Markov model of the true states of tokens. Given the
// true state, each function says, independently of the others, a state by its own
// table; what stands at a token depends on what stands before it.
type SequenceModel struct {
	Start         []float64     // by state
	Next          [][]float64   // from state, to state
	Says          [][][]float64 // by function, true state, said state
	LogLikelihood []float64     // after each step of EM, with the prior's share
	prior         [][][]float64
	startPrior    []float64
	nextPrior     [][]float64
}

// FitSequences estimates the model by Baum and Welch's algorithm from the marks
// alone. It starts, as Lison et al. do, from counts on what the functions say
// together. iterations of 0 are 50.
func FitSequences(s *Sequences, iterations int) (*SequenceModel, error) {
	if err := s.Check(); err != nil {
		return nil, fmt.Errorf("fit the label model: %w", err)
	}
	if iterations == 0 {
		iterations = 50
	}
	tokens, marks := 0, 0
	for _, it := range s.Items {
		tokens, marks = tokens+it.Tokens, marks+len(it.Marks)
	}
	if marks == 0 {
		return nil, ErrNoVotes
	}
	m := &SequenceModel{}
	m.setPriors(s)
	obs := make([][][]int, len(s.Items))
	for i, it := range s.Items {
		obs[i] = s.observed(it)
	}
	c := m.newCounts()
	for i, marks := range MajoritySpans(s, 0.5) {
		states := make([]int, s.Items[i].Tokens)
		for _, x := range marks {
			for t := x.Start; t < x.End; t++ {
				states[t] = inside(x.Label)
			}
			states[x.Start] = begin(x.Label)
		}
		c.addPath(states, obs[i])
	}
	m.maximize(c)
	for range iterations {
		c = m.newCounts()
		ll := m.penalty()
		for _, o := range obs {
			ll += m.expect(o, c)
		}
		m.maximize(c)
		m.LogLikelihood = append(m.LogLikelihood, ll)
		if n := len(m.LogLikelihood); n > 1 && ll-m.LogLikelihood[n-2] < 1e-6*math.Abs(ll) {
			break
		}
	}
	if ll := m.LogLikelihood[len(m.LogLikelihood)-1]; math.IsNaN(ll) || math.IsInf(ll, 0) {
		return nil, errors.New("fit the label model: the likelihood is not finite")
	}
	return m, nil
}

// setPriors says what is taken for likely before anything is seen: a function that
// knows a label finds it about half of the time and seldom marks what is not there;
// one that does not know it says nothing.
func (m *SequenceModel) setPriors(s *Sequences) {
	n := s.states()
	covers := s.covers()
	m.startPrior, m.nextPrior = make([]float64, n), make([][]float64, n)
	for a := range n {
		m.nextPrior[a] = make([]float64, n)
		for b := range n {
			if follows(a, b) {
				m.nextPrior[a][b] = 0.5
			}
		}
		if follows(0, a) {
			m.startPrior[a] = 0.5
		}
	}
	m.nextPrior[0][0], m.startPrior[0] = 5, 5
	m.prior = make([][][]float64, len(s.Functions))
	for f := range m.prior {
		m.prior[f] = make([][]float64, n)
		for a := range n {
			row := make([]float64, n)
			row[0] = 5
			for l, ok := range covers[f] {
				if !ok {
					continue
				}
				row[begin(l)], row[inside(l)] = 0.1, 0.1
				switch a {
				case begin(l):
					row[a], row[inside(l)] = 5, 0.5
				case inside(l):
					row[a], row[begin(l)] = 5, 0.5
				case 0:
					row[0] = 20
				}
			}
			m.prior[f][a] = row
		}
	}
}

// counts are expected counts of the E step.
type counts struct {
	start []float64
	next  [][]float64
	says  [][][]float64
}

func (m *SequenceModel) newCounts() *counts {
	n := len(m.startPrior)
	c := &counts{start: make([]float64, n), next: square(n), says: make([][][]float64, len(m.prior))}
	for f := range c.says {
		c.says[f] = square(n)
	}
	return c
}

func square(n int) [][]float64 {
	out, flat := make([][]float64, n), make([]float64, n*n)
	for i := range out {
		out[i], flat = flat[:n], flat[n:]
	}
	return out
}

// addPath counts one text whose states are taken as given.
func (c *counts) addPath(states []int, obs [][]int) {
	for t, a := range states {
		if t == 0 {
			c.start[a]++
		} else if follows(states[t-1], a) {
			c.next[states[t-1]][a]++
		}
		for f, o := range obs[t] {
			c.says[f][a][o]++
		}
	}
}

// maximize is the M step, to the mode under the prior taken as counts.
func (m *SequenceModel) maximize(c *counts) {
	share := func(count, prior []float64) []float64 {
		out, sum := make([]float64, len(count)), 0.0
		for i := range out {
			out[i] = count[i] + prior[i]
			sum += out[i]
		}
		for i := range out {
			out[i] /= sum
		}
		return out
	}
	n := len(m.startPrior)
	m.Start = share(c.start, m.startPrior)
	m.Next, m.Says = make([][]float64, n), make([][][]float64, len(m.prior))
	for a := range n {
		m.Next[a] = share(c.next[a], m.nextPrior[a])
	}
	for f := range m.Says {
		m.Says[f] = make([][]float64, n)
		for a := range n {
			m.Says[f][a] = share(c.says[f][a], m.prior[f][a])
		}
	}
}

func (m *SequenceModel) penalty() float64 {
	s := 0.0
	add := func(p, prior []float64) {
		for i := range p {
			if prior[i] > 0 {
				s += prior[i] * math.Log(p[i])
			}
		}
	}
	add(m.Start, m.startPrior)
	for a := range m.Next {
		add(m.Next[a], m.nextPrior[a])
		for f := range m.Says {
			add(m.Says[f][a], m.prior[f][a])
		}
	}
	return s
}

// emit gives for each token and state the chance of what the functions say there,
// scaled by its largest value, whose logs are summed up.
func (m *SequenceModel) emit(obs [][]int) (e [][]float64, scale float64) {
	n := len(m.Start)
	e = make([][]float64, len(obs))
	for t, row := range obs {
		p := make([]float64, n)
		top := math.Inf(-1)
		for a := range n {
			for f, o := range row {
				p[a] += math.Log(m.Says[f][a][o])
			}
			top = max(top, p[a])
		}
		for a := range p {
			p[a] = math.Exp(p[a] - top)
		}
		e[t] = p
		scale += top
	}
	return e, scale
}

// forward and backward are the scaled recursions; the chance of the text is the
// product of the scales.
func (m *SequenceModel) forward(e [][]float64) (alpha [][]float64, ll float64) {
	n := len(m.Start)
	alpha = make([][]float64, len(e))
	for t := range e {
		alpha[t] = make([]float64, n)
		sum := 0.0
		for b := range n {
			p := m.Start[b]
			if t > 0 {
				p = 0
				for a := range n {
					p += alpha[t-1][a] * m.Next[a][b]
				}
			}
			alpha[t][b] = p * e[t][b]
			sum += alpha[t][b]
		}
		for b := range n {
			alpha[t][b] /= sum
		}
		ll += math.Log(sum)
	}
	return alpha, ll
}

func (m *SequenceModel) backward(e [][]float64) [][]float64 {
	n := len(m.Start)
	beta := make([][]float64, len(e))
	for t := len(e) - 1; t >= 0; t-- {
		beta[t] = make([]float64, n)
		sum := 0.0
		for a := range n {
			p := 1.0
			if t+1 < len(e) {
				p = 0
				for b := range n {
					p += m.Next[a][b] * e[t+1][b] * beta[t+1][b]
				}
			}
			beta[t][a] = p
			sum += p
		}
		for a := range n {
			beta[t][a] /= sum
		}
	}
	return beta
}

// expect is the E step for one text: it adds to the counts and returns the
// log-likelihood.
func (m *SequenceModel) expect(obs [][]int, c *counts) float64 {
	if len(obs) == 0 {
		return 0
	}
	n := len(m.Start)
	e, scale := m.emit(obs)
	alpha, ll := m.forward(e)
	beta := m.backward(e)
	pair := square(n)
	for t := range obs {
		gamma := normalized(alpha[t], beta[t])
		for a, g := range gamma {
			if t == 0 {
				c.start[a] += g
			}
			for f, o := range obs[t] {
				c.says[f][a][o] += g
			}
		}
		if t+1 == len(obs) {
			continue
		}
		sum := 0.0
		for a := range n {
			for b := range n {
				pair[a][b] = alpha[t][a] * m.Next[a][b] * e[t+1][b] * beta[t+1][b]
				sum += pair[a][b]
			}
		}
		for a := range n {
			for b := range n {
				c.next[a][b] += pair[a][b] / sum
			}
		}
	}
	return ll + scale
}

func normalized(a, b []float64) []float64 {
	out, sum := make([]float64, len(a)), 0.0
	for i := range a {
		out[i] = a[i] * b[i]
		sum += out[i]
	}
	for i := range out {
		out[i] /= sum
	}
	return out
}

// Predict gives the marks of the most probable states (Viterbi) of every text. The
// score of a mark is the probability that its tokens have these states and no other
// token belongs to it.
func (m *SequenceModel) Predict(s *Sequences) [][]Mark {
	out := make([][]Mark, len(s.Items))
	for i, it := range s.Items {
		if it.Tokens == 0 {
			continue
		}
		e, _ := m.emit(s.observed(it))
		alpha, _ := m.forward(e)
		beta := m.backward(e)
		states := m.viterbi(e)
		out[i] = marksOf(states, func(from, to int) float64 { return m.stretch(from, to, (states[from]-1)/2, e, alpha, beta) })
	}
	return out
}

// stretch is the probability that a label begins at from and ends before to.
func (m *SequenceModel) stretch(from, to, label int, e, alpha, beta [][]float64) float64 {
	// Scaled as alpha is: the mass of the path, over the mass of all paths, from the
	// token before to the token behind.
	n := len(m.Start)
	p := alpha[from][begin(label)]
	last := begin(label)
	total := slices.Clone(alpha[from])
	step := func(t int) {
		next := make([]float64, n)
		sum := 0.0
		for b := range n {
			for a := range n {
				next[b] += total[a] * m.Next[a][b]
			}
			next[b] *= e[t][b]
			sum += next[b]
		}
		for b := range n {
			next[b] /= sum
		}
		p /= sum
		total = next
	}
	for t := from + 1; t < to; t++ {
		p *= m.Next[last][inside(label)] * e[t][inside(label)]
		last = inside(label)
		step(t)
	}
	all, here := 0.0, 0.0
	for a := range n {
		all += total[a] * beta[to-1][a]
	}
	if to == len(e) {
		here = p * beta[to-1][last]
	} else {
		// beta of the last token without the paths that go on inside.
		whole, out := 0.0, 0.0
		for b := range n {
			x := m.Next[last][b] * e[to][b] * beta[to][b]
			whole += x
			if b != inside(label) {
				out += x
			}
		}
		here = p * beta[to-1][last] * out / whole
	}
	return min(here/all, 1)
}

// viterbi finds the most probable states.
func (m *SequenceModel) viterbi(e [][]float64) []int {
	n := len(m.Start)
	score := make([]float64, n)
	back := make([][]int, len(e))
	for t := range e {
		next := make([]float64, n)
		back[t] = make([]int, n)
		for b := range n {
			best := math.Inf(-1)
			if t == 0 {
				best = math.Log(m.Start[b])
			} else {
				for a := range n {
					if x := score[a] + math.Log(m.Next[a][b]); x > best {
						best, back[t][b] = x, a
					}
				}
			}
			next[b] = best + math.Log(e[t][b])
		}
		score = next
	}
	states := make([]int, len(e))
	for b, x := range score {
		if x > score[states[len(e)-1]] {
			states[len(e)-1] = b
		}
	}
	for t := len(e) - 1; t > 0; t-- {
		states[t-1] = back[t][states[t]]
	}
	return states
}
