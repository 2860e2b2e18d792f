package sdk

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// Limits of one YAML document. They bound memory and time for any input: the
// size bounds the parser, the others what comes after it.
const (
	MaxYAMLBytes = 4 << 20
	// maxYAMLAliased is how many values aliases may add to those written.
	maxYAMLAliased = 100_000
	maxYAMLDepth   = 100
	// maxYAMLProblems ends the list for a file that is wrong throughout.
	maxYAMLProblems = 200
)

// DecodeYAML decodes one YAML document strictly into the value that into points
// to and returns every problem at once, each with file, line, column and path.
// name is the file name for the diagnostics. What could be decoded is decoded,
// also when there are problems.
//
// Strictly means: a key that the target does not have is an error that suggests
// the nearest one, a key given twice is an error, and a value of another type is
// an error. Numbers and booleans are taken as written where text is wanted, so
// that a label may be called 1 or yes; null leaves the target as it is, except
// as an element of a list.
//
// The target is made of structs (fields by their yaml tag, "-" left out,
// ",inline" for embedded ones, else the lower-case name), maps with string keys,
// slices, pointers, strings, booleans, numbers, time.Duration ("90s"), any, and
// types that implement encoding.TextUnmarshaler or yaml.Unmarshaler. Three more
// tags are understood:
//
//	schema:"islm/domain.v0"   the key must be there and have this value (or one of several, by comma)
//	required:"true"           the key must be there and not be empty
//	key:"name"                a list of structs may also be written as a mapping from the field called name
func DecodeYAML(name string, data []byte, into any) Diagnostics {
	doc, ds := ParseYAML(name, data)
	if doc == nil {
		return ds
	}
	ds.Add(doc.Decode(into)...)
	ds.Sort()
	return ds
}

// Document is a parsed YAML document that still knows where each value stands.
type Document struct {
	name string
	root *yaml.Node // nil for an empty document
}

// ParseYAML parses one YAML document without decoding it. The document is nil if
// there was an error.
func ParseYAML(name string, data []byte) (doc *Document, ds Diagnostics) {
	fail := func(line int, code, summary, remedy string) (*Document, Diagnostics) {
		line = min(line, 1+bytes.Count(data, []byte("\n")))
		return nil, Diagnostics{{Severity: Error, Code: code, File: name, Line: line, Summary: summary, Remedy: remedy}}
	}
	if len(data) > MaxYAMLBytes {
		return fail(0, "yaml.limit", fmt.Sprintf("the file has %d bytes, a YAML file may have %d", len(data), MaxYAMLBytes),
			"split the file, or keep lists in TSV files")
	}
	if !utf8.Valid(data) {
		line := 1 + bytes.Count(data[:firstInvalid(data)], []byte("\n"))
		return fail(line, "yaml.encoding", "the file is not valid UTF-8", "save it as UTF-8")
	}
	defer func() { // the parser gives up on some malformed input by panicking
		if r := recover(); r != nil {
			doc, ds = fail(0, "yaml.syntax", fmt.Sprintf("not valid YAML: %v", r), "")
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var root yaml.Node
	if err := dec.Decode(&root); err != nil {
		if errors.Is(err, io.EOF) {
			return &Document{name: name}, nil
		}
		line, text := yamlErrorLine(err)
		return fail(line, "yaml.syntax", "not valid YAML: "+text, "")
	}
	var second yaml.Node
	if err := dec.Decode(&second); err == nil {
		return fail(second.Line, "yaml.syntax", "a second document begins here, one is wanted", "remove the --- line or use two files")
	} else if !errors.Is(err, io.EOF) {
		line, text := yamlErrorLine(err)
		return fail(line, "yaml.syntax", "not valid YAML: "+text, "")
	}
	d := &Document{name: name}
	if len(root.Content) > 0 {
		d.root = root.Content[0]
	}
	return d, nil
}

var yamlLine = regexp.MustCompile(`^(?:yaml: )?(?:unmarshal errors:\s*)?line (\d+): `)

// parserProblem matches the messages of yaml.v3's parser, which counts lines from
// 0 where its scanner and decoder count from 1.
var parserProblem = regexp.MustCompile(`^(did not find expected (<|key|node|'-'|',')|found (undefined|duplicate|incompatible))`)

// yamlErrorLine separates the line from the text of an error of yaml.v3; the line
// is 0 if it gives none.
func yamlErrorLine(err error) (line int, text string) {
	text = err.Error()
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		text = text[len(m[0]):]
	}
	text = strings.TrimPrefix(text, "yaml: ")
	if parserProblem.MatchString(text) {
		line++
	}
	return line, text
}

func firstInvalid(data []byte) int {
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n <= 1 {
			return i
		}
		i += n
	}
	return len(data)
}

