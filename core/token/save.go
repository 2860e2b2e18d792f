package token

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Save writes tokenizer.json, tokenizer_config.json, special_tokens_map.json and,
// for WordPiece, vocab.txt into a folder that exists. Equal tokenizers give equal
// bytes. Python's transformers loads the folder.
func (t *Tokenizer) Save(dir string) error {
	files := map[string][]byte{}
	var err error
	if files[jsonFile], err = t.JSON(); err != nil {
		return err
	}
	if files[configFile], err = t.configJSON(); err != nil {
		return err
	}
	specials := map[string]any{}
	for _, role := range roles {
		if content, ok := t.special[role.name]; ok {
			specials[role.name+"_token"] = content
		}
	}
	if files[specialsFile], err = marshal(specials); err != nil {
		return fmt.Errorf("save tokenizer: %w", err)
	}
	if text, ok := t.vocabText(); ok {
		files[vocabFile] = text
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := writeFile(filepath.Join(dir, name), files[name]); err != nil {
			return fmt.Errorf("save tokenizer: %w", err)
		}
	}
	return nil
}

// writeFile replaces a file as a whole.
func writeFile(path string, data []byte) error {
	temporary := path + ".tmp"
	if err := os.WriteFile(temporary, data, 0o644); err != nil { //nolint:gosec // a model folder is for everybody
		return err
	}
	return os.Rename(temporary, path)
}

// JSON is the content of tokenizer.json.
func (t *Tokenizer) JSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("{\n  \"version\": \"1.0\",\n")
	part := func(name string) error {
		fmt.Fprintf(&b, "  %q: ", name)
		raw := t.spec.parts[name]
		if len(raw) == 0 {
			raw = json.RawMessage("null")
		}
		if err := json.Indent(&b, raw, "  ", "  "); err != nil {
			return fmt.Errorf("save tokenizer: %s: %w", name, err)
		}
		b.WriteString(",\n")
		return nil
	}
	for _, name := range []string{"truncation", "padding"} {
		if err := part(name); err != nil {
			return nil, err
		}
	}
	b.WriteString("  \"added_tokens\": [")
	ids, tokens := t.added.Load().sorted()
	for i, token := range tokens {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "\n    {\n      \"id\": %d,\n      \"content\": %s,\n      \"single_word\": %t,\n      \"lstrip\": %t,\n"+
			"      \"rstrip\": %t,\n      \"normalized\": %t,\n      \"special\": %t\n    }",
			ids[i], quote(token.Content), token.SingleWord, token.LeftStrip, token.RightStrip, token.Normalized, token.Special)
	}
	if len(tokens) > 0 {
		b.WriteString("\n  ")
	}
	b.WriteString("],\n")
	for _, name := range []string{"normalizer", "pre_tokenizer", "post_processor", "decoder"} {
		if err := part(name); err != nil {
			return nil, err
		}
	}
	if err := t.writeModel(&b); err != nil {
		return nil, err
	}
	b.WriteString("\n}\n")
	return b.Bytes(), nil
}

