package corpus

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/token"
	"github.com/islm-dev/islm/sdk"
)

// asks reports whether an example is a question about a passage: a head of answers
// is there, and what is labelled are not words of the text. The question then comes
// before the passage.
func asks(heads []sdk.HeadSpec, ex *sdk.Example) bool {
	words := func(h sdk.HeadSpec) bool {
		_, ok := ex.Labels[h.Name]
		return ok && (h.Kind == sdk.KindTag || h.Kind == sdk.KindSpan)
	}
	return ex.TextB != "" && slices.ContainsFunc(heads, func(h sdk.HeadSpec) bool { return h.Kind == sdk.KindQA }) && !slices.ContainsFunc(heads, words)
}

// Windows cuts the passages of questions that a model cannot read at once into
// windows that overlap by stride word pieces, at the bounds of words (the "document
// stride" of Devlin et al. 2019). A window is an example of its own, whose Parent is
// the example; answers that it does not hold whole are none of its. Labels of other
// heads stay with the first window. parts say where each example returned comes from.
func Windows(examples []sdk.Example, heads []sdk.HeadSpec, tok *token.Tokenizer, maxLength, stride int) (out []sdk.Example, parts []Part) {
	marks := -1 // special tokens of a pair
	for i := range examples {
		ex := &examples[i]
		_, labelled := labelOf(ex, heads)
		if !asks(heads, ex) || len(ex.Labels) > 0 && !labelled {
			out, parts = append(out, *ex), append(parts, Part{Of: i})
			continue
		}
		if marks < 0 {
			if pair, err := tok.EncodePair("a", "a", token.Options{}); err == nil {
				marks = len(slices.DeleteFunc(slices.Clone(pair.Sequences), func(s int8) bool { return s >= 0 }))
			}
		}
		question := len(tok.Encode(ex.TextB, token.Options{Bare: true}).IDs)
		for k, w := range windows(tok.Encode(ex.Text, token.Options{Bare: true}), maxLength-max(marks, 0)-min(question, maxLength/2), stride) {
			one := *ex
			if w != (sdk.Token{}) {
				one = window(ex, heads, w, k == 0)
				one.ID = fmt.Sprintf("%s#%d", ex.ID, k+1)
			}
			out, parts = append(out, one), append(parts, Part{i, w.Start})
		}
	}
	return out, parts
}

// Part is where a window comes from: the number of its example, and the byte of
// that example's text at which it begins.
type Part struct{ Of, At int }

// labelOf is what an example says of a head of answers.
func labelOf(ex *sdk.Example, heads []sdk.HeadSpec) (sdk.Label, bool) {
	for _, h := range heads {
		if l, ok := ex.Labels[h.Name]; ok && h.Kind == sdk.KindQA {
			return l, true
		}
	}
	return sdk.Label{}, false
}

// windows gives the bytes of each window; one of {} is the whole text.
func windows(enc token.Encoding, room, stride int) (out []sdk.Token) {
	n := len(enc.IDs)
	if n <= max(room, 1) {
		return []sdk.Token{{}}
	}
	room = max(1, room-2) // a text that begins elsewhere may have a piece more
	stride = min(stride, room/2)
	bound := func(at, least int) int { // the last place up to at where a word begins
		for k := at; k > least; k-- {
			if enc.Words[k] != enc.Words[k-1] {
				return k
			}
		}
		return at
	}
	for from := 0; ; {
		to := min(from+room, n)
		if to < n {
			to = bound(to, from+1)
		}
		out = append(out, sdk.Token{Start: enc.Offsets[from].Start, End: enc.Offsets[to-1].End})
		if to == n {
			return out
		}
		from = max(from+1, bound(to-stride, from+1))
	}
}

func window(ex *sdk.Example, heads []sdk.HeadSpec, at sdk.Token, first bool) sdk.Example {
	one := *ex
	one.Parent, one.Text, one.Tokens, one.Labels = ex.ID, ex.Text[at.Start:at.End], nil, nil
	for _, h := range heads {
		l, ok := ex.Labels[h.Name]
		if !ok || h.Kind != sdk.KindQA && !first {
			continue
		}
		if h.Kind == sdk.KindQA {
			spans := []sdk.Span{}
			for _, s := range l.Spans {
				if s.Start >= at.Start && s.End <= at.End {
					s.Start, s.End = s.Start-at.Start, s.End-at.Start
					spans = append(spans, s)
				}
			}
			l.Spans = spans
		}
		if one.Labels == nil {
			one.Labels = map[string]sdk.Label{}
		}
		one.Labels[h.Name] = l
	}
	return one
}

// passage says where the ids of a row stand in the text that answers are read
// from, which is the second of the two that were encoded.
func passage(ex *sdk.Example, enc *token.Encoding) *recipe.Passage {
	p := &recipe.Passage{Of: cmp.Or(ex.Parent, ex.ID), Text: ex.Text, Places: make([]int32, 0, 2*len(enc.IDs))}
	for i, o := range enc.Offsets {
		if enc.Sequences[i] == 1 && o.Start < o.End {
			piece := ex.Text[o.Start:o.End]
			lead := len(piece) - len(strings.TrimLeftFunc(piece, unicode.IsSpace))
			if lead < len(piece) {
				p.Places = append(p.Places, int32(o.Start+lead), int32(o.End))
				continue
			}
		}
		p.Places = append(p.Places, -1, -1)
	}
	return p
}