// Name returns the file name given to ParseYAML.
func (d *Document) Name() string { return d.name }

// At returns a diagnostic of severity Error placed at the value that path names,
// such as heads[1].labels[0]; the caller fills in the rest. A path that does not
// exist gets the place of its nearest parent.
func (d *Document) At(path string) Diagnostic {
	n := d.root
	for _, step := range splitPath(path) {
		next := child(n, step)
		if next == nil {
			break
		}
		n = next
	}
	dg := Diagnostic{Severity: Error, File: d.name, Path: path}
	if n != nil {
		dg.Line, dg.Column = n.Line, n.Column
	}
	return dg
}

// child finds one step of a path below n: a key, or an index as "[3]".
func child(n *yaml.Node, step string) *yaml.Node {
	for range maxYAMLDepth {
		if n == nil || n.Kind != yaml.AliasNode {
			break
		}
		n = n.Alias
	}
	if n == nil {
		return nil
	}
	switch n.Kind {
	case yaml.SequenceNode:
		if i, ok := indexStep(step); ok && i < len(n.Content) {
			return n.Content[i]
		}
	case yaml.MappingNode:
		if i, ok := indexStep(step); ok { // a list written as a mapping
			if 2*i+1 < len(n.Content) {
				return n.Content[2*i+1]
			}
			return nil
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == step {
				return n.Content[i+1]
			}
		}
	}
	return nil
}

func indexStep(step string) (int, bool) {
	if len(step) < 3 || step[0] != '[' || step[len(step)-1] != ']' {
		return 0, false
	}
	i, err := strconv.Atoi(step[1 : len(step)-1])
	return i, err == nil && i >= 0
}

func splitPath(path string) []string {
	var steps []string
	for part := range strings.SplitSeq(path, ".") {
		for part != "" {
			open := strings.IndexByte(part, '[')
			switch {
			case open < 0:
				steps, part = append(steps, part), ""
			case open > 0:
				steps, part = append(steps, part[:open]), part[open:]
			default:
				end := strings.IndexByte(part, ']')
				if end < 0 {
					return append(steps, part)
				}
				steps, part = append(steps, part[:end+1]), part[end+1:]
			}
		}
	}
	return steps
}

// Decode decodes the document into the value that into points to, as DecodeYAML.
func (d *Document) Decode(into any) (ds Diagnostics) {
	w := d.walk()
	defer func() { // an Unmarshaler of the target may panic on odd input
		if r := recover(); r != nil {
			w.ds.Add(Diagnostic{Code: "yaml.syntax", File: d.name, Summary: fmt.Sprintf("cannot be decoded: %v", r)})
		}
		w.ds.Sort()
		ds = w.ds
	}()
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		w.ds.Errorf("yaml.target", "%s cannot be decoded into a %T: a non-nil pointer is needed", d.name, into)
		return w.ds
	}
	root := d.root
	if root == nil {
		root = &yaml.Node{Kind: yaml.MappingNode, Line: 1, Column: 1}
		if k := indirect(v.Type()).Kind(); k != reflect.Struct {
			return w.ds
		}
	}
	w.value(root, v.Elem(), "", 0)
	return w.ds
}

// yamlWalk is one decoding.
type yamlWalk struct {
	doc    *Document
	ds     Diagnostics
	budget int // values still allowed, aliased ones counted as often as they are used
	full   bool
}

func (d *Document) walk() *yamlWalk {
	return &yamlWalk{doc: d, budget: 2*countNodes(d.root) + maxYAMLAliased}
}

