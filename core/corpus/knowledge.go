package corpus

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"unicode"

	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/token"
	"github.com/islm-dev/islm/sdk"
)

// WordFeatures gives each word of a text one class per feature, 0 for none. It
// is safe for use by many goroutines and a function of its arguments.
type WordFeatures interface {
	Extract(text string, words []sdk.Token) [][]uint16
}

// Knowledge is what an Encoder injects into its rows. It is safe for use by many
// goroutines; what it adds is a function of the example alone.
type Knowledge struct {
	Plan   recipe.KnowledgePlan
	Linker recipe.Linker // nil when no way needs a graph
	// Marks finds what the gazetteer marks; nil means Linker. A control marks
	// other stretches of the text.
	Marks  recipe.Linker
	Words  WordFeatures // nil without features
	Counts []int        // classes of each feature, "none" included
	Seed   uint64
	Digest string // names graph and features in the digest of shards

	facts sync.Map // entity -> []factPieces
}

// Injection is what an engine must know of the rows, vectors apart.
func (k *Knowledge) Injection() *recipe.Injection {
	if k == nil || len(k.Plan.Inject) == 0 {
		return nil
	}
	in := &recipe.Injection{}
	if k.Plan.Has(recipe.InjectGazetteer) {
		in.Marks = recipe.MarkPositions * len(k.Linker.Types())
	}
	if k.Plan.Has(recipe.InjectFeatures) {
		in.Slots = len(k.Counts)
		for _, n := range k.Counts {
			in.Features += n - 1
		}
	}
	return in
}

// piece is where a word piece stands.
type piece struct {
	text       int8 // 0 the text, 1 the second text, -1 a special token
	start, end int
	first      bool // of a word
}

// piecesOf places the ids of an encoding in the texts of its example.
func piecesOf(t *token.Tokenizer, ex *sdk.Example, enc *token.Encoding) []piece {
	out := make([]piece, len(enc.IDs))
	for i := range out {
		o := enc.Offsets[i]
		out[i] = piece{text: enc.Sequences[i], start: o.Start, end: o.End, first: i == 0 || enc.Words[i] != enc.Words[i-1] || enc.Sequences[i] != enc.Sequences[i-1]}
		if w := enc.Words[i]; ex.Tokens != nil && w >= 0 {
			at, _ := t.Stretch(ex.Text, ex.Tokens[w])
			out[i].start, out[i].end = at+o.Start, at+o.End
		}
	}
	return out
}

// inject adds knowledge to a row whose ids stand at pieces.
func (k *Knowledge) inject(t *token.Tokenizer, ex *sdk.Example, row *recipe.Encoded, pieces []piece, limit int) {
	if !k.Plan.Inside() {
		return
	}
	in := &recipe.Injected{}
	zero := k.Plan.Control == recipe.ControlZero
	if k.Plan.NeedsGraph() {
		var linked []found
		in.Mentions, linked = place(k.Linker, ex, pieces)
		if k.Plan.Has(recipe.InjectGazetteer) && !zero {
			spans, marked := in.Mentions, linked
			if k.Marks != nil {
				spans, marked = place(k.Marks, ex, pieces)
			}
			in.Marks = marks(spans, marked, len(row.IDs))
		}
		if k.Plan.Has(recipe.InjectText) {
			k.write(t, ex, in, linked, limit-len(row.IDs))
			if zero {
				blank := blankPiece(t)
				for i := range in.Pieces {
					in.Pieces[i] = blank
				}
			}
		}
	}
	if k.Plan.Has(recipe.InjectFeatures) && !zero {
		in.Features = k.features(ex, row, pieces)
	}
	if in.Marks != nil || in.Features != nil || len(in.Mentions) > 0 {
		row.Inject = in
	}
}

// found is a mention with the words that stand there.
type found struct {
	recipe.Mention
	surface string
}

// place links the texts of an example and finds the pieces of each mention.
// Mentions of which the length limit left nothing are passed over.
func place(l recipe.Linker, ex *sdk.Example, pieces []piece) ([]recipe.LinkedPieces, []found) {
	var out []recipe.LinkedPieces
	var linked []found
	for number, text := range []string{ex.Text, ex.TextB} {
		if text == "" {
			continue
		}
		next := 0
		for _, m := range l.Link(text) {
			for next < len(pieces) && (pieces[next].text != int8(number) || pieces[next].end <= m.Start) {
				next++
			}
			from := next
			for next < len(pieces) && pieces[next].text == int8(number) && pieces[next].start < m.End {
				next++
			}
			if from < next {
				out = append(out, recipe.LinkedPieces{From: int32(from), To: int32(next), Entity: m.Entity})
				linked = append(linked, found{m, text[m.Start:m.End]})
			}
		}
	}
	return out, linked
}

