package fewshot

import (
	"fmt"
	"math"
)

// Linear gives class k of a vector x the score W[k]·x + B[k].
type Linear struct {
	W [][]float64
	B []float64
}

// Unit brings vectors to length 1, in place; a vector of zeros stays.
func Unit(x [][]float32) {
	for _, v := range x {
		square := 0.0
		for _, e := range v {
			square += float64(e) * float64(e)
		}
		if square == 0 {
			continue
		}
		for j, e := range v {
			v[j] = float32(float64(e) / math.Sqrt(square))
		}
	}
}

// Scores are the scores of the classes.
func (l *Linear) Scores(x []float32) []float64 {
	out := make([]float64, len(l.B))
	for k, w := range l.W {
		s := l.B[k]
		for j, v := range x {
			s += w[j] * float64(v)
		}
		out[k] = s
	}
	return out
}

// Class is the class with the highest score, the first of equals.
func (l *Linear) Class(x []float32) int {
	best, scores := 0, l.Scores(x)
	for k, s := range scores {
		if s > scores[best] {
			best = k
		}
	}
	return best
}

// Prototypes is the classifier of the nearest class mean (Snell et al. 2017,
// "Prototypical Networks for Few-shot Learning"): -|x-μ|² without the part that
// all classes share is 2μ·x - |μ|², which is linear. A class without examples
// never wins.
func Prototypes(x [][]float32, y []int, classes int) *Linear {
	l := &Linear{}
	for k := range classes {
		var rows [][]float32
		for i, c := range y {
			if c == k {
				rows = append(rows, x[i])
			}
		}
		w, b := Prototype(rows, len(x[0]))
		l.W, l.B = append(l.W, w), append(l.B, b)
	}
	return l
}

// Prototype is the row of one class in Prototypes.
func Prototype(rows [][]float32, width int) (w []float64, b float64) {
	w = make([]float64, width)
	if len(rows) == 0 {
		return w, -1e9
	}
	for _, r := range rows {
		for j, v := range r {
			w[j] += float64(v) / float64(len(rows))
		}
	}
	for j, m := range w {
		b -= m * m
		w[j] = 2 * m
	}
	return w, b
}

// Logistic fits a logistic regression: it minimises c·Σ -log softmax(Wx+b)[y] +
// |W|²/2 by L-BFGS (Nocedal 1980) until no part of the gradient is above 1e-7
// times the number of examples. With two classes there is one vector, the
// first class having none. These are the objectives of scikit-learn's
// LogisticRegression with its default penalty.
func Logistic(x [][]float32, y []int, classes int, c float64) (*Linear, error) {
	if len(x) == 0 || len(x) != len(y) || classes < 2 {
		return nil, fmt.Errorf("logistic regression: %d vectors, %d labels, %d classes", len(x), len(y), classes)
	}
	p := &logistic{x: x, y: y, classes: classes, c: c, width: len(x[0])}
	p.free = classes
	if classes == 2 {
		p.free = 1
	}
	theta, err := minimise(p.eval, make([]float64, p.free*(p.width+1)), 1e-7*float64(len(x)))
	if err != nil {
		return nil, fmt.Errorf("logistic regression: %w", err)
	}
	l := &Linear{}
	if classes == 2 {
		l.W, l.B = append(l.W, make([]float64, p.width)), append(l.B, 0)
	}
	for k := range p.free {
		at := theta[k*(p.width+1) : (k+1)*(p.width+1)]
		l.W, l.B = append(l.W, at[:p.width]), append(l.B, at[p.width])
	}
	return l, nil
}

type logistic struct {
	x                    [][]float32
	y                    []int
	classes, free, width int
	c                    float64
}