// countNodes counts the values and keys written in a document.
func countNodes(n *yaml.Node) int {
	if n == nil {
		return 0
	}
	count := 1
	for _, c := range n.Content {
		count += countNodes(c)
	}
	return count
}

func (w *yamlWalk) report(n *yaml.Node, code, path, remedy, format string, args ...any) {
	if len(w.ds) == maxYAMLProblems {
		w.full = true
		w.ds.Add(Diagnostic{Severity: Error, Code: "yaml.limit", File: w.doc.name, Line: n.Line, Column: n.Column,
			Summary: fmt.Sprintf("more than %d problems, the rest is not shown", maxYAMLProblems)})
	}
	if len(w.ds) > maxYAMLProblems {
		return
	}
	w.ds.Add(Diagnostic{Severity: Error, Code: code, File: w.doc.name, Line: n.Line, Column: n.Column,
		Path: path, Summary: fmt.Sprintf(format, args...), Remedy: remedy})
}

// enter resolves aliases and counts n; it returns nil if a limit is reached.
func (w *yamlWalk) enter(n *yaml.Node, path string, depth int) *yaml.Node {
	if !w.spend(n, path, 1) {
		return nil
	}
	if depth > maxYAMLDepth {
		w.report(n, "yaml.limit", path, "", "values are nested more than %d deep", maxYAMLDepth)
		return nil
	}
	for n.Kind == yaml.AliasNode {
		if n.Alias == nil {
			w.report(n, "yaml.syntax", path, "", "alias *%s has no anchor", n.Value)
			return nil
		}
		n = n.Alias
	}
	return n
}

// spend counts values against the limit; it reports whether there is room.
func (w *yamlWalk) spend(n *yaml.Node, path string, values int) bool {
	if w.full {
		return false
	}
	if w.budget -= values; w.budget < 0 {
		w.report(n, "yaml.limit", path, "", "aliases add more than %d values to the file", maxYAMLAliased)
		w.full = true
		return false
	}
	return true
}

var (
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
	yamlUnmarshaler = reflect.TypeFor[yaml.Unmarshaler]()
	durationType    = reflect.TypeFor[time.Duration]()
)

// value decodes n into v, which can be set.
func (w *yamlWalk) value(n *yaml.Node, v reflect.Value, path string, depth int) {
	if n = w.enter(n, path, depth); n == nil {
		return
	}
	if isNull(n) {
		return
	}
	if v.CanAddr() {
		p := v.Addr()
		switch {
		case p.Type().Implements(yamlUnmarshaler):
			if u, ok := p.Interface().(yaml.Unmarshaler); ok {
				if err := u.UnmarshalYAML(n); err != nil {
					line, text := yamlErrorLine(err)
					at := *n
					if line > 0 {
						at.Line, at.Column = line, 0
					}
					w.report(&at, "yaml.value", path, "", "%s: %s", subject(path), text)
				}
				return
			}
		case n.Kind == yaml.ScalarNode && p.Type().Implements(textUnmarshaler):
			if u, ok := p.Interface().(encoding.TextUnmarshaler); ok {
				if err := u.UnmarshalText([]byte(n.Value)); err != nil {
					w.report(n, "yaml.value", path, "", "%s: %v", subject(path), err)
				}
				return
			}
		}
	}
	switch v.Kind() {
	case reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		if !v.IsNil() {
			p.Elem().Set(v.Elem())
		}
		w.value(n, p.Elem(), path, depth+1)
		v.Set(p)
	case reflect.Interface:
		if v.NumMethod() != 0 {
			w.report(n, "yaml.target", path, "", "%s cannot be decoded into a %s", subject(path), v.Type())
			return
		}
		if x, ok := w.plain(n, path, depth); ok && x != nil {
			v.Set(reflect.ValueOf(x))
		}
	case reflect.Struct:
		w.structure(n, v, path, depth)
	case reflect.Map:
		w.mapping(n, v, path, depth)
	case reflect.Slice:
		w.sequence(n, v, path, depth)
	default:
		w.scalar(n, v, path)
	}
}

