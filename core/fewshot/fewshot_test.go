package fewshot

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"
)

// Probabilities equal those of the exact minimum.
func TestLogistic(t *testing.T) {
	data, err := os.ReadFile("testdata/logistic.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Classes int
		C       float64
		X       [][]float32
		Y       []int
		P       [][]float64
	}
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		l, err := Logistic(c.X, c.Y, c.Classes, c.C)
		if err != nil {
			t.Fatal(err)
		}
		for i, x := range c.X {
			z, sum := l.Scores(x), 0.0
			for _, s := range z {
				sum += math.Exp(s)
			}
			for k, s := range z {
				if d := math.Abs(math.Exp(s)/sum - c.P[i][k]); d > 1e-5 {
					t.Fatalf("%d classes, row %d, class %d: off by %g", c.Classes, i, k, d)
				}
			}
		}
	}
}

func TestPrototypesAreNearestMeans(t *testing.T) {
	x := [][]float32{{0, 0}, {2, 0}, {10, 10}, {12, 10}, {-5, 5}}
	y := []int{0, 0, 1, 1, 2}
	l := Prototypes(x, y, 4) // class 3 has no example
	means := [][]float64{{1, 0}, {11, 10}, {-5, 5}}
	for _, q := range [][]float32{{0, 0}, {6.1, 5}, {5.9, 4.9}, {-2, 3}, {100, -100}} {
		best, least := 0, math.Inf(1)
		for k, m := range means {
			if d := math.Hypot(float64(q[0])-m[0], float64(q[1])-m[1]); d < least {
				best, least = k, d
			}
		}
		if got := l.Class(q); got != best {
			t.Errorf("%v: class %d, the nearest mean is %d", q, got, best)
		}
	}
}

func TestDrawsAndPairs(t *testing.T) {
	var key []uint64
	var y []int
	for i := range 90 {
		key, y = append(key, mix(uint64(i))), append(y, i%3)
	}
	y[89] = 2
	a, b := Draw(key, y, 3, 8, 42, 0), Draw(key, y, 3, 8, 42, 1)
	if len(a) != 24 || len(b) != 24 || slices.Equal(a, b) || !slices.Equal(a, Draw(key, y, 3, 8, 42, 0)) {
		t.Fatal("draws are not 8 of each class, or do not depend on the split alone", a, b)
	}
	classes := make([]int, len(a))
	for i, r := range a {
		classes[i] = y[r]
	}
	per := map[[2]int]int{}
	for i, f := range Folds(classes, 4, 42, 0) {
		per[[2]int{classes[i], f}]++
	}
	if slices.Equal(Folds(classes, 4, 42, 0), Folds(classes, 4, 42, 1)) || !slices.Equal(Folds(classes, 4, 42, 1), Folds(classes, 4, 42, 1)) {
		t.Error("rounds deal the same folds, or a round does not deal the same again")
	}
	for k, n := range per {
		if n != 2 {
			t.Errorf("class %d has %d rows in fold %d", k[0], n, k[1])
		}
	}
	p := NewPairs(classes, 7)
	for i := range 200 {
		pair := p.At(1, i)
		if pair != p.At(1, i) || pair.Same != (classes[pair.A] == classes[pair.B]) || pair.Same != (i%2 == 0) || pair.A == pair.B {
			t.Fatalf("pair %d: %+v", i, pair)
		}
	}
	seen := map[int]bool{}
	for _, pair := range p.Positives(0, 3, 3) {
		c := classes[pair.A]
		if seen[c] || classes[pair.B] != c {
			t.Error("a batch of positives has a class twice, or a pair of two classes")
		}
		seen[c] = true
	}
}

func TestChoose(t *testing.T) {
	methods := []string{"first", "second", "third"}
	for name, c := range map[string]struct {
		right [][]float64
		want  string
	}{
		"a tie":                {[][]float64{{1, 0, 1, 0}, {0, 1, 0, 1}, {1, 1, 0, 0}}, "first"},
		"ahead by one of many": {[][]float64{{1, 1, 0, 0, 1, 0, 1, 0}, {0, 1, 1, 1, 1, 0, 1, 0}, {0, 0, 0, 0, 0, 0, 0, 0}}, "first"},
		"clearly ahead":        {[][]float64{{1, 0, 0, 0, 1, 0, 0, 0}, {1, 1, 1, 1, 1, 0, 0, 0}, {1, 1, 1, 1, 1, 1, 0, 0}}, "third"},
		"always ahead":         {[][]float64{{0, 0, 0, 0}, {1, 1, 1, 1}, {0, 0, 0, 0}}, "second"},
		"no examples":          {[][]float64{{}, {}, {}}, "first"},
	} {
		got, all := Choose(methods, c.right)
		if got != c.want || len(all) != 3 || all[0].Ahead != 0 {
			t.Errorf("%s: chose %s, wanted %s: %+v", name, got, c.want, all)
		}
	}
	_, all := Choose(methods[:2], [][]float64{{0, 0, 0, 1}, {1, .5, 0, 1}})
	// d = 1 .5 0 0: mean .375, deviation .4787, standard error half of it
	if c := all[1]; c.Accuracy != .625 || c.Ahead != .375 || math.Abs(c.Error-.23936) > 1e-5 {
		t.Errorf("%+v", c)
	}
}

func TestCompare(t *testing.T) {
	a := []float64{.9, .8, .85, .9, .95}
	c := Compare(a, []float64{.8, .7, .75, .8, .85})
	if math.Abs(c.Diff-.1) > 1e-9 || c.P != 2./32 || c.Low > .1 || c.High < .1 {
		t.Errorf("%+v", c)
	}
	if c := Compare(a, a); c.P != 1 || c.Diff != 0 {
		t.Errorf("equal scores: %+v", c)
	}
}

func TestUnit(t *testing.T) {
	x := [][]float32{{3, -4}, {0, 0}}
	Unit(x)
	if !slices.Equal(x[0], []float32{0.6, -0.8}) || !slices.Equal(x[1], []float32{0, 0}) {
		t.Fatal(x)
	}
}
