package recipe

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/islm-dev/islm/sdk"
)

// fieldType returns the Go type of the plan's field with this path, nil if
// there is none.
func fieldType(path string) reflect.Type {
	t := reflect.TypeFor[Plan]()
	for part := range strings.SplitSeq(path, ".") {
		switch t.Kind() {
		case reflect.Map:
			t = t.Elem()
		case reflect.Struct:
			i := fieldIndex(t, part)
			if i < 0 {
				return nil
			}
			t = t.Field(i).Type
		default:
			return nil
		}
	}
	return t
}

func fieldIndex(t reflect.Type, name string) int {
	for i := range t.NumField() {
		if t.Field(i).Tag.Get("yaml") == name {
			return i
		}
	}
	return -1
}

func typeName(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Bool:
		return "on or off"
	case reflect.Int, reflect.Uint64:
		return "whole number"
	case reflect.Float64:
		return "number"
	case reflect.Map:
		return "map"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Float64 {
			return "list of numbers"
		}
		return "list"
	}
	return "text"
}

// with calls f with the settable field of the plan that path names.
func (p *Plan) with(path string, f func(v reflect.Value)) {
	v := reflect.ValueOf(p).Elem()
	parts := strings.Split(path, ".")
	for i, part := range parts {
		if v.Kind() == reflect.Map { // heads.NAME.x: entries of maps cannot be set in place
			entry := reflect.New(v.Type().Elem()).Elem()
			if old := v.MapIndex(reflect.ValueOf(part)); old.IsValid() {
				entry.Set(old)
			}
			if field := fieldIndex(entry.Type(), parts[i+1]); field >= 0 {
				f(entry.Field(field))
			}
			if v.IsNil() {
				v.Set(reflect.MakeMap(v.Type()))
			}
			v.SetMapIndex(reflect.ValueOf(part), entry)
			return
		}
		field := fieldIndex(v.Type(), part)
		if field < 0 {
			return
		}
		v = v.Field(field)
	}
	f(v)
}

// problem is why a value cannot be taken; the place is added by the caller.
type problem struct {
	code, summary, detail, remedy string
	index                         int // element of a list, -1 for the value itself
}

func wrong(code, format string, args ...any) *problem {
	return &problem{code: code, summary: fmt.Sprintf(format, args...), index: -1}
}

// assign sets the field of key from a value. The value's text is taken as it
// is written, so that 007 and yes can be names.
func (p *Plan) assign(path string, key Key, value *sdk.Tree) *problem {
	var bad *problem
	p.with(path, func(v reflect.Value) { bad = assignTo(v, path, key, value) })
	return bad
}

func assignTo(v reflect.Value, path string, key Key, value *sdk.Tree) *problem {
	if value.Kind == "null" {
		return &problem{code: "recipe.type", summary: path + " has no value", remedy: "leave the line out for the default", index: -1}
	}
	switch v.Kind() {
	case reflect.Slice:
		return assignList(v, path, key, value)
	case reflect.Map:
		return assignMap(v, path, value)
	}
	if value.Kind == "map" && path == "augment.mode" && len(value.Pairs) == 1 { // `mode: {add: 2}`
		pair := value.Pairs[0]
		value = &sdk.Tree{Kind: "text", Text: pair.Key + ": " + pair.Value.Text}
	}
	if value.Kind == "list" || value.Kind == "map" {
		return wrong("recipe.type", "%s wants %s, this is a %s", path, wanted(key), value.Kind)
	}
	text := strings.TrimSpace(value.Text)
	pointer := v.Kind() == reflect.Pointer
	target := v
	if pointer {
		target = reflect.New(v.Type().Elem()).Elem()
	}
	for _, w := range key.words {
		if !strings.EqualFold(text, w.text) && !(w.text == "off" && isOff(text)) {
			continue
		}
		if pointer {
			v.SetZero()
			return nil
		}
		switch target.Kind() {
		case reflect.Float64:
			target.SetFloat(w.num)
		default:
			target.SetInt(int64(w.num))
		}
		return nil
	}
	switch target.Kind() {
	case reflect.String:
		if bad := checkText(path, key, &text); bad != nil {
			return bad
		}
		target.SetString(text)
	case reflect.Bool:
		switch {
		case isOn(text):
			target.SetBool(true)
		case isOff(text):
			target.SetBool(false)
		default:
			return wrong("recipe.type", "%s wants on or off, this is %s", path, show(value))
		}
	case reflect.Uint64:
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return wrong("recipe.type", "%s wants a whole number, zero or more, this is %s", path, show(value))
		}
		target.SetUint(n)
	case reflect.Int:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || f != math.Trunc(f) || value.Kind == "text" {
			return wrong("recipe.type", "%s wants %s, this is %s", path, wanted(key), show(value))
		}
		if bad := checkRange(path, key, f); bad != nil {
			return bad
		}
		target.SetInt(int64(f))
	case reflect.Float64:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || value.Kind == "text" {
			return wrong("recipe.type", "%s wants %s, this is %s", path, wanted(key), show(value))
		}
		if bad := checkRange(path, key, f); bad != nil {
			return bad
		}
		target.SetFloat(f)
	}
	if pointer {
		q := reflect.New(v.Type().Elem())
		q.Elem().Set(target)
		v.Set(q)
	}
	return nil
}

