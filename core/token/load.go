package token

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/islm-dev/islm/sdk"
)

// Names of the files of a tokenizer.
const (
	jsonFile     = "tokenizer.json"
	vocabFile    = "vocab.txt"
	configFile   = "tokenizer_config.json"
	specialsFile = "special_tokens_map.json"
	mergesFile   = "merges.txt"
	addedFile    = "added_tokens.json"
	vocabJSON    = "vocab.json"
)

// Load reads the tokenizer of a model folder: tokenizer.json, else vocab.txt
// (BERT), else vocab.json and merges.txt (GPT-2, RoBERTa); tokenizer_config.json
// and special_tokens_map.json beside them name the special tokens. Problems of
// the files are a *sdk.DiagnosticsError.
func Load(dir string) (*Tokenizer, error) {
	config, specials := map[string]json.RawMessage{}, map[string]json.RawMessage{}
	for name, into := range map[string]*map[string]json.RawMessage{configFile: &config, specialsFile: &specials} {
		path := filepath.Join(dir, name)
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("load tokenizer: %w", err)
		}
		if err := json.Unmarshal(data, into); err != nil {
			r := &reader{file: path}
			r.syntax(data, err)
			return nil, r.diags.Err()
		}
	}
	read := func(name string) (string, []byte, error) {
		path := filepath.Join(dir, name)
		data, err := os.ReadFile(path)
		return path, data, err
	}
	path, data, err := read(jsonFile)
	if err == nil {
		return build(path, data, config, specials)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("load tokenizer: %w", err)
	}
	path, data, err = read(vocabFile)
	if err == nil {
		tok, err := fromVocab(path, data, config, specials)
		return tok.withAdded(filepath.Join(dir, addedFile), err)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("load tokenizer: %w", err)
	}
	path, data, err = read(vocabJSON)
	if err == nil {
		_, merges, err := read(mergesFile)
		if err != nil {
			return nil, fmt.Errorf("load tokenizer: %w", err)
		}
		tok, err := fromMerges(path, data, merges, config, specials)
		return tok.withAdded(filepath.Join(dir, addedFile), err)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("load tokenizer: %w", err)
	}
	return nil, &sdk.DiagnosticsError{Cause: fs.ErrNotExist, Fatal: true, Diagnostics: sdk.Diagnostics{{
		Severity: sdk.Error, Code: "tokenizer.missing-file", File: dir,
		Summary: "the folder has no tokenizer",
		Remedy:  "put tokenizer.json or vocab.txt beside the model",
	}}}
}

// withAdded appends the tokens of an added_tokens.json, {content: id}, if there is
// one; its ids must follow the vocabulary's. err is that of loading t.
func (t *Tokenizer) withAdded(path string, err error) (*Tokenizer, error) {
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return t, nil
	}
	if err != nil {
		return nil, fmt.Errorf("load tokenizer: %w", err)
	}
	r := &reader{file: path}
	var entries map[string]int32
	if err := json.Unmarshal(data, &entries); err != nil {
		r.syntax(data, err)
		return nil, r.diags.Err()
	}
	contents := slices.SortedFunc(maps.Keys(entries), func(a, b string) int { return int(entries[a]) - int(entries[b]) })
	tokens := make([]AddedToken, 0, len(contents))
	for _, content := range contents {
		if _, ok := t.ID(content); !ok {
			tokens = append(tokens, AddedToken{Content: content, Normalized: true})
		}
	}
	ids, err := t.AddTokens(tokens...)
	if err != nil {
		return nil, fmt.Errorf("load tokenizer: %s: %w", path, err)
	}
	for i, token := range tokens {
		if ids[i] != entries[token.Content] {
			r.problem("value", token.Content, "%q has id %d, but the next free one is %d", token.Content, entries[token.Content], ids[i])
			return nil, r.diags.Err()
		}
	}
	return t, nil
}

// FromJSON reads the content of a tokenizer.json. Problems are a
// *sdk.DiagnosticsError.
func FromJSON(data []byte) (*Tokenizer, error) {
	return build(jsonFile, data, nil, nil)
}

// FromVocab reads the content of BERT's vocab.txt, one piece in a line. lower says
// whether text is lower-cased and accents are stripped.
func FromVocab(data []byte, lower bool) (*Tokenizer, error) {
	return fromVocab(vocabFile, data, map[string]json.RawMessage{"do_lower_case": json.RawMessage(fmt.Sprint(lower))}, nil)
}

