package fewshot

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// Draw chooses shots examples of each class: those whose hash of seed, split and
// example is lowest. key is the hash of each example's ID. The rows come in their
// order. A class with fewer examples gives all of them.
func Draw(key []uint64, y []int, classes, shots int, seed uint64, split int) []int {
	by := make([][]int, classes)
	for i, c := range y {
		if c >= 0 && c < classes {
			by[c] = append(by[c], i)
		}
	}
	var out []int
	for _, rows := range by {
		slices.SortStableFunc(rows, func(a, b int) int {
			return cmp.Or(cmp.Compare(mix(key[a], seed, uint64(split)), mix(key[b], seed, uint64(split))), cmp.Compare(a, b))
		})
		out = append(out, rows[:min(shots, len(rows))]...)
	}
	slices.Sort(out)
	return out
}

// mix hashes three numbers (the finaliser of splitmix64).
func mix(values ...uint64) uint64 {
	h := uint64(0x9e3779b97f4a7c15)
	for _, v := range values {
		h ^= v
		h += 0x9e3779b97f4a7c15
		h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
		h = (h ^ h>>27) * 0x94d049bb133111eb
		h ^= h >> 31
	}
	return h
}

// Folds gives each row of a draw one of n folds, so that each class is spread
// evenly. y are the classes of the rows; each round of a seed deals the rows of a
// class anew.
func Folds(y []int, n int, seed uint64, round int) []int {
	all := make([]int, len(y))
	for i := range all {
		all[i] = i
	}
	seen := map[int]int{}
	out := make([]int, len(y))
	for _, i := range Shuffled(all, seed, round) {
		out[i] = seen[y[i]] % n
		seen[y[i]]++
	}
	return out
}

// Candidate is a method in a cross-validation.
type Candidate struct {
	Method   string  `json:"method"`
	Accuracy float64 `json:"accuracy"` // of all rounds' held-out examples
	Ahead    float64 `json:"ahead"`    // of the first candidate
	Error    float64 `json:"error"`    // standard error of Ahead over the examples
}

// Choose is the first of some methods unless others are ahead of it by more than
// one standard error of the difference on the same examples: then the most accurate
// of these. A cross-validation of a few examples seldom tells methods apart, so that
// its winner alone would be a draw of lots (the rule of one standard error: Breiman,
// Friedman, Olshen and Stone 1984, "Classification and Regression Trees", 3.4.3).
// right holds for each method and example the share of the rounds in which it was
// classified right.
func Choose(methods []string, right [][]float64) (string, []Candidate) {
	out := make([]Candidate, len(methods))
	best := 0
	for m, method := range methods {
		c := &out[m]
		c.Method = method
		c.Accuracy, _ = MeanDeviation(right[m])
		d := make([]float64, len(right[m]))
		for i, v := range right[m] {
			d[i] = v - right[0][i]
		}
		var deviation float64
		c.Ahead, deviation = MeanDeviation(d)
		if len(d) > 0 {
			c.Error = deviation / math.Sqrt(float64(len(d)))
		}
		if c.Ahead > c.Error && c.Accuracy > out[best].Accuracy {
			best = m
		}
	}
	if len(methods) == 0 {
		return "", nil
	}
	return methods[best], out
}

// Pair is two examples, and whether they are of one class.
type Pair struct {
	A, B int
	Same bool
}

// Pairs draws pairs for contrastive training, each a function of seed and its
// number, so that none is kept in memory (Tunstall et al. 2022, "Efficient
// Few-Shot Learning Without Prompts", where all are).
type Pairs struct {
	by   [][]int // rows of each class that has any
	seed uint64
}

// NewPairs prepares the pairs of rows 0 … len(y)-1.
func NewPairs(y []int, seed uint64) *Pairs {
	by := map[int][]int{}
	for i, c := range y {
		by[c] = append(by[c], i)
	}
	p := &Pairs{seed: seed}
	for _, c := range slices.Sorted(keysOf(by)) {
		p.by = append(p.by, by[c])
	}
	return p
}