func isOn(text string) bool {
	switch strings.ToLower(text) {
	case "on", "true", "yes":
		return true
	}
	return false
}

func isOff(text string) bool {
	switch strings.ToLower(text) {
	case "off", "false", "no":
		return true
	}
	return false
}

// assignList takes a list, or a text with commas.
func assignList(v reflect.Value, path string, key Key, value *sdk.Tree) *problem {
	items := value.Items
	switch {
	case value.Kind == "map":
		return wrong("recipe.type", "%s wants a list, this is a map", path)
	case value.Kind != "list":
		for part := range strings.SplitSeq(value.Text, ",") {
			if part = strings.TrimSpace(part); part != "" {
				items = append(items, &sdk.Tree{Kind: "raw", Text: part})
			}
		}
	}
	list := reflect.MakeSlice(v.Type(), 0, len(items))
	for i, item := range items {
		text := strings.TrimSpace(item.Text)
		e := reflect.New(v.Type().Elem()).Elem()
		var bad *problem
		switch {
		case item.Kind == "list" || item.Kind == "map" || item.Kind == "null":
			bad = wrong("recipe.type", "%s[%d] wants one value, this is %s", path, i, show(item))
		case e.Kind() == reflect.Float64:
			f, err := strconv.ParseFloat(text, 64)
			if err != nil || item.Kind == "text" {
				bad = wrong("recipe.type", "%s[%d] wants a number, this is %s", path, i, show(item))
				break
			}
			bad = checkRange(fmt.Sprintf("%s[%d]", path, i), key, f)
			e.SetFloat(f)
		default:
			bad = checkText(fmt.Sprintf("%s[%d]", path, i), key, &text)
			if bad == nil && text == "" {
				bad = wrong("recipe.value", "%s[%d] is empty", path, i)
			}
			if bad == nil && path == "train.freeze" {
				if _, err := parseFreeze(text); err != nil {
					bad = wrong("recipe.value", "train.freeze: %v", err)
				}
			}
			if bad == nil && slices.Contains(uniqueLists(), generic(path)) && slices.ContainsFunc(items[:i], func(t *sdk.Tree) bool { return strings.TrimSpace(t.Text) == text }) {
				bad = wrong("recipe.duplicate", "%s names %q twice", path, text)
			}
			e.SetString(text)
		}
		if bad != nil {
			bad.index = i
			return bad
		}
		list = reflect.Append(list, e)
	}
	if path == "knowledge.inject" {
		for i := range list.Len() {
			if list.Index(i).String() != "off" {
				continue
			}
			if list.Len() > 1 {
				return &problem{code: "recipe.conflict", summary: "knowledge.inject is off and names ways as well", remedy: "off, or a list of ways", index: i}
			}
			list = list.Slice(0, 0)
			break
		}
	}
	v.Set(list)
	return nil
}

// uniqueLists are the keys whose lists name each thing once.
func uniqueLists() []string {
	return []string{"domain.name", "data.labels", "heads.NAME.labels", "augment.packs", "augment.without", "knowledge.inject", "knowledge.features"}
}

