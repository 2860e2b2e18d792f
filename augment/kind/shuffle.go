package kind

import (
	"math/rand/v2"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/islm-dev/islm/augment/edit"
)

// shuffleParams are the keys of shuffle.v0.
type shuffleParams struct {
	Swap      int      `yaml:"swap" doc:"exchange this many pairs of words instead of shuffling all"`
	Share     *float64 `yaml:"share" doc:"instead of swap: as many pairs as this part of the words"`
	Sentences bool     `yaml:"sentences" doc:"shuffle the sentences of the match, each staying as it is"`
	Segments  *float64 `yaml:"segments" doc:"shuffle the words within each stretch of one label (a mention, or what lies between mentions), each with this probability"`
}

// shuffle changes the order: of words (EDA's random swap, Wei and Zou 2019), of
// words within segments of one label (Dai and Adel 2020, An Analysis of Simple
// Data Augmentation for Named Entity Recognition), or of sentences (Yan et al.
// 2019, Data Augmentation for Deep Learning of Judgment Documents).
//
// Words in labelled spans stay where they are, but for segments, which shuffles
// within them. A sentence takes its spans along.
type shuffle struct {
	swaps     int
	share     float64
	sentences bool
	segments  float64
}

func newShuffle(b *edit.Build) edit.Action {
	var p shuffleParams
	if !b.Decode(&p) {
		return nil
	}
	s := &shuffle{swaps: within(b, "swap", p.Swap, 0, 1, 100), sentences: p.Sentences}
	if p.Share != nil {
		s.share = share(b, "share", p.Share, 0)
	}
	if p.Segments != nil {
		s.segments = share(b, "segments", p.Segments, 0)
	}
	n := 0
	for _, given := range []bool{p.Swap != 0, p.Share != nil, p.Sentences, p.Segments != nil} {
		if given {
			n++
		}
	}
	if n > 1 {
		b.Report("rules.param", "", "give one of them", "swap, share, sentences and segments exclude each other")
		return nil
	}
	return s
}

// Edit changes the order of words or sentences in the match.
func (s *shuffle) Edit(c *edit.Context) {
	switch {
	case s.sentences:
		shuffleSentences(c)
	case s.segments > 0:
		s.shuffleSegments(c)
	default:
		words := freeWords(c, c.Match.Start, c.Match.End)
		n := s.swaps
		if s.share > 0 {
			n = max(1, int(s.share*float64(len(words))+0.5))
		}
		permute(c, words, n)
	}
}

// freeWords are the words of [start, end) that stand in no labelled span.
func freeWords(c *edit.Context, start, end int) []sdkToken {
	var words []sdkToken
	for _, w := range c.Words() {
		if w.Start < start || w.End > end {
			continue
		}
		if r, _ := utf8.DecodeRuneInString(c.Text[w.Start:]); edit.IsWord(r) && !overlapsSpan(c, w.Start, w.End) {
			words = append(words, w)
		}
	}
	return words
}

// permute exchanges words in pairs, swaps times, or shuffles them if swaps is 0.
// Every word that changes place is one edit.
func permute(c *edit.Context, words []sdkToken, swaps int) {
	n := len(words)
	if n < 2 {
		return
	}
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	if swaps == 0 {
		c.Rand.Shuffle(n, func(i, j int) { order[i], order[j] = order[j], order[i] })
	}
	for range swaps {
		i := c.Rand.IntN(n)
		j := c.Rand.IntN(n - 1)
		if j >= i {
			j++
		}
		order[i], order[j] = order[j], order[i]
	}
	for i, from := range order {
		old, text := c.Text[words[i].Start:words[i].End], c.Text[words[from].Start:words[from].End]
		if sentenceStart(c.Text, words[i].Start) && casingOf(old) == capital {
			text = capitalize(text)
		} else if sentenceStart(c.Text, words[from].Start) && i != from {
			text = decapitalize(text)
		}
		if text != old {
			c.Replace(words[i].Start, words[i].End, text)
		}
	}
}

// shuffleSegments shuffles words within mentions and within what lies between.
func (s *shuffle) shuffleSegments(c *edit.Context) {
	segment := func(start, end int) {
		if c.Rand.Float64() >= s.segments {
			return
		}
		var words []sdkToken
		for _, w := range c.Words() {
			if w.Start >= start && w.End <= end {
				words = append(words, w)
			}
		}
		permute(c, words, 0)
	}
	at := c.Match.Start
	var spans []sdkSpan
	c.Spans(c.Match.Start, c.Match.End, func(_ string, sp sdkSpan) bool {
		spans = append(spans, sp)
		return true
	})
	slices.SortStableFunc(spans, func(a, b sdkSpan) int { return a.Start - b.Start })
	for _, sp := range spans {
		if sp.Start < at || sp.End > c.Match.End { // within another one, or cut by the match
			continue
		}
		segment(at, sp.Start)
		segment(sp.Start, sp.End)
		at = sp.End
	}
	segment(at, c.Match.End)
}

