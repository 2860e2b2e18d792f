package token

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/islm-dev/islm/sdk"
)

// spec keeps what a file said, so that it can be written again.
type spec struct {
	parts       map[string]json.RawMessage // normalizer, pre_tokenizer, …, truncation, padding
	model       modelSpec
	config      map[string]json.RawMessage // tokenizer_config.json
	specials    map[string]json.RawMessage // special_tokens_map.json
	spaceBefore bool                       // a space before a word belongs to it
}

// modelSpec is the model as data.
type modelSpec struct {
	kind   string
	fields map[string]json.RawMessage // all but vocab and merges
	scores []float64                  // Unigram
	merges [][2]string                // BPE
}

// element is a component of a file and its place in it.
type element struct {
	*reader
	path   string
	kind   string
	fields map[string]json.RawMessage
}

// reader collects the problems of a file.
type reader struct {
	file  string
	t     *charTables
	diags sdk.Diagnostics
	depth int
}

func (r *reader) problem(code, path, format string, args ...any) {
	if len(r.diags) < 100 {
		r.diags.Add(sdk.Diagnostic{
			Severity: sdk.Error, Code: "tokenizer." + code, Summary: fmt.Sprintf(format, args...), File: r.file, Path: path,
		})
	}
}

// syntax reports what encoding/json found wrong with a file.
func (r *reader) syntax(data []byte, err error) {
	d := sdk.Diagnostic{Severity: sdk.Error, Code: "tokenizer.syntax", Summary: "not valid JSON: " + err.Error(), File: r.file}
	offset := int64(-1)
	switch e := err.(type) { //nolint:errorlint // encoding/json does not wrap
	case *json.SyntaxError:
		offset = e.Offset
	case *json.UnmarshalTypeError:
		offset, d.Path, d.Code, d.Summary = e.Offset, e.Field, "tokenizer.type", fmt.Sprintf("%s expected, %s found", e.Type, e.Value)
	}
	if offset >= 0 && offset <= int64(len(data)) {
		before := data[:offset]
		d.Line = bytes.Count(before, []byte("\n")) + 1
		d.Column = len([]rune(string(before[bytes.LastIndexByte(before, '\n')+1:])))
		d.Column = max(d.Column, 1)
	}
	r.diags.Add(d)
}

// component opens a part of the file: nil if it is absent, null or wrong.
func (r *reader) component(path string, raw json.RawMessage) *element {
	if len(raw) == 0 || string(bytes.TrimSpace(raw)) == "null" {
		return nil
	}
	e := &element{reader: r, path: path}
	if err := json.Unmarshal(raw, &e.fields); err != nil {
		r.problem("type", path, "%s is not an object", path)
		return nil
	}
	e.get("type", &e.kind, true)
	if e.kind == "" {
		if path != "model" {
			r.problem("missing", path, "%s has no type", path)
			return nil
		}
	}
	return e
}

// get reads a field; absent and null leave into as it is.
func (e *element) get(name string, into any, optional bool) bool {
	raw, ok := e.fields[name]
	if !ok || string(raw) == "null" {
		if !optional {
			e.problem("missing", e.path+"."+name, "%s %s needs %s", e.path, e.kind, name)
		}
		return false
	}
	if err := json.Unmarshal(raw, into); err != nil {
		e.problem("type", e.path+"."+name, "%s.%s has the wrong type", e.path, name)
		return false
	}
	return true
}

func (e *element) flag(name string, otherwise bool) bool {
	e.get(name, &otherwise, true)
	return otherwise
}

func (e *element) text(name, otherwise string) string {
	e.get(name, &otherwise, true)
	return otherwise
}

// list opens the components of a Sequence.
func (e *element) list(name string) []*element {
	var raws []json.RawMessage
	if !e.get(name, &raws, false) {
		return nil
	}
	if e.depth++; e.depth > 50 {
		e.problem("depth", e.path, "%s is too deeply nested", e.path)
		return nil
	}
	var out []*element
	for i, raw := range raws {
		path := fmt.Sprintf("%s.%s[%d]", e.path, name, i)
		if c := e.component(path, raw); c != nil {
			out = append(out, c)
		} else if string(bytes.TrimSpace(raw)) == "null" {
			e.problem("type", path, "%s is null", path)
		}
	}
	return out
}

