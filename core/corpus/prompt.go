package corpus

import (
	"cmp"
	"slices"
	"strings"

	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/token"
	"github.com/islm-dev/islm/sdk"
)

// before puts facts about linked entities before the text of a row (way prompt of
// knowledge.inject) and returns where its ids then stand. They follow the special
// tokens at the front and take no more than room, which is what text and answer
// leave of the row, so that no text is lost: a fact enters whole or not at all.
//
// Each linked entity counts once, at its first mention. Of each the fact of most
// worth is chosen first, as for facts beside a mention, then of each the next; they
// are written in the order of the mentions.
func (k *Knowledge) before(t *token.Tokenizer, ex *sdk.Example, row *recipe.Encoded, marks *[2]int32, pieces []piece, room int) []piece {
	if !k.Plan.Has(recipe.InjectPrompt) {
		return pieces
	}
	end := promptEnd(t)
	room = min(room, k.Plan.PromptPieces) - len(end)
	ids := k.promptFacts(t, ex, row.Second != nil, room)
	if len(ids) == 0 {
		return pieces
	}
	if k.Plan.Control == recipe.ControlZero {
		ids = slices.Repeat([]int32{blankPiece(t)}, len(ids))
	}
	ids = append(ids, end...)
	at := slices.IndexFunc(pieces, func(p piece) bool { return p.text >= 0 })
	if at < 0 {
		return pieces // nothing of the text is left
	}
	n := len(ids)
	row.IDs = slices.Insert(slices.Clone(row.IDs), at, ids...)
	if row.Types != nil {
		row.Types = slices.Insert(slices.Clone(row.Types), at, make([]int32, n)...)
	}
	for i, s := range row.Starts {
		if s >= int32(at) {
			row.Starts[i] = s + int32(n)
		}
	}
	for i, m := range marks {
		if m >= int32(at) {
			marks[i] = m + int32(n)
		}
	}
	if p := row.Passage; p != nil {
		p.Places = slices.Insert(p.Places, 2*at, slices.Repeat([]int32{-1}, 2*n)...)
	}
	return slices.Insert(slices.Clone(pieces), at, slices.Repeat([]piece{{text: -1}}, n)...)
}

// promptEnd is what stands between facts and text: the separator of two texts, or a
// line break where the vocabulary has none.
func promptEnd(t *token.Tokenizer) []int32 {
	if id, ok := t.Special("sep"); ok {
		return []int32{id}
	}
	return t.Encode("\n", token.Options{Bare: true}).IDs
}

// promptFacts are the pieces of the chosen facts, at most room.
func (k *Knowledge) promptFacts(t *token.Tokenizer, ex *sdk.Example, firstOnly bool, room int) (ids []int32) {
	texts := []string{ex.Text, ex.TextB}
	if firstOnly {
		texts = texts[:1]
	}
	var linked []found
	seen := map[int32]bool{}
	for _, text := range texts {
		for _, m := range k.Linker.Link(text) {
			if !seen[m.Entity] {
				seen[m.Entity] = true
				linked = append(linked, found{m, text[m.Start:m.End]})
			}
		}
	}
	type choice struct {
		mention, rank int
		ids           []int32
	}
	var chosen []choice
	words := countWords(texts...)
	ranked := make([][]int, len(linked))
	for i, m := range linked {
		ranked[i] = rank(k.factsOf(t, m.Entity), words, foldedWords(m.surface))
	}
	for round := range max(1, k.Plan.TextFacts) {
		for i, m := range linked {
			if round >= len(ranked[i]) {
				continue
			}
			fact := k.Linker.Facts(m.Entity)[ranked[i][round]]
			text := strings.Join(strings.Fields(m.surface+" "+relationText(fact.Relation)+" "+fact.Object), " ") + ". "
			one := t.Encode(text, token.Options{Bare: true}).IDs
			if n := len(one); n > 0 && n <= room {
				room -= n
				chosen = append(chosen, choice{i, round, one})
			}
		}
	}
	slices.SortStableFunc(chosen, func(a, b choice) int { return cmp.Or(cmp.Compare(a.mention, b.mention), cmp.Compare(a.rank, b.rank)) })
	for _, c := range chosen {
		ids = append(ids, c.ids...)
	}
	return ids
}