// shuffleSentences shuffles whole sentences with all that is labelled in them.
func shuffleSentences(c *edit.Context) {
	sentences := splitSentences(c.Text, c.Match.Start, c.Match.End)
	n := len(sentences)
	if n < 2 {
		return
	}
	order := different(c.Rand, n)
	var b strings.Builder
	var marks []edit.Mark
	start, end := sentences[0].Start, sentences[n-1].End
	crossing := false
	c.Spans(start, end, func(_ string, s sdkSpan) bool {
		crossing = !slices.ContainsFunc(sentences, func(t sdkToken) bool { return t.Start <= s.Start && s.End <= t.End })
		return !crossing
	})
	if crossing {
		return
	}
	for i, k := range order {
		marks = carryMarks(marks, c, sentences[k].Start, sentences[k].End, b.Len())
		b.WriteString(c.Text[sentences[k].Start:sentences[k].End])
		if i+1 < n { // the blanks between the places stay
			b.WriteString(c.Text[sentences[i].End:sentences[i+1].Start])
		}
	}
	c.Replace(start, end, b.String(), marks...)
}

// different draws an order of n things that is not the one they have.
func different(rng *rand.Rand, n int) []int {
	order := rng.Perm(n)
	if slices.IsSorted(order) {
		i := rng.IntN(n)
		j := (i + 1) % n
		order[i], order[j] = order[j], order[i]
	}
	return order
}

// splitSentences finds the sentences of [start, end): they end with . ! ? or 。！？
// and the closing signs after it, in Latin scripts only before a blank and
// something that can begin a sentence.
func splitSentences(t string, start, end int) []sdkToken {
	var out []sdkToken
	begin := -1
	add := func(to int) {
		if begin >= 0 {
			out = append(out, sdkToken{Start: begin, End: to})
			begin = -1
		}
	}
	for i := start; i < end; {
		r, n := utf8.DecodeRuneInString(t[i:])
		if begin < 0 && !unicode.IsSpace(r) {
			begin = i
		}
		i += n
		switch r {
		case '\n':
			add(i - 1)
			continue
		case '。', '！', '？', '；':
		case '.', '!', '?':
			if r == '.' && abbreviated(strings.TrimRight(t[:i-1], " ")) {
				continue
			}
		default:
			continue
		}
		for i < end {
			q, k := utf8.DecodeRuneInString(t[i:])
			if !strings.ContainsRune("\"'”’)]）」』.!?。！？", q) {
				break
			}
			i += k
		}
		if r < utf8.RuneSelf && i < end {
			if t[i] != ' ' && t[i] != '\n' {
				continue
			}
			next, _ := utf8.DecodeRuneInString(strings.TrimLeft(t[i:end], " "))
			if unicode.IsLower(next) || strings.ContainsRune(",;:%)]", next) || r == '.' && unicode.IsDigit(next) && endsInDigit(t[:i-1]) {
				continue // also of corpora that set every sign apart: 34 . 5 % , et al . , 1998
			}
		}
		add(i)
	}
	to := end
	for to > start && (t[to-1] == ' ' || t[to-1] == '\n') {
		to--
	}
	if begin >= 0 && begin < to {
		add(to)
	}
	return out
}

func endsInDigit(t string) bool {
	t = strings.TrimRight(t, " ")
	return t != "" && t[len(t)-1] >= '0' && t[len(t)-1] <= '9'
}

// abbreviated reports that a point after t likely ends no sentence.
func abbreviated(t string) bool {
	from := len(t)
	for from > 0 && (isASCIILetter(t[from-1]) || t[from-1] == '.') {
		from--
	}
	w := t[from:]
	if len(w) == 1 && w[0] <= 'Z' || strings.Contains(w, ".") {
		return true
	}
	switch strings.ToLower(w) {
	case "mr", "mrs", "ms", "dr", "prof", "inc", "ltd", "co", "corp", "vs", "no", "nos", "art", "fig", "approx", "etc", "st", "jr", "sr", "dept", "sec", "para":
		return true
	}
	return false
}