func (e *element) unknown(known ...string) {
	d := sdk.Diagnostic{
		Severity: sdk.Error, Code: "tokenizer.unknown-type", File: e.file, Path: e.path + ".type",
		Summary: fmt.Sprintf("%s has type %q, which is not known", e.path, e.kind),
	}
	if near := sdk.Nearest(e.kind, known); near != "" {
		d.Remedy = fmt.Sprintf("did you mean %q?", near)
	}
	e.diags.Add(d)
}

// pattern reads {"String": …} or {"Regex": …}, or a plain string.
func (e *element) pattern(name string) pattern {
	var plain string
	if raw, ok := e.fields[name]; ok && json.Unmarshal(raw, &plain) == nil {
		return literal(plain)
	}
	var p struct {
		String *string `json:"String"`
		Regex  *string `json:"Regex"`
	}
	if !e.get(name, &p, false) {
		return nil
	}
	switch {
	case p.String != nil:
		return literal(*p.String)
	case p.Regex != nil:
		re, err := compileRegex(*p.Regex)
		if err != nil {
			e.problem("regex", e.path+"."+name, "%s: %v", e.path, err)
			return nil
		}
		return re
	}
	e.problem("missing", e.path+"."+name, "%s.%s is neither String nor Regex", e.path, name)
	return nil
}

var normalizerKinds = []string{
	"BertNormalizer", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Strip", "Replace", "Prepend",
	"Precompiled", "Nmt", "ByteLevel", "Sequence",
}

func (e *element) normalizer() normalizer {
	if e == nil {
		return nil
	}
	switch e.kind {
	case "Sequence":
		var out normalizers
		for _, c := range e.list("normalizers") {
			if n := c.normalizer(); n != nil {
				out = append(out, n)
			}
		}
		return out
	case "BertNormalizer":
		n := &bertNormalizer{t: e.t, clean: e.flag("clean_text", true), chinese: e.flag("handle_chinese_chars", true)}
		n.lower = e.flag("lowercase", true)
		n.accents = e.flag("strip_accents", n.lower)
		return n
	case "NFC":
		return &unicodeForm{t: e.t, compose: true}
	case "NFD":
		return &unicodeForm{t: e.t}
	case "NFKC":
		return &unicodeForm{t: e.t, compatible: true, compose: true}
	case "NFKD":
		return &unicodeForm{t: e.t, compatible: true}
	case "Lowercase":
		return &lowercase{e.t}
	case "StripAccents":
		return &stripAccents{e.t}
	case "Strip":
		return &strip{e.t, e.flag("strip_left", true), e.flag("strip_right", true)}
	case "Replace":
		if p := e.pattern("pattern"); p != nil {
			return &replace{p, e.text("content", "")}
		}
		return nil
	case "Prepend":
		return &prepend{e.text("prepend", "")}
	case "Precompiled":
		var charsmap string
		if !e.get("precompiled_charsmap", &charsmap, false) {
			return nil
		}
		p, err := newPrecompiled(charsmap)
		if err != nil {
			e.problem("charsmap", e.path, "%s: %v", e.path, err)
			return nil
		}
		return p
	case "Nmt":
		return &nmt{e.t}
	case "ByteLevel":
		return byteChars{}
	}
	e.unknown(normalizerKinds...)
	return nil
}

var preTokenizerKinds = []string{
	"BertPreTokenizer", "ByteLevel", "Metaspace", "Whitespace", "WhitespaceSplit", "Punctuation", "Digits", "Split",
	"CharDelimiterSplit", "UnicodeScripts", "FixedLength", "Sequence",
}