// marks numbers entity type and position of the pieces of mentions; nil when
// there are none.
func marks(spans []recipe.LinkedPieces, linked []found, n int) []int32 {
	if len(spans) == 0 {
		return nil
	}
	out := make([]int32, n)
	for i, s := range spans {
		for at := s.From; at < s.To; at++ {
			position := recipe.MarkInside
			switch {
			case s.To-s.From == 1:
				position = recipe.MarkSingle
			case at == s.From:
				position = recipe.MarkBegin
			case at == s.To-1:
				position = recipe.MarkEnd
			}
			out[at] = recipe.Mark(linked[i].Type, position)
		}
	}
	return out
}

// features gives every piece of a word the word's classes, each feature with
// numbers of its own: slot f of a piece is 0 or lies in 1+Σ(counts before f)….
func (k *Knowledge) features(ex *sdk.Example, row *recipe.Encoded, pieces []piece) []int32 {
	slots := len(k.Counts)
	out := make([]int32, slots*len(row.IDs))
	some := false
	for number, text := range []string{ex.Text, ex.TextB} {
		words := ex.Tokens
		switch {
		case text == "":
			continue
		case number == 1 || words == nil:
			words = Words(text)
		}
		classes := k.Words.Extract(text, words)
		if k.Plan.Control == recipe.ControlShuffled {
			rng := rand.New(rand.NewPCG(k.Seed^0x6665617475726573, row.Key+uint64(number))) // "features"
			classes = slices.Clone(classes)
			rng.Shuffle(len(classes), func(i, j int) { classes[i], classes[j] = classes[j], classes[i] })
		}
		word := 0
		for i, p := range pieces {
			if p.text != int8(number) {
				continue
			}
			for word < len(words) && words[word].End <= p.start {
				word++
			}
			if word == len(words) {
				break
			}
			if words[word].Start >= p.end {
				continue
			}
			base := int32(0)
			for f, class := range classes[word] {
				if class > 0 {
					out[i*slots+f], some = base+int32(class), true
				}
				base += int32(k.Counts[f] - 1)
			}
		}
	}
	if !some {
		return nil
	}
	return out
}

// blankPiece stands for any piece where a control writes facts without content.
func blankPiece(t *token.Tokenizer) int32 {
	for _, role := range []string{"mask", "unk", "pad"} {
		if id, ok := t.Special(role); ok {
			return id
		}
	}
	return 0
}

// factPieces is a fact as word pieces, and the words of its object.
type factPieces struct {
	ids    []int32
	words  []string
	weight float64
}

// write chooses facts for the mentions and writes them as pieces, at most room
// in all. Of each mention the fact of most worth comes first; then of each the
// next. A fact enters whole or not at all.
func (k *Knowledge) write(t *token.Tokenizer, ex *sdk.Example, in *recipe.Injected, linked []found, room int) {
	if len(linked) == 0 || room <= 0 {
		return
	}
	type choice struct{ mention, rank, fact int }
	var chosen []choice
	ranked := make([][]int, len(linked))
	known := make([][]factPieces, len(linked))
	seen := countWords(ex.Text, ex.TextB)
	for i, m := range linked {
		known[i] = k.factsOf(t, m.Entity)
		ranked[i] = rank(known[i], seen, foldedWords(m.surface))
	}
	for round := range max(1, k.Plan.TextFacts) {
		for i := range linked {
			if round >= len(ranked[i]) {
				continue
			}
			fact := ranked[i][round]
			if n := len(known[i][fact].ids); n > 0 && n <= room {
				room -= n
				chosen = append(chosen, choice{i, round, fact})
			}
		}
	}
	slices.SortStableFunc(chosen, func(a, b choice) int { return cmp.Or(cmp.Compare(a.mention, b.mention), cmp.Compare(a.rank, b.rank)) })
	for _, c := range chosen {
		ids := known[c.mention][c.fact].ids
		in.Facts = append(in.Facts, recipe.InjectedFact{Mention: int32(c.mention), Length: int32(len(ids)), Fact: int32(c.fact)})
		in.Pieces = append(in.Pieces, ids...)
	}
}