// scalar decodes a plain value.
func (w *yamlWalk) scalar(n *yaml.Node, v reflect.Value, path string) {
	wrong := func(want string) {
		w.report(n, "yaml.type", path, "", "%s is %s, %s is wanted", subject(path), kindOf(n), want)
	}
	if n.Kind != yaml.ScalarNode {
		switch v.Kind() {
		case reflect.String:
			wrong("text")
		case reflect.Bool:
			wrong("true or false")
		default:
			wrong("a number")
		}
		return
	}
	tag := n.ShortTag()
	switch v.Kind() {
	case reflect.String:
		if tag == "!!binary" {
			wrong("text")
			return
		}
		v.SetString(n.Value)
	case reflect.Bool:
		switch strings.ToLower(n.Value) {
		case "true", "yes", "on":
			v.SetBool(true)
		case "false", "no", "off":
			v.SetBool(false)
		default:
			wrong("true or false")
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if v.Type() == durationType {
			d, err := time.ParseDuration(n.Value)
			if err != nil {
				wrong("a duration such as 90s or 5m")
				return
			}
			v.SetInt(int64(d))
			return
		}
		var i int64
		if !integer(n, tag, &i) {
			wrong("a whole number")
			return
		}
		if v.OverflowInt(i) {
			w.report(n, "yaml.type", path, "", "%s is out of range", subject(path))
			return
		}
		v.SetInt(i)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		var u uint64
		if tag != "!!int" || n.Decode(&u) != nil {
			var i int64
			if !integer(n, tag, &i) || i < 0 {
				wrong("a whole number, zero or more")
				return
			}
			u = uint64(i)
		}
		if v.OverflowUint(u) {
			w.report(n, "yaml.type", path, "", "%s is out of range", subject(path))
			return
		}
		v.SetUint(u)
	case reflect.Float32, reflect.Float64:
		f, ok := float(n, tag)
		if !ok {
			wrong("a number")
			return
		}
		if v.OverflowFloat(f) && !math.IsInf(f, 0) {
			w.report(n, "yaml.type", path, "", "%s is out of range", subject(path))
			return
		}
		v.SetFloat(f)
	default:
		w.report(n, "yaml.target", path, "", "%s cannot be decoded into a %s", subject(path), v.Type())
	}
}

// integer reads a whole number, also one written as 1e6 or 3.0.
func integer(n *yaml.Node, tag string, i *int64) bool {
	switch tag {
	case "!!int":
		return n.Decode(i) == nil
	case "!!float", "!!str":
		if tag == "!!str" && n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
			return false
		}
		f, ok := float(n, tag)
		if !ok || f != math.Trunc(f) || math.Abs(f) >= 1<<53 {
			return false
		}
		*i = int64(f)
		return true
	}
	return false
}

// float reads a number; YAML 1.1 takes 2e-5 for text, people do not.
func float(n *yaml.Node, tag string) (float64, bool) {
	switch tag {
	case "!!int", "!!float":
		var f float64
		err := n.Decode(&f)
		return f, err == nil
	case "!!str":
		if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0 && looksNumeric.MatchString(n.Value) {
			f, err := strconv.ParseFloat(n.Value, 64)
			return f, err == nil
		}
	}
	return 0, false
}

var looksNumeric = regexp.MustCompile(`^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$`)