// assignMap adds the entries of a map from text to text, written as a map or as
// k=v,k=v.
func assignMap(v reflect.Value, path string, value *sdk.Tree) *problem {
	pairs := value.Pairs
	switch {
	case value.Kind == "list":
		return wrong("recipe.type", "%s wants a map, this is a list", path)
	case value.Kind != "map":
		for part := range strings.SplitSeq(value.Text, ",") {
			if strings.TrimSpace(part) == "" {
				continue
			}
			k, text, ok := strings.Cut(part, "=")
			if !ok {
				return wrong("recipe.type", "%s wants a map such as {a: b} or a=b,c=d, this is %s", path, show(value))
			}
			pairs = append(pairs, sdk.TreePair{Key: strings.TrimSpace(k), Value: &sdk.Tree{Kind: "raw", Text: strings.TrimSpace(text)}})
		}
	}
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	for _, pair := range pairs {
		text := pair.Value.Text
		if k := pair.Value.Kind; k == "list" || k == "map" {
			return wrong("recipe.type", "%s.%s wants a text, this is a %s", path, pair.Key, k)
		}
		if pair.Key == "" || !plainText(pair.Key) || !plainText(text) {
			return wrong("recipe.value", "%s.%s: keys and values are text without control characters", path, pair.Key)
		}
		v.SetMapIndex(reflect.ValueOf(pair.Key), reflect.ValueOf(text))
	}
	return nil
}

// checkText holds a text against the key's values or pattern; an empty text is
// allowed where it is the default.
func checkText(path string, key Key, text *string) *problem {
	if !plainText(*text) {
		return wrong("recipe.value", "%s: the text is not UTF-8 or holds a control character", path)
	}
	if *text == "" && key.Default == "" {
		return nil
	}
	if isOff(*text) && slices.Contains(key.Values, "off") {
		*text = "off"
	}
	if len(key.Values) > 0 && !slices.Contains(key.Values, *text) {
		bad := wrong("recipe.value", "%s cannot be %q", path, *text)
		bad.remedy = "one of: " + strings.Join(key.Values, ", ")
		if near := sdk.Nearest(*text, key.Values); near != "" {
			bad.remedy = fmt.Sprintf("did you mean %q? (%s)", near, bad.remedy)
		}
		return bad
	}
	if key.pattern != nil {
		if isOff(*text) {
			*text = "off"
		}
		if key.Path == "augment.mode" {
			*text = modeSpace.ReplaceAllString(*text, "add: $1")
		}
		if !key.pattern.MatchString(*text) {
			bad := wrong("recipe.value", "%s cannot be %q", path, *text)
			bad.remedy = "wanted: " + key.wants
			return bad
		}
	}
	return nil
}

// plainText reports whether text is UTF-8 that a YAML line can hold.
func plainText(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool {
		return r < ' ' && r != '\t' || r == 0x7f || r == 0xfeff || r == 0xfffe || r == 0xffff
	})
}

func checkRange(path string, key Key, f float64) *problem {
	if f >= key.min && f <= key.max && !(key.open && f == key.min) {
		return nil
	}
	bad := wrong("recipe.range", "%s is %s, outside of what is allowed", path, formatFloat(f))
	from := "from " + formatFloat(key.min)
	if key.open {
		from = "above " + formatFloat(key.min)
	}
	bad.remedy = fmt.Sprintf("wanted: %s to %s", from, formatFloat(key.max))
	if len(key.words) > 0 {
		bad.remedy += " or " + wordList(key)
	}
	return bad
}

func wordList(key Key) string {
	words := make([]string, len(key.words))
	for i, w := range key.words {
		words[i] = w.text
	}
	return strings.Join(words, " or ")
}

// wanted says in words what a key wants.
func wanted(key Key) string {
	t := typeName(fieldType(key.Path))
	switch t {
	case "list", "list of numbers", "map", "number", "whole number", "text":
		t = "a " + t
	}
	if len(key.words) > 0 {
		t += " or " + wordList(key)
	}
	return t
}

// show quotes a value for a message.
func show(value *sdk.Tree) string {
	switch value.Kind {
	case "list", "map":
		return "a " + value.Kind
	case "null":
		return "empty"
	case "text":
		return fmt.Sprintf("the text %q", clip(value.Text))
	}
	return fmt.Sprintf("%q", clip(value.Text))
}

func clip(text string) string {
	if r := []rune(text); len(r) > 60 {
		return string(r[:60]) + "…"
	}
	return text
}

func formatFloat(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