func keysOf(m map[int][]int) func(func(int) bool) {
	return func(yield func(int) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// Classes is how many classes have rows.
func (p *Pairs) Classes() int { return len(p.by) }

// At is pair number i of an epoch: even ones of one class, odd ones of two.
func (p *Pairs) At(epoch, i int) Pair {
	rng := rand.New(rand.NewPCG(p.seed, mix(uint64(epoch), uint64(i))))
	a := rng.IntN(len(p.by))
	rows := p.by[a]
	pair := Pair{A: rows[rng.IntN(len(rows))], Same: i%2 == 0 || len(p.by) == 1}
	if pair.Same {
		pair.B = other(rows, pair.A, rng)
		return pair
	}
	b := rng.IntN(len(p.by) - 1)
	if b >= a {
		b++
	}
	pair.B = p.by[b][rng.IntN(len(p.by[b]))]
	return pair
}

// other is a row beside a, or a itself where there is none.
func other(rows []int, a int, rng *rand.Rand) int {
	if len(rows) == 1 {
		return a
	}
	k := rng.IntN(len(rows) - 1)
	if rows[k] == a {
		k = len(rows) - 1
	}
	return rows[k]
}

// Positives gives the pairs of one batch of in-batch negatives: n different
// classes, a pair of one class each. n is at most Classes.
func (p *Pairs) Positives(epoch, batch, n int) []Pair {
	rng := rand.New(rand.NewPCG(p.seed^0x706f73, mix(uint64(epoch), uint64(batch)))) // "pos"
	order := rng.Perm(len(p.by))[:min(n, len(p.by))]
	out := make([]Pair, len(order))
	for i, c := range order {
		a := p.by[c][rng.IntN(len(p.by[c]))]
		out[i] = Pair{A: a, B: other(p.by[c], a, rng), Same: true}
	}
	return out
}

// Compared is a paired comparison of two methods over splits.
type Compared struct {
	Method string  `json:"method"` // the other
	Diff   float64 `json:"diff"`   // mean of chosen - other
	Low    float64 `json:"low"`    // 95 % interval of the mean, by Student's t
	High   float64 `json:"high"`
	P      float64 `json:"p"` // two-sided, exact test of all flips of signs
	Splits int     `json:"splits"`
}

// Compare holds the scores of two methods on the same splits against each other.
func Compare(chosen, other []float64) Compared {
	n := len(chosen)
	c := Compared{Splits: n, P: 1}
	if n == 0 || n != len(other) {
		return c
	}
	d := make([]float64, n)
	for i := range d {
		d[i] = chosen[i] - other[i]
		c.Diff += d[i] / float64(n)
	}
	_, sd := MeanDeviation(d)
	half := student(n-1) * sd / math.Sqrt(float64(n))
	c.Low, c.High = c.Diff-half, c.Diff+half
	if n > 20 { // 2^20 flips are enough work
		return c
	}
	extreme := 0
	for flips := range 1 << n {
		s := 0.0
		for i, v := range d {
			if flips>>i&1 == 1 {
				v = -v
			}
			s += v / float64(n)
		}
		if math.Abs(s) >= math.Abs(c.Diff)-1e-12 {
			extreme++
		}
	}
	c.P = float64(extreme) / float64(int(1)<<n)
	return c
}

// MeanDeviation gives mean and sample standard deviation.
func MeanDeviation(v []float64) (mean, deviation float64) {
	for _, x := range v {
		mean += x / float64(len(v))
	}
	if len(v) < 2 {
		return mean, 0
	}
	for _, x := range v {
		deviation += (x - mean) * (x - mean)
	}
	return mean, math.Sqrt(deviation / float64(len(v)-1))
}

// Interval gives the mean and the 95 % interval of the mean by Student's t; of one
// value the interval is the value.
func Interval(v []float64) (mean, low, high float64) {
	mean, sd := MeanDeviation(v)
	if len(v) < 2 {
		return mean, mean, mean
	}
	half := student(len(v)-1) * sd / math.Sqrt(float64(len(v)))
	return mean, mean - half, mean + half
}

// student is the 97.5 % point of Student's t distribution.
func student(freedom int) float64 {
	table := []float64{0, 12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086}
	if freedom < len(table) {
		return table[max(freedom, 0)]
	}
	return 1.96
}

// Shuffled is some rows in the order of an epoch, a function of seed and epoch.
func Shuffled(rows []int, seed uint64, epoch int) []int {
	out := slices.Clone(rows)
	rng := rand.New(rand.NewPCG(seed^0x666577, uint64(epoch))) // "few"
	rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}