func (t *Tokenizer) writeModel(b *bytes.Buffer) error {
	m := &t.spec.model
	fmt.Fprintf(b, "  \"model\": {\n    \"type\": %q", m.kind)
	for _, name := range slices.Sorted(maps.Keys(m.fields)) {
		if name == "type" {
			continue
		}
		fmt.Fprintf(b, ",\n    %q: ", name)
		if err := json.Indent(b, m.fields[name], "    ", "  "); err != nil {
			return fmt.Errorf("save tokenizer: model.%s: %w", name, err)
		}
	}
	open, end := "{", "}"
	if m.kind == "Unigram" {
		open, end = "[", "]"
	}
	b.WriteString(",\n    \"vocab\": " + open)
	separator := "\n      "
	for id, piece := range t.vocab {
		if !t.has(int32(id)) {
			continue
		}
		b.WriteString(separator)
		separator = ",\n      "
		if m.kind == "Unigram" {
			b.WriteString("[" + quote(piece) + ", " + formatScore(m.scores[id]) + "]")
		} else {
			b.WriteString(quote(piece) + ": " + strconv.Itoa(id))
		}
	}
	b.WriteString("\n    " + end)
	if m.kind == "BPE" {
		b.WriteString(",\n    \"merges\": [")
		asList := false // a piece with a space in it
		for _, pair := range m.merges {
			asList = asList || strings.Contains(pair[0], " ") || strings.Contains(pair[1], " ")
		}
		separator = "\n      "
		for _, pair := range m.merges {
			b.WriteString(separator)
			separator = ",\n      "
			if asList {
				b.WriteString("[" + quote(pair[0]) + ", " + quote(pair[1]) + "]")
			} else {
				b.WriteString(quote(pair[0] + " " + pair[1]))
			}
		}
		b.WriteString("\n    ]")
	}
	b.WriteString("\n  }")
	return nil
}

// formatScore writes a number that is read back as the same float64, with a point.
func formatScore(f float64) string {
	s := strconv.FormatFloat(f, 'g', -1, 64)
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	return s
}

func quote(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil { // strings always encode
		return `""`
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(v)
	return b.Bytes(), err
}

// configJSON is tokenizer_config.json: what was loaded, completed.
func (t *Tokenizer) configJSON() ([]byte, error) {
	config := map[string]any{}
	for name, raw := range t.spec.config {
		config[name] = raw
	}
	for _, role := range roles {
		content, ok := t.special[role.name]
		_, named := config[role.name+"_token"]
		// bos and eos of a BERT are guesses from its cls and sep: left out.
		if ok && !named && (role.name != "bos" && role.name != "eos" || t.spec.model.kind != "WordPiece") {
			config[role.name+"_token"] = content
		}
	}
	if _, ok := config["tokenizer_class"]; !ok {
		class := "PreTrainedTokenizerFast"
		if bert, ok := t.normalizer.(*bertNormalizer); ok && t.spec.model.kind == "WordPiece" {
			class = "BertTokenizer"
			config["do_lower_case"] = bert.lower
			config["tokenize_chinese_chars"] = bert.chinese
			config["strip_accents"] = bert.accents
		}
		config["tokenizer_class"] = class
	}
	decoder := map[string]any{}
	ids, tokens := t.added.Load().sorted()
	for i, token := range tokens {
		decoder[strconv.Itoa(int(ids[i]))] = map[string]any{
			"content": token.Content, "single_word": token.SingleWord, "lstrip": token.LeftStrip, "rstrip": token.RightStrip,
			"normalized": token.Normalized, "special": token.Special,
		}
	}
	config["added_tokens_decoder"] = decoder
	data, err := marshal(config)
	if err != nil {
		return nil, fmt.Errorf("save tokenizer: %w", err)
	}
	return data, nil
}

// vocabText is BERT's vocab.txt; ok is false where ids or pieces do not fit it.
func (t *Tokenizer) vocabText() (text []byte, ok bool) {
	if t.spec.model.kind != "WordPiece" {
		return nil, false
	}
	lines := make([]string, t.VocabSize())
	copy(lines, t.vocab)
	ids, tokens := t.added.Load().sorted()
	for i, token := range tokens {
		lines[ids[i]] = token.Content
	}
	for _, line := range lines {
		if line == "" || strings.ContainsAny(line, "\r\n") {
			return nil, false
		}
	}
	return []byte(strings.Join(lines, "\n") + "\n"), true
}

// sorted lists the tokens by id.
func (a *addedTokens) sorted() ([]int32, []AddedToken) {
	order := make([]int, len(a.ids))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return int(a.ids[i]) - int(a.ids[j]) })
	ids, tokens := make([]int32, len(order)), make([]AddedToken, len(order))
	for i, k := range order {
		ids[i], tokens[i] = a.ids[k], a.tokens[k]
	}
	return ids, tokens
}
