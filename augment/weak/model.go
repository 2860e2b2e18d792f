package weak

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Options of Fit. The zero value is for use.
type Options struct {
	// Balance is the share of each class if it is known; nil lets the model find it.
	Balance []float64
	// Iterations bound the steps of EM; 0 is 200. It ends earlier when the
	// log-likelihood rises by less than 1e-6 of its size.
	Iterations int
	// Prior is how many imagined items say that a function is better than chance;
	// 0 is 4. It keeps functions that vote seldom from extreme estimates.
	Prior float64
}

// Model is a generative label model: a class is drawn by Balance, and then each
// function, independently, says class c with probability Hit[f][c] where c is the
// truth and Miss[f][c] where it is not, or abstains.
//
// Hit and Miss together are accuracy and propensity of the function, for each
// class that it can say; a function that says one class alone, as most rules do,
// has two numbers.
type Model struct {
	Balance       []float64   // by class, sums to 1
	Hit, Miss     [][]float64 // by function and class
	LogLikelihood []float64   // after each step, with the prior's share
	says          [][]int     // classes that a function says at all
}

// ErrNoVotes is returned where there is nothing to learn from.
var ErrNoVotes = errors.New("no function votes on any item")

// Fit estimates a model by expectation maximization from the votes alone, starting
// from the majority. All functions are taken to be better than chance: a class is
// never said more often where it is wrong than where it is right.
func Fit(v *Votes, opt Options) (*Model, error) {
	if err := v.Check(); err != nil {
		return nil, fmt.Errorf("fit the label model: %w", err)
	}
	k := len(v.Classes)
	if opt.Balance != nil && len(opt.Balance) != k {
		return nil, fmt.Errorf("fit the label model: %d shares for %d classes", len(opt.Balance), k)
	}
	if opt.Iterations == 0 {
		opt.Iterations = 200
	}
	if opt.Prior == 0 {
		opt.Prior = 4
	}
	m := &Model{Balance: make([]float64, k), Hit: make([][]float64, len(v.Functions)), Miss: make([][]float64, len(v.Functions)), says: make([][]int, len(v.Functions))}
	counts := make([][]float64, len(v.Functions))
	for f := range v.Functions {
		m.Hit[f], m.Miss[f], counts[f] = make([]float64, k), make([]float64, k), make([]float64, k)
	}
	any := false
	for _, row := range v.Rows {
		for _, x := range row {
			any = true
			counts[x.Function][x.Class]++
		}
	}
	if !any {
		return nil, ErrNoVotes
	}
	for f := range counts {
		for c, n := range counts[f] {
			if n > 0 {
				m.says[f] = append(m.says[f], c)
			}
		}
	}
	// Items without a vote say nothing about who is right, and would let the model
	// call them a class of their own: they are left out.
	q := Majority(v)
	for range opt.Iterations {
		before := m.parameters()
		m.maximize(v, q, counts, opt)
		ll := m.expect(v, q) + m.penalty(opt)
		if n := len(m.LogLikelihood); n > 0 && ll < m.LogLikelihood[n-1] {
			m.Balance, m.Hit, m.Miss = before.Balance, before.Hit, before.Miss
			break
		}
		m.LogLikelihood = append(m.LogLikelihood, ll)
		if n := len(m.LogLikelihood); n > 1 && ll-m.LogLikelihood[n-2] < 1e-6*math.Abs(ll) {
			break
		}
	}
	return m, nil
}

// parameters copies what maximize changes.
func (m *Model) parameters() Model {
	c := Model{Balance: slices.Clone(m.Balance), Hit: make([][]float64, len(m.Hit)), Miss: make([][]float64, len(m.Miss))}
	for f := range m.Hit {
		c.Hit[f], c.Miss[f] = slices.Clone(m.Hit[f]), slices.Clone(m.Miss[f])
	}
	return c
}

// The prior of Hit and Miss: imagined items in which a function that votes is right
// three times of four.
const (
	priorHit  = 0.3
	priorMiss = 0.1
)

