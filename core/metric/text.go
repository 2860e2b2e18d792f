package metric

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Text holds the scores of generated texts (hypotheses) against what people
// wrote (references).
type Text struct {
	N          int     `json:"n"`
	BLEU       BLEU    `json:"bleu"`
	ChrF       float64 `json:"chrf"` // 0..100
	ROUGE      ROUGE   `json:"rouge"`
	ExactMatch float64 `json:"exact_match"` // 0..1
	// Sample is what was counted in each text: bleu, chrf, rouge_l and exact_match
	// of parts and draws of the texts.
	Sample *Sample `json:"-"`
}

// textRow is what one hypothesis adds to the counts of the corpus.
type textRow struct {
	bleu  BLEU // matches, totals and lengths
	chrf  characterCounts
	rouge ROUGE
	exact float64
}

// scoreTexts gives the scores of texts that are counted weight times, nil = once.
func scoreTexts(rows []textRow, weight []int32) *Text {
	t := &Text{}
	chars := characterCounts{}
	for i := range rows {
		w := 1
		if weight != nil {
			if w = int(weight[i]); w == 0 {
				continue
			}
		}
		r := &rows[i]
		t.N += w
		t.BLEU.add(r.bleu, w)
		chars.add(r.chrf, w)
		t.ROUGE.add(r.rouge, w)
		t.ExactMatch += float64(w) * r.exact
	}
	t.BLEU.finish()
	t.ChrF = chars.score()
	t.ROUGE.finish(t.N)
	t.ExactMatch = ratio(t.ExactMatch, float64(t.N))
	return t
}