// file is the top level of tokenizer.json.
type file struct {
	Version       json.RawMessage `json:"version"`
	Truncation    json.RawMessage `json:"truncation"`
	Padding       json.RawMessage `json:"padding"`
	AddedTokens   json.RawMessage `json:"added_tokens"`
	Normalizer    json.RawMessage `json:"normalizer"`
	PreTokenizer  json.RawMessage `json:"pre_tokenizer"`
	PostProcessor json.RawMessage `json:"post_processor"`
	Decoder       json.RawMessage `json:"decoder"`
	Model         json.RawMessage `json:"model"`
}

type addedEntry struct {
	ID         *int32 `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LeftStrip  bool   `json:"lstrip"`
	RightStrip bool   `json:"rstrip"`
	Normalized *bool  `json:"normalized"`
	Special    bool   `json:"special"`
}

func build(path string, data []byte, config, specials map[string]json.RawMessage) (*Tokenizer, error) {
	r := &reader{file: path, t: loadTables()}
	var f file
	if err := json.Unmarshal(data, &f); err != nil {
		r.syntax(data, err)
		return nil, r.diags.Err()
	}
	t := &Tokenizer{t: r.t, special: map[string]string{}}
	t.spec = spec{config: config, specials: specials, parts: map[string]json.RawMessage{
		"truncation": f.Truncation, "padding": f.Padding, "normalizer": f.Normalizer,
		"pre_tokenizer": f.PreTokenizer, "post_processor": f.PostProcessor, "decoder": f.Decoder,
	}}
	t.normalizer = r.component("normalizer", f.Normalizer).normalizer()
	t.pre = r.component("pre_tokenizer", f.PreTokenizer).preTokenizers()
	r.component("post_processor", f.PostProcessor).postProcessor(&t.post)
	t.decoder = r.component("decoder", f.Decoder).decoder()
	if m := r.component("model", f.Model); m != nil {
		m.model(t)
	} else if !r.diags.HasErrors() {
		r.problem("missing", "model", "the file has no model")
	}
	if r.diags.HasErrors() {
		return nil, r.diags.Err()
	}
	r.addedTokens(t, f.AddedTokens)
	if r.diags.HasErrors() {
		return nil, r.diags.Err()
	}
	t.readRoles(config, specials)
	for _, p := range t.pre {
		if b, ok := p.(*byteLevel); ok && !b.prefixSpace {
			t.spec.spaceBefore = true
		}
	}
	t.readBytes()
	return t, nil
}

func (r *reader) addedTokens(t *Tokenizer, raw json.RawMessage) {
	var entries []addedEntry
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &entries); err != nil {
			r.problem("type", "added_tokens", "added_tokens is not a list of tokens: %v", err)
			return
		}
	}
	tokens, ids := make([]AddedToken, 0, len(entries)), make([]int32, 0, len(entries))
	seen := map[string]bool{}
	for i, e := range entries {
		path := fmt.Sprintf("added_tokens[%d]", i)
		if e.Content == "" || seen[e.Content] {
			continue // as the Python library does
		}
		seen[e.Content] = true
		id, ok := t.ids[e.Content]
		if !ok {
			if e.ID == nil || *e.ID < 0 || *e.ID > maxID {
				r.problem("value", path, "%s (%q) has no usable id", path, e.Content)
				continue
			}
			if id = *e.ID; int(id) < len(t.vocab) && t.has(id) {
				r.problem("value", path, "%s (%q) has id %d, which is that of %q", path, e.Content, id, t.vocab[id])
				continue
			}
		}
		normalized := !e.Special
		if e.Normalized != nil {
			normalized = *e.Normalized
		}
		tokens = append(tokens, AddedToken{e.Content, e.Special, normalized, e.SingleWord, e.LeftStrip, e.RightStrip})
		ids = append(ids, id)
	}
	if !r.diags.HasErrors() {
		t.added.Store(newAddedTokens(r.t, t.normalizer, tokens, ids))
	}
}

// maxID bounds ids, so that a damaged file cannot ask for all of the memory.
const maxID = 1 << 24

func (t *Tokenizer) has(id int32) bool {
	return id >= 0 && int(id) < len(t.vocab) && (t.known == nil || t.known[id])
}

// model reads the vocabulary and what the kind of model needs.
func (e *element) model(t *Tokenizer) {
	if e.kind == "" { // files of old versions
		switch {
		case e.fields["merges"] != nil:
			e.kind = "BPE"
		case e.fields["continuing_subword_prefix"] != nil:
			e.kind = "WordPiece"
		case e.fields["unk_id"] != nil:
			e.kind = "Unigram"
		default:
			e.kind = "WordLevel"
		}
	}
	t.spec.model = modelSpec{kind: e.kind, fields: map[string]json.RawMessage{}}
	for name, raw := range e.fields {
		if name != "vocab" && name != "merges" {
			t.spec.model.fields[name] = raw
		}
	}
	switch e.kind {
	case "WordPiece":
		e.vocab(t)
		e.wordPiece(t)
	case "BPE":
		e.vocab(t)
		e.bpe(t)
	case "Unigram":
		e.unigram(t)
	case "WordLevel":
		e.vocab(t)
		m := &wordLevel{ids: t.ids, unknown: -1}
		if id, ok := t.ids[e.text("unk_token", "<unk>")]; ok {
			m.unknown = id
		}
		t.model = m
	default:
		e.unknown("WordPiece", "BPE", "Unigram", "WordLevel")
	}
}

// vocab reads {piece: id}.
func (e *element) vocab(t *Tokenizer) {
	t.ids = map[string]int32{}
	var entries map[string]int64
	if !e.get("vocab", &entries, false) {
		return
	}
	top := int64(-1)
	for piece, id := range entries {
		if id < 0 || id > maxID {
			e.problem("value", "model.vocab", "model.vocab: %q has id %d", piece, id)
			return
		}
		top = max(top, id)
	}
	t.vocab = make([]string, top+1)
	t.known = make([]bool, top+1)
	t.ids = make(map[string]int32, len(entries))
	for piece, id := range entries {
		if t.known[id] {
			e.problem("value", "model.vocab", "model.vocab: %q and %q have the same id %d", min(t.vocab[id], piece), max(t.vocab[id], piece), id)
			return
		}
		t.known[id] = true
		t.vocab[id] = piece
		t.ids[piece] = int32(id)
	}
	if len(entries) == len(t.vocab) {
		t.known = nil
	}
}

func (t *Tokenizer) entries() []trieEntry {
	entries := make([]trieEntry, 0, len(t.vocab))
	for id, piece := range t.vocab {
		if piece != "" && t.has(int32(id)) {
			entries = append(entries, trieEntry{piece, int32(id)})
		}
	}
	return entries
}

func (e *element) wordPiece(t *Tokenizer) {
	prefix := e.text("continuing_subword_prefix", "##")
	m := &wordPiece{maxChars: 100, cache: newWordCache()}
	e.get("max_input_chars_per_word", &m.maxChars, true)
	unknown := e.text("unk_token", "[UNK]")
	var ok bool
	if m.unknown, ok = t.ids[unknown]; !ok {
		e.problem("unknown-token", "model.unk_token", "model.unk_token %q is not in the vocabulary", unknown)
		return
	}
	all := t.entries()
	inside := make([]trieEntry, 0, len(all))
	for _, entry := range all {
		if rest, ok := strings.CutPrefix(entry.key, prefix); ok && rest != "" {
			inside = append(inside, trieEntry{rest, entry.value})
		}
	}
	m.start, m.inside = newTrie(all), newTrie(inside)
	t.model = m
}

func (e *element) bpe(t *Tokenizer) {
	m := &bpe{
		ids: t.ids, unknown: -1, prefix: e.text("continuing_subword_prefix", ""), suffix: e.text("end_of_word_suffix", ""),
		fuse: e.flag("fuse_unk", false), ignore: e.flag("ignore_merges", false), cache: newWordCache(),
	}
	if unknown := e.text("unk_token", ""); unknown != "" {
		id, ok := t.ids[unknown]
		if !ok {
			e.problem("unknown-token", "model.unk_token", "model.unk_token %q is not in the vocabulary", unknown)
			return
		}
		m.unknown = id
	}
	if e.flag("byte_fallback", false) {
		m.bytes = byteTable(t.ids)
	}
	var lines []json.RawMessage
	if !e.get("merges", &lines, false) {
		return
	}
	merges := make([][2]string, len(lines))
	for i, raw := range lines {
		var line string
		var pair []string
		raw = bytes.TrimSpace(raw)
		if len(raw) > 0 && raw[0] == '[' {
			if json.Unmarshal(raw, &pair) == nil && len(pair) == 2 {
				merges[i] = [2]string{pair[0], pair[1]}
				continue
			}
		} else if json.Unmarshal(raw, &line) == nil {
			if a, b, ok := strings.Cut(line, " "); ok && !strings.Contains(b, " ") {
				merges[i] = [2]string{a, b}
				continue
			}
		}
		e.problem("merge", fmt.Sprintf("model.merges[%d]", i), "model.merges[%d] is not a pair", i)
		if len(e.diags) > 20 {
			return
		}
	}
	t.spec.model.merges = merges
	m.merges = make(map[uint64]mergeRule, len(merges))
	for rank, pair := range merges {
		a, okA := t.ids[pair[0]]
		b, okB := t.ids[pair[1]]
		id, ok := int32(0), false
		if len(m.prefix) <= len(pair[1]) {
			id, ok = t.ids[pair[0]+pair[1][len(m.prefix):]]
		}
		if !okA || !okB || !ok {
			e.problem("merge", fmt.Sprintf("model.merges[%d]", rank), "model.merges[%d] (%q, %q): a piece is not in the vocabulary", rank, pair[0], pair[1])
			if len(e.diags) > 20 {
				return
			}
			continue
		}
		m.merges[pairKey(a, b)] = mergeRule{int32(rank), id}
	}
	t.model = m
}

// byteTable finds the pieces <0x00> to <0xFF>.
func byteTable(ids map[string]int32) *[256]int32 {
	var table [256]int32
	for b := range table {
		id, ok := ids[fmt.Sprintf("<0x%02X>", b)]
		if !ok {
			id = -1
		}
		table[b] = id
	}
	return &table
}

// readBytes lets a byte-level BPE read bytes, where the characters that ByteLevel
// writes are seen by nothing but the model.
func (t *Tokenizer) readBytes() {
	m, ok := t.model.(*bpe)
	if !ok || len(t.pre) == 0 || m.prefix != "" || m.suffix != "" || m.bytes != nil {
		return
	}
	last, ok := t.pre[len(t.pre)-1].(*byteLevel)
	if !ok {
		return
	}
	var table [256]int32
	for b := range table {
		id, ok := t.ids[string(byteToRune(byte(b)))]
		if !ok {
			return
		}
		table[b] = id
	}
	last.raw, m.raw = true, &table
	if !m.ignore {
		return
	}
	m.wholes = make(map[string]int32, len(t.ids))
	for piece, id := range t.ids {
		raw := make([]byte, 0, len(piece))
		for _, r := range piece {
			b, ok := runeToByte(r)
			if !ok {
				raw = nil
				break
			}
			raw = append(raw, b)
		}
		if len(raw) > 0 {
			m.wholes[string(raw)] = id
		}
	}
}

func (e *element) unigram(t *Tokenizer) {
	var entries []json.RawMessage
	if !e.get("vocab", &entries, false) {
		return
	}
	m := &unigram{unknown: -1, cache: newWordCache()}
	t.ids = make(map[string]int32, len(entries))
	for i, raw := range entries {
		var pair []any
		if err := json.Unmarshal(raw, &pair); err == nil && len(pair) == 2 {
			piece, okA := pair[0].(string)
			score, okB := pair[1].(float64)
			if okA && okB && !math.IsNaN(score) {
				t.vocab = append(t.vocab, piece)
				t.ids[piece] = int32(i)
				m.scores = append(m.scores, score)
				continue
			}
		}
		e.problem("value", fmt.Sprintf("model.vocab[%d]", i), "model.vocab[%d] is not [piece, score]", i)
		if len(e.diags) > 20 {
			return
		}
	}
	var unknown *int64
	e.get("unk_id", &unknown, true)
	if unknown != nil {
		if *unknown < 0 || *unknown >= int64(len(t.vocab)) {
			e.problem("unknown-token", "model.unk_id", "model.unk_id %d is not in the vocabulary", *unknown)
			return
		}
		m.unknown = int32(*unknown)
	}
	if len(t.vocab) == 0 {
		e.problem("missing", "model.vocab", "model.vocab is empty")
		return
	}
	if e.flag("byte_fallback", false) {
		m.bytes = byteTable(t.ids)
	}
	m.ids = t.ids
	m.setUnknownScore()
	m.trie = newTrie(t.entries())
	t.spec.model.scores = m.scores
	t.model = m
}

// roles are the special tokens by role and what they are usually called.
var roles = []struct {
	name  string
	usual []string
}{
	{"pad", []string{"[PAD]", "<pad>"}},
	{"unk", []string{"[UNK]", "<unk>"}},
	{"cls", []string{"[CLS]", "<s>"}},
	{"sep", []string{"[SEP]", "</s>"}},
	{"mask", []string{"[MASK]", "<mask>"}},
	{"bos", []string{"<s>", "<|endoftext|>", "<|begin_of_text|>"}},
	{"eos", []string{"</s>", "<|endoftext|>", "<|end_of_text|>"}},
}

// readRoles takes the special tokens from the files that name them, and the
// others by their usual content.
func (t *Tokenizer) readRoles(config, specials map[string]json.RawMessage) {
	added := t.added.Load()
	for _, role := range roles {
		for _, from := range []map[string]json.RawMessage{specials, config} {
			if content := tokenContent(from[role.name+"_token"]); content != "" {
				if _, ok := t.ID(content); ok {
					t.special[role.name] = content
				}
			}
		}
		if _, ok := t.special[role.name]; ok || config != nil && config[role.name+"_token"] != nil {
			continue
		}
		for _, content := range role.usual {
			_, isAdded := added.byText[content]
			_, isPiece := t.ids[content]
			if isAdded || isPiece {
				t.special[role.name] = content
				break
			}
		}
	}
	if _, ok := t.special["unk"]; !ok {
		if raw := t.spec.model.fields["unk_token"]; raw != nil {
			if content := tokenContent(raw); content != "" {
				t.special["unk"] = content
			}
		}
	}
}

// tokenContent reads "[CLS]" or {"content": "[CLS]", …}.
func tokenContent(raw json.RawMessage) string {
	var plain string
	if json.Unmarshal(raw, &plain) == nil {
		return plain
	}
	var object struct {
		Content string `json:"content"`
	}
	if json.Unmarshal(raw, &object) == nil {
		return object.Content
	}
	return ""
}

// fromVocab makes a BERT tokenizer of a list of pieces.
func fromVocab(path string, data []byte, config, specials map[string]json.RawMessage) (*Tokenizer, error) {
	r := &reader{file: path}
	if !utf8.Valid(data) {
		r.problem("encoding", "", "the vocabulary is not UTF-8")
		return nil, r.diags.Err()
	}
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	vocab := make(map[string]int, len(lines))
	for i, line := range lines {
		line = strings.TrimSuffix(line, "\r")
		vocab[line] = i // of equal lines the last counts
	}
	flag := func(name string, otherwise bool) any {
		var b *bool
		raw, ok := config[name]
		if !ok {
			return otherwise
		}
		if json.Unmarshal(raw, &b) != nil || b == nil {
			return nil
		}
		return *b
	}
	lower, ok := flag("do_lower_case", true).(bool)
	if !ok {
		lower = true
	}
	chinese, ok := flag("tokenize_chinese_chars", true).(bool)
	if !ok {
		chinese = true
	}
	var accents any
	if _, ok := config["strip_accents"]; ok {
		accents = flag("strip_accents", lower)
	}
	name := func(role, otherwise string) string {
		for _, from := range []map[string]json.RawMessage{config, specials} {
			if content := tokenContent(from[role+"_token"]); content != "" {
				return content
			}
		}
		return otherwise
	}
	unknown, cls, sep := name("unk", "[UNK]"), name("cls", "[CLS]"), name("sep", "[SEP]")
	var added []map[string]any
	for _, content := range []string{name("pad", "[PAD]"), unknown, cls, sep, name("mask", "[MASK]")} {
		id, ok := vocab[content]
		if !ok {
			if content == unknown || content == cls || content == sep {
				r.diags.Add(sdk.Diagnostic{
					Severity: sdk.Error, Code: "tokenizer.special", File: path,
					Summary: fmt.Sprintf("the vocabulary has no %s", content),
				})
			}
			continue
		}
		added = append(added, map[string]any{
			"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true,
		})
	}
	if r.diags.HasErrors() {
		return nil, r.diags.Err()
	}
	slices.SortFunc(added, func(a, b map[string]any) int { return a["id"].(int) - b["id"].(int) }) //nolint:forcetypeassert // set above
	text, err := json.Marshal(map[string]any{
		"version": "1.0", "added_tokens": added,
		"normalizer": map[string]any{
			"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": chinese, "strip_accents": accents, "lowercase": lower,
		},
		"pre_tokenizer":  map[string]any{"type": "BertPreTokenizer"},
		"post_processor": bertTemplate(cls, sep, vocab[cls], vocab[sep]),
		"decoder":        map[string]any{"type": "WordPiece", "prefix": "##", "cleanup": true},
		"model": map[string]any{
			"type": "WordPiece", "unk_token": unknown, "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": vocab,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("load tokenizer: %w", err)
	}
	return build(path, text, config, specials)
}

// bertTemplate is [CLS] A [SEP] and [CLS] A [SEP] B [SEP].
func bertTemplate(cls, sep string, clsID, sepID int) map[string]any {
	special := func(id string, typeID int) any {
		return map[string]any{"SpecialToken": map[string]any{"id": id, "type_id": typeID}}
	}
	sequence := func(id string, typeID int) any {
		return map[string]any{"Sequence": map[string]any{"id": id, "type_id": typeID}}
	}
	entry := func(content string, id int) any {
		return map[string]any{"id": content, "ids": []int{id}, "tokens": []string{content}}
	}
	return map[string]any{
		"type":           "TemplateProcessing",
		"single":         []any{special(cls, 0), sequence("A", 0), special(sep, 0)},
		"pair":           []any{special(cls, 0), sequence("A", 0), special(sep, 0), sequence("B", 1), special(sep, 1)},
		"special_tokens": map[string]any{cls: entry(cls, clsID), sep: entry(sep, sepID)},
	}
}

// fromMerges makes a byte-level BPE of vocab.json and merges.txt.
func fromMerges(path string, vocab, merges []byte, config, specials map[string]json.RawMessage) (*Tokenizer, error) {
	r := &reader{file: path}
	var ids map[string]int
	if err := json.Unmarshal(vocab, &ids); err != nil {
		r.syntax(vocab, err)
		return nil, r.diags.Err()
	}
	var lines []string
	for _, line := range strings.Split(string(merges), "\n") {
		if line = strings.TrimRight(line, "\r"); line != "" && !strings.HasPrefix(line, "#version") {
			lines = append(lines, line)
		}
	}
	prefix := false
	if raw, ok := config["add_prefix_space"]; ok {
		if err := json.Unmarshal(raw, &prefix); err != nil {
			prefix = false
		}
	}
	var added []map[string]any
	special := func(content string, lstrip bool) {
		if id, ok := ids[content]; ok {
			added = append(added, map[string]any{
				"id": id, "content": content, "single_word": false, "lstrip": lstrip, "rstrip": false, "normalized": true, "special": true,
			})
		}
	}
	post := map[string]any{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false, "use_regex": true}
	cls, hasCLS := ids["<s>"]
	sep, hasSEP := ids["</s>"]
	if hasCLS && hasSEP {
		for _, content := range []string{"<s>", "<pad>", "</s>", "<unk>"} {
			special(content, false)
		}
		special("<mask>", true)
		post = map[string]any{
			"type": "RobertaProcessing", "sep": []any{"</s>", sep}, "cls": []any{"<s>", cls}, "trim_offsets": true, "add_prefix_space": prefix,
		}
	} else {
		special("<|endoftext|>", false)
	}
	byteLevel := map[string]any{"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": true, "use_regex": true}
	text, err := json.Marshal(map[string]any{
		"version": "1.0", "added_tokens": added, "pre_tokenizer": byteLevel, "post_processor": post, "decoder": byteLevel,
		"model": map[string]any{
			"type": "BPE", "continuing_subword_prefix": "", "end_of_word_suffix": "", "fuse_unk": false, "vocab": ids, "merges": lines,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("load tokenizer: %w", err)
	}
	return build(path, text, config, specials)
}
