package corpus

import (
	"fmt"
	"slices"
	"strings"

	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/token"
	"github.com/islm-dev/islm/sdk"
)

// writing is what a head of kind generate.v0 puts behind the text of an example:
// the separator, and where there is an answer its pieces and the token that ends it.
type writing struct {
	head      int
	separator []int32
	answer    []int32 // nil = none
	end       int32
	closing   int // special tokens that the template puts behind a text, and open takes off
}

// writing is nil when no head writes.
func (e *Encoder) writing(ex *sdk.Example) (*writing, error) {
	at := slices.IndexFunc(e.Heads, func(h sdk.HeadSpec) bool { return h.Kind == sdk.KindGenerate })
	if at < 0 {
		return nil, nil
	}
	h := e.Heads[at]
	w := &writing{head: at}
	var ok bool
	if w.end, ok = endOf(e.Tokenizer); !ok {
		return nil, fmt.Errorf("head %s: the tokenizer has no token that ends a text (</s>, <|endoftext|>)", h.Name)
	}
	probe := e.Tokenizer.Encode("a", token.Options{})
	whole := probe.Len()
	open(&probe)
	w.closing = whole - probe.Len()
	w.separator = e.Tokenizer.Encode(h.Separator(), token.Options{Bare: true}).IDs
	if l, labelled := ex.Labels[h.Name]; labelled {
		if text := firstText(l.Values); text != "" {
			w.answer = append(e.Tokenizer.Encode(text, token.Options{Bare: true}).IDs, w.end)
		}
	}
	return w, nil
}

// endOf is the id that ends a text.
func endOf(t *token.Tokenizer) (int32, bool) {
	for _, role := range []string{"eos", "sep"} {
		if id, ok := t.Special(role); ok {
			return id, true
		}
	}
	return 0, false
}

// firstText is the answer to learn: of several the first.
func firstText(values []string) string {
	i := slices.IndexFunc(values, func(v string) bool { return strings.TrimSpace(v) != "" })
	if i < 0 {
		return ""
	}
	return values[i]
}

// length is how many ids stand behind the text.
func (w *writing) length() int {
	if w == nil {
		return 0
	}
	return len(w.separator) + len(w.answer)
}

// room is how many of limit ids the text may take, 0 for no limit: at least half,
// and more where the answer is short. What open takes off comes on top.
func (w *writing) room(limit int) int {
	if w == nil || limit == 0 {
		return limit
	}
	free := limit - len(w.separator)
	return max(1, free/2, free-len(w.answer)) + w.closing
}

// behind puts separator and answer behind a row's ids, which a template must not
// have closed. An answer that is too long loses its end, and the token that ends it.
func (w *writing) behind(row *recipe.Encoded, limit int) {
	row.IDs = append(slices.Clip(row.IDs), w.separator...)
	if len(row.IDs) == 0 {
		row.IDs = []int32{w.end} // something to go on from
	}
	from := len(row.IDs)
	row.IDs = append(row.IDs, w.answer...)
	if limit > 0 && len(row.IDs) > limit {
		row.IDs = row.IDs[:limit]
	}
	if row.Types != nil {
		row.Types = append(row.Types, make([]int32, len(row.IDs)-len(row.Types))...)
	}
	if from >= len(row.IDs) {
		return
	}
	tokens := slices.Repeat([]int32{-1}, len(row.IDs))
	copy(tokens[from-1:], row.IDs[from:])
	row.Targets[w.head] = recipe.Target{Has: true, Tokens: tokens}
}

// open takes the special tokens off that a template put behind the text.
func open(enc *token.Encoding) {
	n := enc.Len()
	for n > 1 && enc.Sequences[n-1] < 0 {
		n--
	}
	enc.IDs, enc.Types, enc.Offsets, enc.Words, enc.Sequences = enc.IDs[:n], enc.Types[:n], enc.Offsets[:n], enc.Words[:n], enc.Sequences[:n]
}
