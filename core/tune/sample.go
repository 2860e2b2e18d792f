package tune

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// Trial is one try: what it set, and how it went.
type Trial struct {
	ID     int               `json:"id"`
	Values map[string]string `json:"values"`
	Budget int               `json:"budget,omitempty"` // epochs; 0 = the recipe's
	From   int               `json:"from,omitempty"`   // with Rung > 0: the trial that was promoted
	Rung   int               `json:"rung,omitempty"`
	Score  float64           `json:"score"` // on the validation data, larger is better
	Error  string            `json:"error,omitempty"`

	Seconds float64 `json:"seconds,omitempty"` // of the step loop
	Memory  int64   `json:"peak_rss_bytes,omitempty"`

	// Inputs are those of its study; nil in files of versions that did not keep them.
	Inputs map[string]string `json:"inputs,omitempty"`
}

func rng(seed uint64, id int) *rand.Rand {
	return rand.New(rand.NewPCG(seed, 0x74756e65<<32|uint64(uint32(id)))) // "tune"
}

// Random draws the values of a trial.
func (s Space) Random(seed uint64, id int) map[string]string {
	r := rng(seed, id)
	out := map[string]string{}
	for i := range s {
		out[s[i].Key] = s[i].at(r.Float64())
	}
	return out
}

// Settings of TPE as in Bergstra et al. 2011 and hyperopt.
const (
	startup    = 10   // random trials before it begins
	candidates = 24   // drawn from the better trials
	quantile   = 0.25 // share of trials that count as better
)

// TPE proposes the values of a trial by the Tree-structured Parzen Estimator
// (Bergstra et al. 2011, "Algorithms for Hyper-Parameter Optimization"): of the
// finished trials the best quarter gives a density l, the rest a density g, each
// dimension by itself; of 24 draws from l the one with the largest l/g is tried.
func (s Space) TPE(seed uint64, id int, done []Trial) map[string]string {
	done = slices.DeleteFunc(slices.Clone(done), func(t Trial) bool { return t.Error != "" })
	if len(done) < startup {
		return s.Random(seed, id)
	}
	slices.SortStableFunc(done, func(a, b Trial) int { return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.ID, b.ID)) })
	n := max(1, int(math.Ceil(quantile*float64(len(done)))))
	r := rng(seed, id)
	out := map[string]string{}
	for i := range s {
		d := &s[i]
		good, bad := d.density(done[:n]), d.density(done[n:])
		best, value := math.Inf(-1), ""
		for range candidates {
			v := d.at(good.draw(r))
			x := d.position(v)
			if ratio := math.Log(good.at(x)) - math.Log(bad.at(x)); ratio > best {
				best, value = ratio, v
			}
		}
		out[d.Key] = value
	}
	return out
}

// density is a mixture on [0, 1]: one normal per trial, cut off at the ends, and
// one uniform part, so that no place is out of reach. Of choices it is their
// counts, with one more for each.
type density struct {
	centres []float64
	width   []float64
	counts  []float64 // of choices
}

func (d *Dimension) density(trials []Trial) *density {
	p := &density{}
	if d.Choices != nil {
		p.counts = make([]float64, len(d.Choices))
		for i := range p.counts {
			p.counts[i] = 1
		}
		for _, t := range trials {
			if i := slices.Index(d.Choices, t.Values[d.Key]); i >= 0 {
				p.counts[i]++
			}
		}
		return p
	}
	for _, t := range trials {
		p.centres = append(p.centres, d.position(t.Values[d.Key]))
	}
	slices.Sort(p.centres)
	// As wide as the farther neighbour is away, within limits.
	narrowest := 1 / float64(min(100, 1+len(p.centres)))
	for i, c := range p.centres {
		left, right := c, 1-c
		if i > 0 {
			left = c - p.centres[i-1]
		}
		if i+1 < len(p.centres) {
			right = p.centres[i+1] - c
		}
		p.width = append(p.width, min(max(left, right, narrowest), 1))
	}
	return p
}

func (p *density) draw(r *rand.Rand) float64 {
	if p.counts != nil {
		total := 0.0
		for _, c := range p.counts {
			total += c
		}
		u := r.Float64() * total
		for i, c := range p.counts {
			if u -= c; u < 0 {
				return (float64(i) + 0.5) / float64(len(p.counts))
			}
		}
		return (float64(len(p.counts)) - 0.5) / float64(len(p.counts))
	}
	i := r.IntN(len(p.centres) + 1)
	if i == len(p.centres) {
		return r.Float64()
	}
	for {
		if x := p.centres[i] + p.width[i]*r.NormFloat64(); x >= 0 && x < 1 {
			return x
		}
	}
}

// at is the density at x.
func (p *density) at(x float64) float64 {
	if p.counts != nil {
		total := 0.0
		for _, c := range p.counts {
			total += c
		}
		return p.counts[min(max(int(x*float64(len(p.counts))), 0), len(p.counts)-1)] / total
	}
	sum := 1.0
	for i, c := range p.centres {
		w := p.width[i]
		inside := (math.Erf((1-c)/(w*math.Sqrt2)) + math.Erf(c/(w*math.Sqrt2))) / 2
		z := (x - c) / w
		sum += math.Exp(-z*z/2) / (w * math.Sqrt(2*math.Pi) * inside)
	}
	return sum / float64(len(p.centres)+1)
}
