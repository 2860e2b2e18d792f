package kge

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
)

// random is the generator of one purpose. What it gives depends on its
// arguments only, so neither threads nor a resume change what is drawn.
func random(seed uint64, stream string, epoch, step int) *rand.Rand {
	b := binary.LittleEndian.AppendUint64(nil, seed)
	b = binary.LittleEndian.AppendUint64(b, uint64(epoch))
	b = binary.LittleEndian.AppendUint64(b, uint64(step))
	return rand.New(rand.NewChaCha8(sha256.Sum256(append(b, stream...))))
}

// row is one query and some of its training answers.
type row struct {
	query   Query
	answers []int32
}

// rows cuts the training facts of an epoch into rows and shuffles them. A row
// has at most most answers (0: all of them), drawn anew each epoch; with 1,
// every fact gives a row for its tail and one for its head, as in the papers.
func rows(known *answers, most int, seed uint64, epoch int) []row {
	r := random(seed, "rows", epoch, 0)
	out := make([]row, 0, len(known.keys))
	for i, q := range known.keys {
		list := known.at(i)
		if most > 0 && len(list) > most {
			list = slices.Clone(list)
			r.Shuffle(len(list), func(a, b int) { list[a], list[b] = list[b], list[a] })
			for len(list) > most {
				out = append(out, row{q, list[:most:most]})
				list = list[most:]
			}
		}
		out = append(out, row{q, list})
	}
	r.Shuffle(len(out), func(a, b int) { out[a], out[b] = out[b], out[a] })
	return out
}

// tries bounds how often a negative is drawn again because it is a known answer.
const tries = 32

// negatives draws n entities for each row, uniformly among those that are no
// known training answer of its query (an entity that knows everything keeps
// what was drawn last).
func negatives(known *answers, batch []row, entities, n int, seed uint64, epoch, step int) []int32 {
	r := random(seed, "negatives", epoch, step)
	out := make([]int32, 0, len(batch)*n)
	for _, b := range batch {
		right := known.of(b.query)
		for range n {
			var e int32
			for range tries {
				e = int32(r.IntN(entities))
				if _, ok := slices.BinarySearch(right, e); !ok {
					break
				}
			}
			out = append(out, e)
		}
	}
	return out
}

// weight is the subsampling weight of a row's first answer under the negative
// loss: 1/√(facts with its head and relation + facts with its relation and
// tail), each counted from 4, as in Sun et al. 2019 after word2vec.
func weight(known *answers, b row, relations int) float64 {
	m := int32(relations)
	back := Query{b.answers[0], b.query.Relation + m}
	if b.query.Relation >= m {
		back.Relation = b.query.Relation - m
	}
	// Each list holds the fact itself once: 4 + (n - 1).
	return 1 / math.Sqrt(float64(len(known.of(b.query))+3+len(known.of(back))+3))
}