func (e *element) preTokenizers() []preTokenizer {
	if e == nil {
		return nil
	}
	one := func(p preTokenizer) []preTokenizer { return []preTokenizer{p} }
	switch e.kind {
	case "Sequence":
		var out []preTokenizer
		for _, c := range e.list("pretokenizers") {
			out = append(out, c.preTokenizers()...)
		}
		return out
	case "BertPreTokenizer":
		return one(&bertPreTokenizer{e.t})
	case "ByteLevel":
		return one(&byteLevel{t: e.t, prefixSpace: e.flag("add_prefix_space", true), regex: e.flag("use_regex", true)})
	case "Metaspace":
		if m := e.metaspace(); m != nil {
			return one(m)
		}
		return nil
	case "Whitespace":
		return one(&whitespace{e.t})
	case "WhitespaceSplit":
		return one(&splitter{pattern: charPattern{e.t, isSpace}, how: removed})
	case "Punctuation":
		return one(&splitter{pattern: charPattern{e.t, isPunctuation}, how: e.behavior("isolated")})
	case "Digits":
		how := contiguous
		if e.flag("individual_digits", false) {
			how = isolated
		}
		return one(&splitter{pattern: charPattern{e.t, isNumeric}, how: how})
	case "CharDelimiterSplit":
		delimiter := ""
		if !e.get("delimiter", &delimiter, false) {
			return nil
		}
		return one(&splitter{pattern: literal(delimiter), how: removed})
	case "Split":
		p := e.pattern("pattern")
		how := e.behavior("")
		if p == nil {
			return nil
		}
		return one(&splitter{p, how, e.flag("invert", false)})
	case "UnicodeScripts":
		return one(unicodeScripts{e.t})
	case "FixedLength":
		n := 5
		e.get("length", &n, true)
		if n < 1 {
			e.problem("value", e.path+".length", "%s.length is not positive", e.path)
			return nil
		}
		return one(&fixedLength{n})
	}
	e.unknown(preTokenizerKinds...)
	return nil
}

func (e *element) behavior(otherwise string) behavior {
	name := e.text("behavior", otherwise)
	plain := make([]byte, 0, len(name))
	for _, c := range []byte(name) {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != '_' {
			plain = append(plain, c)
		}
	}
	how, ok := behaviorNames[string(plain)]
	if !ok {
		e.problem("value", e.path+".behavior", "%s.behavior %q is not known", e.path, name)
	}
	return how
}

func (e *element) metaspace() *metaspace {
	text := e.text("replacement", "▁")
	runes := []rune(text)
	if len(runes) != 1 {
		e.problem("value", e.path+".replacement", "%s.replacement is not one character", e.path)
		return nil
	}
	m := &metaspace{replacement: runes[0], text: text, scheme: e.text("prepend_scheme", "always"), cut: e.flag("split", true)}
	if !e.flag("add_prefix_space", true) {
		m.scheme = "never"
	}
	if !slices.Contains([]string{"always", "first", "never"}, m.scheme) {
		e.problem("value", e.path+".prepend_scheme", "%s.prepend_scheme %q is not known", e.path, m.scheme)
		return nil
	}
	return m
}

var postProcessorKinds = []string{"TemplateProcessing", "BertProcessing", "RobertaProcessing", "ByteLevel", "Sequence"}

func (e *element) postProcessor(p *postProcessor) {
	if e == nil {
		return
	}
	if p.template && (e.kind == "TemplateProcessing" || e.kind == "BertProcessing" || e.kind == "RobertaProcessing") {
		e.problem("value", e.path, "%s is a second template", e.path)
		return
	}
	switch e.kind {
	case "Sequence":
		for _, c := range e.list("processors") {
			c.postProcessor(p)
		}
	case "ByteLevel":
		if e.flag("trim_offsets", true) {
			p.trims = append(p.trims, trim{e.flag("add_prefix_space", true)})
		}
	case "BertProcessing", "RobertaProcessing":
		cls, sep := e.special("cls"), e.special("sep")
		p.template = true
		p.single = []templateItem{{-1, cls, 0}, {0, nil, 0}, {-1, sep, 0}}
		p.pair = append(slices.Clone(p.single), templateItem{1, nil, 1}, templateItem{-1, sep, 1})
		p.onlySpecial = true
		if e.kind == "RobertaProcessing" {
			p.pair = append(slices.Clone(p.single), templateItem{-1, sep, 0}, templateItem{1, nil, 0}, templateItem{-1, sep, 0})
			p.zeroTypes = true
			if e.flag("trim_offsets", true) {
				p.trims = append(p.trims, trim{e.flag("add_prefix_space", true)})
			}
		}
	case "TemplateProcessing":
		p.template = true
		ids := map[string]struct {
			IDs []int32 `json:"ids"`
		}{}
		e.get("special_tokens", &ids, true)
		known := map[string][]int32{}
		for name, s := range ids {
			known[name] = s.IDs
		}
		p.single = e.template("single", known)
		p.pair = e.template("pair", known)
		if len(p.pair) == 0 {
			p.pair = plainPair
		}
	default:
		e.unknown(postProcessorKinds...)
	}
}

