package recipe

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// YAML writes the plan: every key, in the order of Keys, the same bytes for the
// same plan. Of `heads` only what is set is written.
func (p *Plan) YAML() []byte { return p.write(false) }

// Annotated writes the plan as YAML does, with the help of each key above it.
func (p *Plan) Annotated() []byte { return p.write(true) }

// Value is one key of a plan.
type Value struct {
	Key  Key
	Path string // with the name of the head instead of NAME
	Text string // as YAML writes it
}

// Values lists all keys with their values; keys of heads only where they are set.
func (p *Plan) Values() []Value {
	var values []Value
	heads := slices.Sorted(maps.Keys(p.Heads))
	done := false
	keys := Keys()
	for _, key := range keys {
		if !strings.HasPrefix(key.Path, "heads.") {
			values = append(values, Value{key, key.Path, p.text(key, key.Path)})
			continue
		}
		if done {
			continue
		}
		done = true
		for _, name := range heads {
			for _, k := range keys {
				rest, ok := strings.CutPrefix(k.Path, "heads.NAME.")
				if !ok || reflect.ValueOf(p.Heads[name]).Field(fieldIndex(reflect.TypeFor[HeadPlan](), rest)).IsZero() {
					continue
				}
				path := "heads." + name + "." + rest
				values = append(values, Value{k, path, p.headText(k, name, rest)})
			}
		}
	}
	return values
}

// Text returns the value of one key as YAML writes it.
func (p *Plan) Text(path string) (string, bool) {
	for _, v := range p.Values() {
		if v.Path == path {
			return v.Text, true
		}
	}
	return "", false
}

func (p *Plan) headText(key Key, name, field string) string {
	v := reflect.ValueOf(p.Heads[name])
	return textOf(v.Field(fieldIndex(v.Type(), field)), key)
}

func (p *Plan) text(key Key, path string) string {
	v := reflect.ValueOf(p).Elem()
	for part := range strings.SplitSeq(path, ".") {
		v = v.Field(fieldIndex(v.Type(), part))
	}
	return textOf(v, key)
}

// textOf writes one value in YAML's flow form.
func textOf(v reflect.Value, key Key) string {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			if len(key.words) > 0 {
				return key.words[0].text
			}
			return "null"
		}
		v = v.Elem()
		key.words = nil
	}
	number := func(f float64, text string) string {
		for _, w := range key.words {
			if w.num == f {
				return w.text
			}
		}
		return text
	}
	switch v.Kind() {
	case reflect.Bool:
		if v.Bool() {
			return "on"
		}
		return "off"
	case reflect.Uint64:
		return strconv.FormatUint(v.Uint(), 10)
	case reflect.Int:
		return number(float64(v.Int()), strconv.FormatInt(v.Int(), 10))
	case reflect.Float64:
		return number(v.Float(), formatFloat(v.Float()))
	case reflect.Slice:
		items := make([]string, v.Len())
		for i := range items {
			items[i] = textOf(v.Index(i), Key{})
		}
		return "[" + strings.Join(items, ", ") + "]"
	case reflect.Map:
		var items []string
		for _, k := range slices.SortedFunc(slices.Values(v.MapKeys()), func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) }) {
			items = append(items, quote(k.String())+": "+quote(v.MapIndex(k).String()))
		}
		return "{" + strings.Join(items, ", ") + "}"
	}
	return quote(v.String())
}

var (
	bareWord = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_./-]*$`)
	reserved = regexp.MustCompile(`(?i)^(null|true|false|yes|no|on|off|y|n|nan|inf)$`)
)

// quote writes a text so that YAML reads the same text back.
func quote(s string) string {
	if s == "off" || s == "auto" || bareWord.MatchString(s) && !reserved.MatchString(s) {
		return s
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\t':
			b.WriteString(`\t`)
		case r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 || r >= 0xe000 && r < 0x10000 && !strconv.IsPrint(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func (p *Plan) write(help bool) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "schema: %s\n", Schema)
	var open []string // groups that are open
	for _, v := range p.Values() {
		parts := strings.Split(v.Path, ".")
		if name, ok := strings.CutPrefix(v.Path, "heads."); ok { // names of heads may hold dots
			i := strings.LastIndexByte(name, '.')
			parts = []string{"heads", name[:i], name[i+1:]}
		}
		groups := parts[:len(parts)-1]
		same := 0
		for same < len(open) && same < len(groups) && open[same] == groups[same] {
			same++
		}
		for i := same; i < len(groups); i++ {
			if help && i == 0 {
				b.WriteByte('\n')
			}
			fmt.Fprintf(&b, "%s%s:\n", strings.Repeat("  ", i), quote(groups[i]))
		}
		open = groups
		indent := strings.Repeat("  ", len(groups))
		if help {
			fmt.Fprintf(&b, "%s# %s\n", indent, v.Key.Help)
		}
		fmt.Fprintf(&b, "%s%s: %s\n", indent, parts[len(parts)-1], v.Text)
	}
	return []byte(b.String())
}

// Diff lists the keys in which two plans differ, in the order of plan.yaml.
func Diff(a, b *Plan) []string {
	texts := func(p *Plan) map[string]string {
		m := map[string]string{}
		for _, v := range p.Values() {
			m[v.Path] = v.Text
		}
		return m
	}
	ma, mb := texts(a), texts(b)
	rank := map[string]int{}
	for i, k := range table() {
		rank[k.Path] = i
	}
	var paths []string
	for path, text := range ma {
		if other, ok := mb[path]; !ok || other != text {
			paths = append(paths, path)
		}
	}
	for path := range mb {
		if _, ok := ma[path]; !ok {
			paths = append(paths, path)
		}
	}
	slices.SortFunc(paths, func(x, y string) int {
		return cmp.Or(cmp.Compare(rank[generic(x)], rank[generic(y)]), cmp.Compare(x, y))
	})
	return paths
}

// Adopt takes over from a recorded plan what p leaves open (`auto`), so that a
// resumed run does not choose anew.
func (p *Plan) Adopt(recorded *Plan) {
	if p.Data.MaxLength == 0 {
		p.Data.MaxLength = recorded.Data.MaxLength
	}
	if p.Train.Precision == "auto" {
		p.Train.Precision = recorded.Train.Precision
	}
	if p.Train.Device == "auto" {
		p.Train.Device = recorded.Train.Device
	}
	if p.Train.Threads == 0 {
		p.Train.Threads = recorded.Train.Threads
	}
	if p.Train.Steps == 0 && p.Train.Epochs == recorded.Train.Epochs {
		p.Train.Steps = recorded.Train.Steps
	}
	if p.Train.Metric == "auto" {
		p.Train.Metric = recorded.Train.Metric
	}
}

// Digest is the sha256, in hexadecimal, of the keys that the result of a stage
// depends on and their values.
func (p *Plan) Digest(stage Stage) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s %s\n", Schema, stage)
	for _, v := range p.Values() {
		if v.Key.Stage == stage {
			fmt.Fprintf(h, "%s: %s\n", v.Path, v.Text)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}
