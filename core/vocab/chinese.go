package vocab

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode"

	"github.com/islm-dev/islm/core/token"
)

// Limits of the search for Chinese words.
const (
	hanMost     = 4       // characters of a word
	hanGrams    = 1 << 20 // runs of characters that are counted at once
	hanFound    = 1 << 15 // candidates, and
	hanBeside   = 32      // different characters beside each, that are counted
	hanCohesion = 0.4     // least normalized pointwise mutual information of a word's parts
	hanFreedom  = 1.0     // least entropy of the characters on each side, bits
	hanBound    = 2. / 3  // of the occurrences of a word, least share in a longer one
)

// gram is a run of Chinese characters, zeros behind its end.
type gram [hanMost]rune

func (g gram) runes() []rune {
	n := 0
	for n < hanMost && g[n] != 0 {
		n++
	}
	return g[:n]
}

func gramOf(run []rune) (g gram) {
	copy(g[:], run)
	return g
}

// hanWords finds words in Chinese text, which is written without spaces: the runs of
// two to four characters that are seen least times, whose parts hold together (the
// smallest pointwise mutual information over the ways to cut it in two: Church and
// Hanks 1990, "Word Association Norms, Mutual Information, and Lexicography";
// normalized as in Bouma 2009) and which stand beside different characters on either
// side (branching entropy: Jin and Tanaka-Ishii 2006, "Unsupervised Segmentation of
// Chinese Text by Use of Branching Entropy"). The end of a run of Chinese
// characters is a new neighbour each time. A run that is a word and what stands
// beside it, as 公司|股价 or 的|股价, is none unless one of the two is mostly seen so.
// The terms added, which tok has, are cut
// out of the text first: they say what the words are there.
//
// It reads texts twice. When there are more runs than hanGrams, the rarest are
// forgotten (as in lossy counting, Manku and Motwani 2002): counts are then lower
// bounds, which the caller counts anew. han is the number of Chinese characters.
func hanWords(ctx context.Context, tok *token.Tokenizer, added []token.Added, texts iter.Seq2[string, error], least int) (words []string, han int, err error) {
	terms := map[int32]bool{}
	for _, a := range added {
		if token.Inside(a.Content) {
			terms[a.ID] = true
		}
	}
	counts, floor := map[gram]int{}, 0
	err = eachRun(ctx, tok, terms, texts, func(run []rune) {
		han += len(run)
		for i := range run {
			for n := 1; n <= hanMost && i+n <= len(run); n++ {
				counts[gramOf(run[i:i+n])]++
			}
		}
		for len(counts) > hanGrams {
			floor++
			maps.DeleteFunc(counts, func(g gram, n int) bool { return n <= floor && g[1] != 0 })
		}
	})
	if err != nil || han == 0 {
		return nil, han, err
	}
	beside := map[gram]*[2]neighbours{}
	for _, g := range cohesive(counts, han, least) {
		beside[g] = &[2]neighbours{}
	}
	if len(beside) == 0 {
		return nil, han, nil
	}
	err = eachRun(ctx, tok, terms, texts, func(run []rune) {
		for i := range run {
			for n := 2; n <= hanMost && i+n <= len(run); n++ {
				sides := beside[gramOf(run[i:i+n])]
				if sides == nil {
					continue
				}
				before, after := rune(0), rune(0)
				if i > 0 {
					before = run[i-1]
				}
				if i+n < len(run) {
					after = run[i+n]
				}
				sides[0].add(before)
				sides[1].add(after)
			}
		}
	})
	if err != nil {
		return nil, han, err
	}
	maps.DeleteFunc(beside, func(_ gram, sides *[2]neighbours) bool {
		return min(sides[0].entropy(), sides[1].entropy()) < hanFreedom
	})
	for n := 3; n <= hanMost; n++ { // the shorter ones are settled then
		maps.DeleteFunc(beside, func(g gram, _ *[2]neighbours) bool {
			run := g.runes()
			return len(run) == n && joined(run, counts, func(part []rune) bool { return beside[gramOf(part)] != nil })
		})
	}
	for g := range beside {
		words = append(words, string(g.runes()))
	}
	slices.Sort(words)
	return words, han, nil
}

// joined reports whether a run is a word and another word or character beside it.
func joined(run []rune, counts map[gram]int, isWord func([]rune) bool) bool {
	whole := float64(counts[gramOf(run)])
	for k := 1; k < len(run); k++ {
		a, b := run[:k], run[k:]
		if !isWord(a) && !isWord(b) || len(a) > 1 && !isWord(a) || len(b) > 1 && !isWord(b) {
			continue
		}
		if whole < hanBound*float64(min(counts[gramOf(a)], counts[gramOf(b)])) {
			return true
		}
	}
	return false
}

// cohesive are the runs that are seen often enough and hold together, of too many
// those that save most.
func cohesive(counts map[gram]int, total, least int) (out []gram) {
	for g, n := range counts {
		run := g.runes()
		if len(run) < 2 || n < least || n == total {
			continue
		}
		own := math.Log(float64(total) / float64(n))
		firm := math.Inf(1)
		for k := 1; k < len(run); k++ {
			// A part that was forgotten was seen as often as the whole at least.
			a, b := max(counts[gramOf(run[:k])], n), max(counts[gramOf(run[k:])], n)
			firm = min(firm, math.Log(float64(n)*float64(total)/float64(a)/float64(b))/own)
		}
		if firm >= hanCohesion {
			out = append(out, g)
		}
	}
	saves := func(g gram) int { return counts[g] * (len(g.runes()) - 1) }
	slices.SortFunc(out, func(a, b gram) int {
		return cmp.Or(cmp.Compare(saves(b), saves(a)), slices.Compare(a[:], b[:]))
	})
	return out[:min(len(out), hanFound)]
}

// eachRun gives the runs of Chinese characters of texts, terms of tok cut out.
func eachRun(ctx context.Context, tok *token.Tokenizer, terms map[int32]bool, texts iter.Seq2[string, error], yield func([]rune)) error {
	var run []rune
	flush := func() {
		if len(run) > 0 {
			yield(run)
			run = run[:0]
		}
	}
	for text, err := range texts {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("choose terms: %w", err)
		}
		var known []token.Span // of terms
		if len(terms) > 0 && strings.ContainsFunc(text, isHan) {
			e := tok.Encode(text, token.Options{Bare: true})
			for i, id := range e.IDs {
				if terms[id] {
					known = append(known, e.Offsets[i])
				}
			}
		}
		for at, r := range text {
			for len(known) > 0 && known[0].End <= at {
				known = known[1:]
			}
			if !isHan(r) || len(known) > 0 && known[0].Start <= at {
				flush()
				continue
			}
			run = append(run, r)
		}
		flush()
	}
	return nil
}

func isHan(r rune) bool { return unicode.Is(unicode.Han, r) }

// neighbours counts the characters on one side; 0 is the end of a run.
type neighbours struct {
	seen map[rune]int
	ends int // and characters beyond hanBeside: each is one of its own
	all  int
}

func (n *neighbours) add(r rune) {
	n.all++
	if _, ok := n.seen[r]; r == 0 || !ok && len(n.seen) == hanBeside {
		n.ends++
		return
	}
	if n.seen == nil {
		n.seen = map[rune]int{}
	}
	n.seen[r]++
}

// entropy of what stands there, in bits.
func (n *neighbours) entropy() float64 {
	all := float64(n.all)
	h := float64(n.ends) / all * math.Log2(all)
	for _, r := range slices.Sorted(maps.Keys(n.seen)) {
		p := float64(n.seen[r]) / all
		h -= p * math.Log2(p)
	}
	return h
}