// structure decodes a mapping into a struct.
func (w *yamlWalk) structure(n *yaml.Node, v reflect.Value, path string, depth int) {
	if n.Kind != yaml.MappingNode {
		w.report(n, "yaml.type", path, "", "%s is %s, a mapping is wanted", subject(path), kindOf(n))
		return
	}
	fields, known := structFields(v.Type())
	seen := map[string]*yaml.Node{}
	w.pairs(n, path, depth, func(key, val *yaml.Node) {
		at := join(path, key.Value)
		f, ok := fields[key.Value]
		if !ok {
			near, remedy := Nearest(key.Value, known), ""
			if near != "" {
				remedy = fmt.Sprintf("did you mean %q?", near)
			} else if len(known) > 0 {
				remedy = "known keys: " + strings.Join(known, ", ")
			}
			where := ""
			if path != "" {
				where = " in " + path
			}
			w.report(key, "yaml.unknown-key", at, remedy, "unknown key %q%s", key.Value, where)
			return
		}
		seen[key.Value] = val
		fv := fieldByIndex(v, f.index)
		if f.key != "" {
			w.keyed(val, fv, at, depth+1, f.key)
			return
		}
		w.value(val, fv, at, depth+1)
	})
	for _, name := range known {
		f := fields[name]
		val, at := seen[name], join(path, name)
		if len(f.schema) > 0 {
			switch {
			case val == nil:
				w.report(n, "yaml.schema", at, fmt.Sprintf("add the line \"schema: %s\"", f.schema[0]), "the schema is missing%s", in(path))
			case !slices.Contains(f.schema, val.Value):
				w.report(val, "yaml.schema", at, fmt.Sprintf("this version reads %s", strings.Join(f.schema, ", ")), "unknown schema %q%s", val.Value, in(path))
			}
		}
		if f.required && (val == nil || isNull(val) || (val.Kind == yaml.ScalarNode && strings.TrimSpace(val.Value) == "")) {
			if fv := fieldByIndex(v, f.index); val == nil && !fv.IsZero() {
				continue // given by the key of a mapping, or preset
			}
			at2 := n
			if val != nil {
				at2 = val
			}
			w.report(at2, "yaml.missing", at, "", "%s is missing", at)
		}
	}
}

func in(path string) string {
	if path == "" {
		return ""
	}
	return " in " + path
}

// pairs calls f for every key and value of a mapping, merge keys expanded, and
// reports keys given twice or that are no plain text.
func (w *yamlWalk) pairs(n *yaml.Node, path string, depth int, f func(key, val *yaml.Node)) {
	if !w.spend(n, path, len(n.Content)/2) {
		return
	}
	own := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind == yaml.ScalarNode && key.ShortTag() != "!!merge" {
			if line, ok := own[key.Value]; ok {
				w.report(key, "yaml.duplicate-key", join(path, key.Value), "keep one of the two", "key %q is given twice, first on line %d", key.Value, line)
				continue
			}
			own[key.Value] = key.Line
		}
	}
	done := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			w.report(key, "yaml.type", path, "", "a key is %s, text is wanted", kindOf(key))
			continue
		}
		if key.ShortTag() == "!!merge" {
			w.merge(val, path, depth+1, own, done, f)
			continue
		}
		if done[key.Value] {
			continue
		}
		done[key.Value] = true
		f(key, val)
	}
}

// merge expands "<<": a mapping or a list of mappings whose keys count where the
// mapping itself has none.
func (w *yamlWalk) merge(val *yaml.Node, path string, depth int, own map[string]int, done map[string]bool, f func(key, val *yaml.Node)) {
	val = w.enter(val, path, depth)
	if val == nil || !w.spend(val, path, len(val.Content)/2) {
		return
	}
	switch val.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(val.Content); i += 2 {
			key := val.Content[i]
			if key.Kind != yaml.ScalarNode {
				w.report(key, "yaml.type", path, "", "a key is %s, text is wanted", kindOf(key))
				continue
			}
			if key.ShortTag() == "!!merge" {
				w.merge(val.Content[i+1], path, depth+1, own, done, f)
				continue
			}
			if _, ok := own[key.Value]; ok || done[key.Value] {
				continue
			}
			done[key.Value] = true
			f(key, val.Content[i+1])
		}
	case yaml.SequenceNode:
		for _, m := range val.Content {
			w.merge(m, path, depth+1, own, done, f)
		}
	default:
		w.report(val, "yaml.type", path, "", "<< has %s, a mapping is wanted", kindOf(val))
	}
}

// mapping decodes into a map with string keys.
func (w *yamlWalk) mapping(n *yaml.Node, v reflect.Value, path string, depth int) {
	if n.Kind != yaml.MappingNode {
		w.report(n, "yaml.type", path, "", "%s is %s, a mapping is wanted", subject(path), kindOf(n))
		return
	}
	if v.Type().Key().Kind() != reflect.String {
		w.report(n, "yaml.target", path, "", "%s cannot be decoded into a %s", subject(path), v.Type())
		return
	}
	m := reflect.MakeMap(v.Type())
	w.pairs(n, path, depth, func(key, val *yaml.Node) {
		k := reflect.New(v.Type().Key()).Elem()
		k.SetString(key.Value)
		e := reflect.New(v.Type().Elem()).Elem()
		w.value(val, e, join(path, key.Value), depth+1)
		m.SetMapIndex(k, e)
	})
	v.Set(m)
}