// maximize is the M step: rates given the posteriors q. It keeps Hit ≥ Miss by
// pooling the two where they would cross. For functions that say one class alone it
// is exact; those of several classes are treated one class at a time, which may
// miss the maximum, and Fit ends where that would lower the likelihood.
func (m *Model) maximize(v *Votes, q [][]float64, counts [][]float64, opt Options) {
	k := len(m.Balance)
	mass := make([]float64, k)
	items := 0.0
	right := make([][]float64, len(m.Hit))
	for f := range right {
		right[f] = make([]float64, k)
	}
	for i, row := range v.Rows {
		if q[i] == nil {
			continue
		}
		items++
		for c, p := range q[i] {
			mass[c] += p
		}
		for _, x := range row {
			right[x.Function][x.Class] += q[i][x.Class]
		}
	}
	for c := range m.Balance {
		if opt.Balance != nil {
			m.Balance[c] = opt.Balance[c]
		} else {
			m.Balance[c] = (mass[c] + 1) / (items + float64(k))
		}
	}
	for f := range m.Hit {
		for _, c := range m.says[f] {
			hitN, hitD := right[f][c]+opt.Prior*priorHit, mass[c]+opt.Prior
			missN, missD := counts[f][c]-right[f][c]+opt.Prior*priorMiss, items-mass[c]+opt.Prior
			m.Hit[f][c], m.Miss[f][c] = hitN/hitD, missN/missD
			if m.Hit[f][c] < m.Miss[f][c] {
				both := (hitN + missN) / (hitD + missD)
				m.Hit[f][c], m.Miss[f][c] = both, both
			}
		}
	}
	m.normalize()
}

// normalize keeps the chance to abstain positive for functions of many classes.
func (m *Model) normalize() {
	const least = 1e-6
	for f := range m.Hit {
		for y := range m.Balance {
			if total := m.total(f, y); total > 1-least {
				for _, c := range m.says[f] {
					m.Hit[f][c] *= (1 - least) / total
					m.Miss[f][c] *= (1 - least) / total
				}
			}
		}
	}
}

// total is the chance that a function says anything where y is the truth.
func (m *Model) total(f, y int) float64 {
	t := 0.0
	for _, c := range m.says[f] {
		t += m.rate(f, y, c)
	}
	return t
}

func (m *Model) rate(f, y, c int) float64 {
	if c == y {
		return m.Hit[f][c]
	}
	return m.Miss[f][c]
}

// expect is the E step: posteriors of all items with votes, into q. It returns the
// log-likelihood.
func (m *Model) expect(v *Votes, q [][]float64) float64 {
	silent := m.silent()
	ll := 0.0
	for i, row := range v.Rows {
		if q[i] != nil {
			ll += m.posterior(row, silent, q[i])
		}
	}
	return ll
}

// silent gives per class the log of the chance that all functions abstain, and is
// what a vote is measured against.
func (m *Model) silent() []float64 {
	s := make([]float64, len(m.Balance))
	for y := range s {
		for f := range m.Hit {
			s[y] += math.Log1p(-m.total(f, y))
		}
	}
	return s
}

func (m *Model) posterior(row []Vote, silent, p []float64) float64 {
	for y := range p {
		p[y] = math.Log(m.Balance[y]) + silent[y]
		for _, x := range row {
			p[y] += math.Log(m.rate(x.Function, y, x.Class)) - math.Log1p(-m.total(x.Function, y))
		}
	}
	return softmax(p)
}

// penalty is the log of the prior, up to a constant.
func (m *Model) penalty(opt Options) float64 {
	s := 0.0
	for f := range m.Hit {
		for _, c := range m.says[f] {
			s += opt.Prior * (priorHit*math.Log(m.Hit[f][c]) + (1-priorHit)*math.Log1p(-m.Hit[f][c]) +
				priorMiss*math.Log(m.Miss[f][c]) + (1-priorMiss)*math.Log1p(-m.Miss[f][c]))
		}
	}
	if opt.Balance == nil {
		for _, b := range m.Balance {
			s += math.Log(b)
		}
	}
	return s
}

// Predict gives the probability of each class for every item, nil where nobody
// votes.
func (m *Model) Predict(v *Votes) [][]float64 {
	silent := m.silent()
	out := make([][]float64, len(v.Rows))
	for i, row := range v.Rows {
		if len(row) > 0 {
			out[i] = make([]float64, len(m.Balance))
			m.posterior(row, silent, out[i])
		}
	}
	return out
}

// softmax turns logs into probabilities and returns the log of their sum.
func softmax(p []float64) float64 {
	top := math.Inf(-1)
	for _, x := range p {
		top = max(top, x)
	}
	sum := 0.0
	for i := range p {
		p[i] = math.Exp(p[i] - top)
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return top + math.Log(sum)
}