// special reads ["[CLS]", 101].
func (e *element) special(name string) []int32 {
	var pair []any
	if !e.get(name, &pair, false) {
		return nil
	}
	if len(pair) == 2 {
		if id, ok := pair[1].(float64); ok && id >= 0 && id < 1<<31 {
			return []int32{int32(id)}
		}
	}
	e.problem("type", e.path+"."+name, "%s.%s is not [text, id]", e.path, name)
	return nil
}

func (e *element) template(name string, special map[string][]int32) []templateItem {
	type ref struct {
		ID     string `json:"id"`
		TypeID int32  `json:"type_id"`
	}
	var items []struct {
		Sequence     *ref `json:"Sequence"`
		SpecialToken *ref `json:"SpecialToken"`
	}
	if !e.get(name, &items, name == "pair") {
		return nil
	}
	var out []templateItem
	for i, item := range items {
		path := fmt.Sprintf("%s.%s[%d]", e.path, name, i)
		switch {
		case item.Sequence != nil && item.Sequence.ID == "A":
			out = append(out, templateItem{0, nil, item.Sequence.TypeID})
		case item.Sequence != nil && item.Sequence.ID == "B" && name == "pair":
			out = append(out, templateItem{1, nil, item.Sequence.TypeID})
		case item.SpecialToken != nil:
			ids, ok := special[item.SpecialToken.ID]
			if !ok {
				e.problem("value", path, "%s: special token %q has no ids", path, item.SpecialToken.ID)
			}
			for _, id := range ids {
				if id < 0 {
					e.problem("value", path, "%s: special token %q has a negative id", path, item.SpecialToken.ID)
					ids = nil
					break
				}
			}
			out = append(out, templateItem{-1, ids, item.SpecialToken.TypeID})
		default:
			e.problem("value", path, "%s is neither a sequence nor a special token", path)
		}
	}
	return out
}

var decoderKinds = []string{
	"WordPiece", "ByteLevel", "Metaspace", "BPEDecoder", "ByteFallback", "Fuse", "Strip", "Replace", "CTC", "Sequence",
}

func (e *element) decoder() decoder {
	if e == nil {
		return nil
	}
	switch e.kind {
	case "Sequence":
		out := decoders{}
		for _, c := range e.list("decoders") {
			if d := c.decoder(); d != nil {
				out = append(out, d)
			}
		}
		return out
	case "WordPiece":
		return wordPieceDecoder{e.text("prefix", "##"), e.flag("cleanup", true)}
	case "ByteLevel":
		return byteDecoder{}
	case "Metaspace":
		if m := e.metaspace(); m != nil {
			return metaspaceDecoder{m.text, m.scheme != "never"}
		}
		return nil
	case "BPEDecoder":
		return suffixDecoder{e.text("suffix", "</w>")}
	case "ByteFallback":
		return byteFallback{}
	case "Fuse":
		return fuse{}
	case "Strip":
		d := stripDecoder{content: e.text("content", " ")}
		e.get("start", &d.start, true)
		e.get("stop", &d.stop, true)
		return d
	case "Replace":
		if p := e.pattern("pattern"); p != nil {
			return replaceDecoder{p, e.text("content", "")}
		}
		return nil
	case "CTC":
		return ctc{e.text("pad_token", "<pad>"), e.text("word_delimiter_token", "|"), e.flag("cleanup", true)}
	}
	e.unknown(decoderKinds...)
	return nil
}