// sequence decodes into a slice.
func (w *yamlWalk) sequence(n *yaml.Node, v reflect.Value, path string, depth int) {
	if n.Kind != yaml.SequenceNode {
		w.report(n, "yaml.type", path, "", "%s is %s, a list is wanted", subject(path), kindOf(n))
		return
	}
	s := reflect.MakeSlice(v.Type(), 0, min(len(n.Content), 1024))
	for i, c := range n.Content {
		e := reflect.New(v.Type().Elem()).Elem()
		at := fmt.Sprintf("%s[%d]", path, i)
		if isNull(c) && e.Kind() != reflect.Interface && e.Kind() != reflect.Pointer {
			w.report(c, "yaml.type", at, "put the word in quotes if it is meant as text", "%s is empty", at)
		} else {
			w.value(c, e, at, depth+1)
		}
		s = reflect.Append(s, e)
		if w.full {
			break
		}
	}
	v.Set(s)
}

// keyed decodes a list of structs that may be written as a mapping.
func (w *yamlWalk) keyed(n *yaml.Node, v reflect.Value, path string, depth int, keyField string) {
	if n = w.enter(n, path, depth); n == nil || isNull(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		w.value(n, v, path, depth)
		return
	}
	fields, _ := structFields(v.Type().Elem())
	kf, ok := fields[keyField]
	if !ok {
		w.report(n, "yaml.target", path, "", "%s has no field %q", v.Type().Elem(), keyField)
		return
	}
	s := reflect.MakeSlice(v.Type(), 0, len(n.Content)/2)
	w.pairs(n, path, depth, func(key, val *yaml.Node) {
		e := reflect.New(v.Type().Elem()).Elem()
		name := fieldByIndex(e, kf.index)
		name.SetString(key.Value)
		w.value(val, e, join(path, key.Value), depth+1)
		if name.String() != key.Value {
			w.report(key, "yaml.value", join(path, key.Value), "leave the "+keyField+" out", "%s is called %q here and %q within", path, key.Value, name.String())
		}
		s = reflect.Append(s, e)
	})
	v.Set(s)
}

// plain decodes into Go's own types: map[string]any, []any, string, bool, int,
// float64 and nil.
func (w *yamlWalk) plain(n *yaml.Node, path string, depth int) (any, bool) {
	switch n.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		w.pairs(n, path, depth, func(key, val *yaml.Node) {
			at := join(path, key.Value)
			if val = w.enter(val, at, depth+1); val == nil {
				return
			}
			if x, ok := w.plain(val, at, depth+1); ok {
				m[key.Value] = x
			}
		})
		return m, true
	case yaml.SequenceNode:
		s := make([]any, 0, min(len(n.Content), 1024))
		for i, c := range n.Content {
			at := fmt.Sprintf("%s[%d]", path, i)
			if c = w.enter(c, at, depth+1); c == nil {
				return s, true
			}
			x, _ := w.plain(c, at, depth+1)
			s = append(s, x)
		}
		return s, true
	case yaml.ScalarNode:
		tag := n.ShortTag()
		switch tag {
		case "!!null":
			return nil, true
		case "!!bool":
			var b bool
			if n.Decode(&b) == nil {
				return b, true
			}
		case "!!int":
			var i int
			if n.Decode(&i) == nil {
				return i, true
			}
			if f, ok := float(n, tag); ok {
				return f, true
			}
		case "!!float":
			if f, ok := float(n, tag); ok {
				return f, true
			}
		case "!!str":
			if f, ok := float(n, tag); ok {
				return f, true
			}
		}
		return n.Value, true
	}
	return nil, false
}

// field is one key of a struct.
type field struct {
	index    []int
	schema   []string
	required bool
	key      string
}