// eval gives the objective and its gradient. theta holds the vectors of the free
// classes, each followed by its bias.
func (p *logistic) eval(theta, grad []float64) float64 {
	clear(grad)
	value := 0.0
	z := make([]float64, p.classes)
	skip := p.classes - p.free
	for i, x := range p.x {
		top := math.Inf(-1)
		for k := range z {
			z[k] = 0
			if k >= skip {
				w := theta[(k-skip)*(p.width+1) : (k-skip+1)*(p.width+1)]
				s := w[p.width]
				for j, v := range x {
					s += w[j] * float64(v)
				}
				z[k] = s
			}
			top = max(top, z[k])
		}
		sum := 0.0
		for _, s := range z {
			sum += math.Exp(s - top)
		}
		norm := top + math.Log(sum)
		value += p.c * (norm - z[p.y[i]])
		for k := skip; k < p.classes; k++ {
			d := math.Exp(z[k] - norm)
			if k == p.y[i] {
				d--
			}
			d *= p.c
			g := grad[(k-skip)*(p.width+1) : (k-skip+1)*(p.width+1)]
			for j, v := range x {
				g[j] += d * float64(v)
			}
			g[p.width] += d
		}
	}
	for k := range p.free {
		at := k * (p.width + 1)
		for j := range p.width {
			w := theta[at+j]
			value += w * w / 2
			grad[at+j] += w
		}
	}
	return value
}

// minimise is L-BFGS with a memory of ten steps and Armijo's rule, for convex
// functions. f writes the gradient.
func minimise(f func(at, grad []float64) float64, at []float64, tolerance float64) ([]float64, error) {
	const memory, steps = 10, 5000
	n := len(at)
	grad, next, nextGrad := make([]float64, n), make([]float64, n), make([]float64, n)
	var s, y [][]float64
	value := f(at, grad)
	for range steps {
		if largest(grad) <= tolerance {
			return at, nil
		}
		d := direction(grad, s, y)
		slope := dot(d, grad)
		if slope >= 0 { // the memory misleads: go downhill
			s, y = nil, nil
			d = direction(grad, nil, nil)
			slope = dot(d, grad)
		}
		step := 1.0
		if len(s) == 0 {
			step = 1 / math.Max(1, math.Sqrt(-slope))
		}
		moved := false
		for range 60 {
			for i := range next {
				next[i] = at[i] + step*d[i]
			}
			v := f(next, nextGrad)
			if v <= value+1e-4*step*slope || math.Abs(v-value) <= 1e-14*math.Abs(value) && largest(nextGrad) < largest(grad) {
				value, moved = v, true
				break
			}
			step /= 2
		}
		if !moved {
			if len(s) > 0 {
				s, y = nil, nil
				continue
			}
			return nil, fmt.Errorf("no step lowers the loss, the gradient is still %g", largest(grad))
		}
		ds, dy := make([]float64, n), make([]float64, n)
		for i := range at {
			ds[i], dy[i] = next[i]-at[i], nextGrad[i]-grad[i]
		}
		if dot(ds, dy) > 1e-12*dot(dy, dy) {
			s, y = append(s, ds), append(y, dy)
			if len(s) > memory {
				s, y = s[1:], y[1:]
			}
		}
		copy(at, next)
		copy(grad, nextGrad)
	}
	return nil, fmt.Errorf("not done after %d steps, the gradient is still %g", steps, largest(grad))
}

// direction is -H·grad by the two loops of Nocedal and Wright, algorithm 7.4.
func direction(grad []float64, s, y [][]float64) []float64 {
	d := make([]float64, len(grad))
	for i, g := range grad {
		d[i] = -g
	}
	alpha := make([]float64, len(s))
	for k := len(s) - 1; k >= 0; k-- {
		alpha[k] = dot(s[k], d) / dot(s[k], y[k])
		axpy(d, -alpha[k], y[k])
	}
	if k := len(s) - 1; k >= 0 {
		scale := dot(s[k], y[k]) / dot(y[k], y[k])
		for i := range d {
			d[i] *= scale
		}
	}
	for k := range s {
		axpy(d, alpha[k]-dot(y[k], d)/dot(s[k], y[k]), s[k])
	}
	return d
}

func dot(a, b []float64) float64 {
	s := 0.0
	for i, v := range a {
		s += v * b[i]
	}
	return s
}

func axpy(into []float64, a float64, x []float64) {
	for i, v := range x {
		into[i] += a * v
	}
}

func largest(v []float64) float64 {
	m := 0.0
	for _, x := range v {
		m = math.Max(m, math.Abs(x))
	}
	return m
}