// find gives the ids of the passage that hold bytes [start, end); ok is false if
// the length limit cut them.
func find(p *recipe.Passage, start, end int) (s recipe.Stretch, ok bool) {
	s.From, s.To = -1, -1
	for i := range len(p.Places) / 2 {
		a, b := p.Places[2*i], p.Places[2*i+1]
		if a < 0 || int(b) <= start || int(a) >= end {
			continue
		}
		if s.From < 0 {
			s.From = int32(i)
		}
		s.To = int32(i)
	}
	return s, s.From >= 0 && int(p.Places[2*s.To+1]) >= end
}

// answersOf reads the answers of a question: {"text": […], "answer_start": […]} as
// SQuAD, or a list of {text, start} or {text, answer_start}. answer_start counts
// characters, as in SQuAD; start counts what data.offsets says.
func (f *fieldReader) answersOf(r *row, rec record, v any, name string) bool {
	l := rawLabel{form: formAnswers, spans: []sdk.Span{}, values: []string{}}
	var offsets []int
	add := func(text string, start any, chars bool) bool {
		n, ok := wholeNumber(start)
		at := n
		if chars {
			if offsets == nil {
				offsets = runeOffsets(r.Text)
			}
			if ok = ok && n >= 0 && n < len(offsets); ok {
				at = offsets[n]
			}
		}
		if !ok || text == "" || at < 0 || at > len(r.Text) || !strings.HasPrefix(r.Text[at:], text) {
			d := sdk.Diagnostic{Severity: sdk.Error, Code: "data.answer", File: f.file, Line: rec.line,
				Summary: fmt.Sprintf("the answer %q does not stand at %v of the text", clip(text), start), Remedy: "answer_start counts characters from 0, start what data.offsets says"}
			if i := strings.Index(r.Text, text); text != "" && i >= 0 {
				d.Remedy = fmt.Sprintf("it stands at character %d, byte %d; %s", utf8.RuneCountInString(r.Text[:i]), i, d.Remedy)
			}
			f.p.add(d)
			return false
		}
		if !slices.Contains(l.values, text) {
			l.values = append(l.values, text)
		}
		l.spans = append(l.spans, sdk.Span{Start: at, End: at + len(text), Label: sdk.LabelAnswer})
		return true
	}
	ok := true
	switch v := v.(type) {
	case map[string]any:
		texts, good := texts(v["text"], false)
		starts, are := v["answer_start"].([]any)
		if !good || !are || len(texts) != len(starts) {
			f.errorf(rec, "data.answer", "%s wants as many numbers in answer_start as texts in text", name)
			return false
		}
		for i, text := range texts {
			ok = add(text, starts[i], true) && ok
		}
	case []any:
		for i, item := range v {
			object, _ := item.(map[string]any)
			text, _ := object["text"].(string)
			switch start, has := object["answer_start"]; {
			case object == nil || text == "":
				f.errorf(rec, "data.answer", "%s[%d] is not {text, answer_start}", name, i)
				ok = false
			case has:
				ok = add(text, start, true) && ok
			default:
				ok = add(text, object["start"], f.chars) && ok
			}
		}
	default:
		f.errorf(rec, "data.answer", "%s is no list of answers", name)
		return false
	}
	if ok {
		r.labels = append(r.labels, l)
	}
	return ok
}

// fillAnswers completes a head of answers.
func fillAnswers(h *sdk.HeadSpec, g *group, req *Request, p *problems) bool {
	ok, none := true, false
	for _, r := range g.refs {
		switch {
		case r.label.form != formAnswers:
			p.add(sdk.Diagnostic{Severity: sdk.Error, Code: "data.label", File: r.row.File, Line: r.row.Line,
				Summary: fmt.Sprintf("a label does not fit head %q of kind %s", h.Name, h.Kind), Remedy: "it wants a passage, a question and its answers: {\"context\": …, \"question\": …, \"answers\": {\"text\": […], \"answer_start\": […]}}"})
			ok = false
			continue
		case r.row.TextB == "":
			p.add(sdk.Diagnostic{Severity: sdk.Error, Code: "data.pair", File: r.row.File, Line: r.row.Line,
				Summary: fmt.Sprintf("head %q of kind %s wants a question, here it is missing", h.Name, h.Kind), Remedy: "data.text_b names its field, data.text that of the passage"})
			ok = false
			continue
		}
		none = none || r.split == "train" && len(r.label.values) == 0
		set(r.row, h.Name, sdk.Label{Values: r.label.values, Spans: r.label.spans})
	}
	h.Labels = nil
	if none && h.Options[sdk.OptionNoAnswer] == "" && !req.Closed {
		setOption(h, sdk.OptionNoAnswer, "on")
	}
	return ok
}

func setOption(h *sdk.HeadSpec, name, value string) {
	options := map[string]string{name: value}
	for k, v := range h.Options {
		if k != name {
			options[k] = v
		}
	}
	h.Options = options
}