// structFields lists the keys of a struct type, in the order of the fields.
func structFields(t reflect.Type) (map[string]field, []string) {
	fields, names := map[string]field{}, []string(nil)
	var add func(t reflect.Type, index []int)
	add = func(t reflect.Type, index []int) {
		for i := range t.NumField() {
			sf := t.Field(i)
			name, opts, _ := strings.Cut(sf.Tag.Get("yaml"), ",")
			if name == "-" || (!sf.IsExported() && !sf.Anonymous) {
				continue
			}
			at := append(slices.Clone(index), i)
			if slices.Contains(strings.Split(opts, ","), "inline") {
				if ft := indirect(sf.Type); ft.Kind() == reflect.Struct {
					add(ft, at)
				}
				continue
			}
			if !sf.IsExported() {
				continue
			}
			if name == "" {
				name = strings.ToLower(sf.Name)
			}
			f := field{index: at, required: sf.Tag.Get("required") == "true", key: sf.Tag.Get("key")}
			if s := sf.Tag.Get("schema"); s != "" {
				f.schema = strings.Split(s, ",")
			}
			if _, ok := fields[name]; !ok {
				names = append(names, name)
			}
			fields[name] = f
		}
	}
	add(t, nil)
	return fields, names
}

// fieldByIndex is reflect's FieldByIndex that makes embedded pointers.
func fieldByIndex(v reflect.Value, index []int) reflect.Value {
	for _, i := range index {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v
}

func indirect(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		v := n.Value
		if r := []rune(v); len(r) > 40 {
			v = string(r[:40]) + "…"
		}
		switch n.ShortTag() {
		case "!!null":
			return "empty"
		case "!!int", "!!float":
			return "the number " + v
		case "!!bool":
			return v
		}
		return fmt.Sprintf("the text %q", v)
	}
	return "something else"
}

func subject(path string) string {
	if path == "" {
		return "the document"
	}
	return path
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// Nearest returns the known word that is most like word, for "did you mean": the
// one with the fewest insertions, deletions, substitutions and swaps of
// neighbours, case ignored, the first of equals. It returns "" if none is near
// enough to be meant: the distance may be a third of the longer word, but one
// edit is always near enough for words of three letters or more.
func Nearest(word string, known []string) string {
	best, bestD := "", math.MaxInt
	w := []rune(strings.ToLower(word))
	if len(w) > 200 {
		return ""
	}
	for _, k := range known {
		r := []rune(strings.ToLower(k))
		if len(r) > 200 {
			continue
		}
		longer := max(len(w), len(r))
		limit := longer / 3
		if longer >= 3 {
			limit = max(limit, 1)
		}
		if d := editDistance(w, r); d <= limit && d < bestD {
			best, bestD = k, d
		}
	}
	return best
}

// editDistance is the optimal string alignment distance of Damerau (1964) in the
// restricted form: no stretch is edited twice.
func editDistance(a, b []rune) int {
	prev2, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return prev[len(b)]
}

// DecodeAt decodes the value that path names (see At) as Decode decodes the
// whole, for documents in which one value says how another is to be read. Keys of
// that mapping listed in except are left out. A path that does not exist leaves
// the target as it is.
func (d *Document) DecodeAt(path string, into any, except ...string) Diagnostics {
	n := d.root
	for _, step := range splitPath(path) {
		if n = child(n, step); n == nil {
			return nil
		}
	}
	for range maxYAMLDepth {
		if n == nil || n.Kind != yaml.AliasNode {
			break
		}
		n = n.Alias
	}
	if n == nil {
		return nil
	}
	if n.Kind == yaml.MappingNode && len(except) > 0 {
		some := *n
		some.Content = nil
		for i := 0; i+1 < len(n.Content); i += 2 {
			if !slices.Contains(except, n.Content[i].Value) {
				some.Content = append(some.Content, n.Content[i], n.Content[i+1])
			}
		}
		n = &some
	}
	at := &Document{name: d.name, root: n}
	w := at.walk()
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		w.ds.Errorf("yaml.target", "%s cannot be decoded into a %T: a non-nil pointer is needed", d.name, into)
		return w.ds
	}
	w.value(n, v.Elem(), path, 0)
	w.ds.Sort()
	return w.ds
}