// RankFacts orders the facts of a mention as injection chooses them: the indexes
// of facts, the first to be written first. texts are those of the example, surface
// the words of the mention.
func RankFacts(texts []string, surface string, facts []recipe.GraphFact) []int {
	known := make([]factPieces, len(facts))
	for i, f := range facts {
		known[i] = factPieces{words: foldedWords(f.Object), weight: f.Weight}
	}
	return rank(known, countWords(texts...), foldedWords(surface))
}

// countWords says how often each folded word occurs in texts.
func countWords(texts ...string) map[string]int {
	seen := map[string]int{}
	for _, text := range texts {
		for _, w := range foldedWords(text) {
			seen[w]++
		}
	}
	return seen
}

// rank orders the facts of an entity by weight · (1 + the share of the object's
// words that the text holds outside of the mention); equals keep their order.
func rank(facts []factPieces, seen map[string]int, surface []string) []int {
	own := map[string]int{}
	for _, w := range surface {
		own[w]++
	}
	order := make([]int, len(facts))
	worth := make([]float64, len(facts))
	for i, f := range facts {
		order[i] = i
		shared := 0
		for _, w := range f.words {
			if seen[w] > own[w] {
				shared++
			}
		}
		worth[i] = f.weight
		if len(f.words) > 0 {
			worth[i] *= 1 + float64(shared)/float64(len(f.words))
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(worth[b], worth[a]) })
	return order
}

func foldedWords(text string) []string {
	words := Words(text)
	out := make([]string, 0, len(words))
	for _, w := range words {
		if s := strings.ToLower(text[w.Start:w.End]); strings.ContainsFunc(s, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }) {
			out = append(out, s)
		}
	}
	return out
}

// factsOf encodes the facts of an entity once.
func (k *Knowledge) factsOf(t *token.Tokenizer, entity int32) []factPieces {
	if v, ok := k.facts.Load(entity); ok {
		return v.([]factPieces)
	}
	var out []factPieces
	for _, f := range k.Linker.Facts(entity) {
		text := strings.TrimSpace(relationText(f.Relation) + " " + f.Object)
		enc := t.Encode(text, token.Options{Bare: true, Max: max(1, k.Plan.TextPieces)})
		out = append(out, factPieces{ids: enc.IDs, words: foldedWords(f.Object), weight: f.Weight})
	}
	v, _ := k.facts.LoadOrStore(entity, out)
	return v.([]factPieces)
}

// relationText writes a relation in words: is_a as "is a", subClassOf as "sub
// class of", without the namespace.
func relationText(relation string) string {
	if i := strings.LastIndexAny(relation, "/#:"); i >= 0 && i+1 < len(relation) {
		relation = relation[i+1:]
	}
	var b strings.Builder
	before := ' '
	for _, r := range relation {
		switch {
		case r == '_' || r == '-':
			r = ' '
		case unicode.IsUpper(r) && unicode.IsLower(before):
			b.WriteByte(' ')
		}
		b.WriteRune(unicode.ToLower(r))
		before = r
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// WordPieces gives for each word of an example's text the indexes of its ids in
// the example's row, none where the length limit cut it. second asks for words
// of TextB.
func (e *Encoder) WordPieces(ex *sdk.Example, words []sdk.Token, second bool) ([][]int32, error) {
	var enc token.Encoding
	var err error
	switch {
	case ex.Tokens != nil:
		enc, _ = e.Tokenizer.AlignTokens(ex.Text, ex.Tokens, e.MaxLength)
	case ex.TextB != "":
		if enc, err = e.Tokenizer.EncodePair(ex.Text, ex.TextB, token.Options{Max: e.MaxLength}); err != nil {
			return nil, fmt.Errorf("encode %s: %w", ex.ID, err)
		}
	default:
		enc = e.Tokenizer.Encode(ex.Text, token.Options{Max: e.MaxLength})
	}
	text := int8(0)
	if second {
		text = 1
	}
	out := make([][]int32, len(words))
	word := 0
	for i, p := range piecesOf(e.Tokenizer, ex, &enc) {
		if p.text != text {
			continue
		}
		for word < len(words) && words[word].End <= p.start {
			word++
		}
		if word < len(words) && words[word].Start < p.end {
			out[word] = append(out[word], int32(i))
		}
	}
	return out, nil
}