// NewText gives all scores of hypotheses with one or more references each.
// language "zh" cuts Chinese into characters (TokensZh, RougeTokensZh), any
// other language into words (Tokens13a, RougeTokens). It fails where the lists
// differ in length or a hypothesis has no reference.
func NewText(hypotheses []string, references [][]string, language string) (*Text, error) {
	words, units := Tokens13a, RougeTokens
	if language == "zh" {
		words, units = TokensZh, RougeTokensZh
	}
	if err := paired(hypotheses, references); err != nil {
		return nil, fmt.Errorf("scores of text: %w", err)
	}
	rows := make([]textRow, len(hypotheses))
	for i, h := range hypotheses {
		rows[i] = textRow{bleu: bleuCounts(h, references[i], words), chrf: chrFCounts(h, references[i]), rouge: bestROUGE(h, references[i], units), exact: float64(btoi(exact(h, references[i])))}
	}
	t := scoreTexts(rows, nil)
	if len(rows) > 0 {
		t.Sample = &Sample{texts: rows}
	}
	return t, nil
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// bleuOrder is the longest n-gram that BLEU counts.
const bleuOrder = 4

// BLEU is the score of a corpus, and what it was made of.
type BLEU struct {
	Score      float64            `json:"score"`      // 0..100
	Precisions [bleuOrder]float64 `json:"precisions"` // 0..100, of 1-grams to 4-grams, smoothed
	Brevity    float64            `json:"brevity"`    // the penalty, 0..1
	Matches    [bleuOrder]int     `json:"matches"`    // n-grams of hypotheses found in a reference, each as often as it stands there
	Totals     [bleuOrder]int     `json:"totals"`     // n-grams of hypotheses
	Length     int                `json:"length"`     // of the hypotheses, in tokens
	Reference  int                `json:"reference"`  // summed length of the references closest in length
}

// CorpusBLEU is the BLEU of Papineni et al. (2002, "BLEU: a Method for
// Automatic Evaluation of Machine Translation") with the choices of sacrebleu
// (Post 2018): counts and lengths are summed over the corpus; an n-gram counts
// up to the most often that one reference has it; of the references the one
// closest in length is the length to reach, the shorter of two; the k-th order
// without a match has precision 1/(2^k total) (exponential smoothing of
// mteval-v13a); and all four orders count, so that a corpus without 4-grams, or
// without any match, has the score 0. tokens is Tokens13a, or TokensZh for
// Chinese. It fails as NewText does.
func CorpusBLEU(hypotheses []string, references [][]string, tokens func(string) []string) (BLEU, error) {
	if err := paired(hypotheses, references); err != nil {
		return BLEU{}, fmt.Errorf("BLEU: %w", err)
	}
	return bleu(hypotheses, references, tokens), nil
}

func bleu(hypotheses []string, references [][]string, tokens func(string) []string) BLEU {
	b := BLEU{}
	for i, h := range hypotheses {
		b.add(bleuCounts(h, references[i], tokens), 1)
	}
	b.finish()
	return b
}

// add counts c so many times.
func (b *BLEU) add(c BLEU, times int) {
	b.Length += times * c.Length
	b.Reference += times * c.Reference
	for n := range c.Matches {
		b.Matches[n] += times * c.Matches[n]
		b.Totals[n] += times * c.Totals[n]
	}
}

// bleuCounts counts one hypothesis.
func bleuCounts(hypothesis string, references []string, tokens func(string) []string) BLEU {
	b := BLEU{}
	said := tokens(hypothesis)
	closest := -1
	wanted := [bleuOrder]map[string]int{}
	for _, r := range references {
		units := tokens(r)
		if d := distance(len(units), len(said)) - distance(closest, len(said)); closest < 0 || d < 0 || d == 0 && len(units) < closest {
			closest = len(units)
		}
		for n := range wanted {
			grams := ngrams(units, n+1)
			if wanted[n] == nil {
				wanted[n] = grams
			}
			for g, count := range grams {
				wanted[n][g] = max(wanted[n][g], count)
			}
		}
	}
	b.Length, b.Reference = len(said), closest
	for n := range wanted {
		b.Matches[n] = overlap(ngrams(said, n+1), wanted[n])
		b.Totals[n] = max(0, len(said)-n)
	}
	return b
}

// finish makes the score of the counts.
func (b *BLEU) finish() {
	b.Brevity = 1
	if b.Length == 0 && b.Reference > 0 {
		b.Brevity = 0
	} else if b.Length < b.Reference {
		b.Brevity = math.Exp(1 - float64(b.Reference)/float64(b.Length))
	}
	if sum(b.Matches[:]) == 0 {
		return
	}
	logs, smooth := 0.0, 1.0
	for n, total := range b.Totals {
		if total == 0 {
			return // the precision of this order is undefined: 0, and so the score
		}
		b.Precisions[n] = 100 * float64(b.Matches[n]) / float64(total)
		if b.Matches[n] == 0 {
			smooth *= 2
			b.Precisions[n] = 100 / (smooth * float64(total))
		}
		logs += math.Log(b.Precisions[n])
	}
	b.Score = b.Brevity * math.Exp(logs/bleuOrder)
}

// The longest character n-gram of chrF, and how many times as much as precision
// its recall weighs.
const (
	chrFOrder = 6
	chrFBeta  = 2
)

// ChrF is the character n-gram F-score of Popović (2015, "chrF: character
// n-gram F-score for automatic MT evaluation"), 0..100, with the choices of
// sacrebleu's chrF2: n-grams of 1 to 6 characters without white space, summed
// over the corpus; mean precision and recall over the orders that hypotheses
// and references both have; recall weighs twice (beta 2). Of several
// references the one with the best score of its own counts. It needs no
// tokenizer and so no language. It fails as NewText does.
func ChrF(hypotheses []string, references [][]string) (float64, error) {
	if err := paired(hypotheses, references); err != nil {
		return 0, fmt.Errorf("chrF: %w", err)
	}
	return chrF(hypotheses, references), nil
}

func chrF(hypotheses []string, references [][]string) float64 {
	corpus := characterCounts{}
	for i, h := range hypotheses {
		corpus.add(chrFCounts(h, references[i]), 1)
	}
	return corpus.score()
}

// chrFCounts counts one hypothesis against its best reference.
func chrFCounts(hypothesis string, references []string) characterCounts {
	said := characterGrams(hypothesis)
	best, bestScore := characterCounts{}, -1.0
	for _, r := range references {
		c := characterCounts{}
		for n, wanted := range characterGrams(r) {
			c[n] = [3]int{size(said[n]), size(wanted), overlap(said[n], wanted)}
			if len(wanted) == 0 {
				c[n][0] = 0 // an order that the reference lacks is no fault of the hypothesis
			}
		}
		if s := c.score(); s > bestScore {
			best, bestScore = c, s
		}
	}
	return best
}

// characterCounts holds n-grams of the hypotheses, of the references and of
// both, by order.
type characterCounts [chrFOrder][3]int

// add counts other so many times.
func (c *characterCounts) add(other characterCounts, times int) {
	for n := range c {
		for k := range c[n] {
			c[n][k] += times * other[n][k]
		}
	}
}

func (c *characterCounts) score() float64 {
	precision, recall, orders := 0.0, 0.0, 0.0
	for _, of := range c {
		if of[0] > 0 && of[1] > 0 {
			precision += float64(of[2]) / float64(of[0])
			recall += float64(of[2]) / float64(of[1])
			orders++
		}
	}
	precision, recall = ratio(precision, orders), ratio(recall, orders)
	return 100 * ratio((1+chrFBeta*chrFBeta)*precision*recall, chrFBeta*chrFBeta*precision+recall)
}

// characterGrams counts the n-grams of a text without its white space.
func characterGrams(text string) [chrFOrder]map[string]int {
	units := make([]string, 0, len(text))
	for _, r := range text {
		if !space(r) {
			units = append(units, string(r))
		}
	}
	out := [chrFOrder]map[string]int{}
	for n := range out {
		out[n] = ngrams(units, n+1)
	}
	return out
}

// ROUGE holds F-measures, 0..1: means over the hypotheses.
type ROUGE struct {
	One float64 `json:"rouge_1"` // of tokens
	Two float64 `json:"rouge_2"` // of pairs of tokens
	L   float64 `json:"rouge_l"` // of the longest common subsequence
}

// MeanROUGE gives ROUGE-1, ROUGE-2 and ROUGE-L of Lin (2004, "ROUGE: A Package
// for Automatic Evaluation of Summaries") as rouge-score computes them without
// a stemmer: balanced F-measures of each hypothesis; of several references each
// score takes its best; a text without tokens has 0. ROUGE-L takes a text as
// one sentence. tokens is RougeTokens, or RougeTokensZh for Chinese. It fails as
// NewText does.
func MeanROUGE(hypotheses []string, references [][]string, tokens func(string) []string) (ROUGE, error) {
	if err := paired(hypotheses, references); err != nil {
		return ROUGE{}, fmt.Errorf("ROUGE: %w", err)
	}
	return rouge(hypotheses, references, tokens), nil
}

func rouge(hypotheses []string, references [][]string, tokens func(string) []string) ROUGE {
	total := ROUGE{}
	for i, h := range hypotheses {
		total.add(bestROUGE(h, references[i], tokens), 1)
	}
	total.finish(len(hypotheses))
	return total
}

// add sums so many times, finish makes the mean of n.
func (r *ROUGE) add(other ROUGE, times int) {
	f := float64(times)
	r.One, r.Two, r.L = r.One+f*other.One, r.Two+f*other.Two, r.L+f*other.L
}

func (r *ROUGE) finish(n int) {
	f := float64(n)
	r.One, r.Two, r.L = ratio(r.One, f), ratio(r.Two, f), ratio(r.L, f)
}

// bestROUGE is that of one hypothesis.
func bestROUGE(hypothesis string, references []string, tokens func(string) []string) ROUGE {
	said := tokens(hypothesis)
	best := ROUGE{}
	for _, r := range references {
		wanted := tokens(r)
		f := func(both, cut int) float64 {
			return ratio(2*float64(both), float64(max(0, len(said)-cut)+max(0, len(wanted)-cut)))
		}
		best.One = max(best.One, f(overlap(ngrams(said, 1), ngrams(wanted, 1)), 0))
		best.Two = max(best.Two, f(overlap(ngrams(said, 2), ngrams(wanted, 2)), 1))
		best.L = max(best.L, f(commonSubsequence(said, wanted), 0))
	}
	return best
}

// ExactMatch is the share of hypotheses, 0..1, that equal one of their
// references but for white space at both ends. Case and punctuation count. It
// fails as NewText does.
func ExactMatch(hypotheses []string, references [][]string) (float64, error) {
	if err := paired(hypotheses, references); err != nil {
		return 0, fmt.Errorf("exact match: %w", err)
	}
	return exactMatch(hypotheses, references), nil
}

func exactMatch(hypotheses []string, references [][]string) float64 {
	right := 0
	for i, h := range hypotheses {
		right += btoi(exact(h, references[i]))
	}
	return ratio(float64(right), float64(len(hypotheses)))
}

func exact(hypothesis string, references []string) bool {
	h := strings.TrimFunc(hypothesis, space)
	return slices.ContainsFunc(references, func(r string) bool { return strings.TrimFunc(r, space) == h })
}

// Perplexity is the exponential of the mean log-loss: logLoss is summed over
// tokens, in nats. Without tokens it is 1, that of nothing to guess.
func Perplexity(logLoss float64, tokens int) float64 {
	return math.Exp(ratio(logLoss, float64(tokens)))
}

// paired says whether every hypothesis has references.
func paired(hypotheses []string, references [][]string) error {
	if len(hypotheses) != len(references) {
		return fmt.Errorf("%d hypotheses for %d lists of references", len(hypotheses), len(references))
	}
	for i, r := range references {
		if len(r) == 0 {
			return fmt.Errorf("hypothesis %d has no reference", i)
		}
	}
	return nil
}

// ngrams counts the runs of n units. Units hold no space.
func ngrams(units []string, n int) map[string]int {
	out := map[string]int{}
	for i := 0; i+n <= len(units); i++ {
		out[strings.Join(units[i:i+n], " ")]++
	}
	return out
}

// overlap is the size of the intersection of two multisets.
func overlap(a, b map[string]int) int {
	n := 0
	for g, count := range a {
		n += min(count, b[g])
	}
	return n
}

func size(grams map[string]int) int {
	n := 0
	for _, count := range grams {
		n += count
	}
	return n
}

// commonSubsequence is the length of the longest one.
func commonSubsequence(a, b []string) int {
	above, row := make([]int, len(b)+1), make([]int, len(b)+1)
	for _, x := range a {
		for j, y := range b {
			if x == y {
				row[j+1] = above[j] + 1
			} else {
				row[j+1] = max(above[j+1], row[j])
			}
		}
		above, row = row, above
	}
	return above[len(b)]
}

func distance(a, b int) int { return max(a-b, b-a) }
