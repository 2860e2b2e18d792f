package tune

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/islm-dev/islm/sdk"
)

// Dimension is one key of the recipe and the values that it may take: Choices,
// or numbers from Low to High.
type Dimension struct {
	Key       string
	Choices   []string // as --set says them, lists and maps in one line; nil = a range
	Low, High float64
	Log       bool // uniform in the logarithm
	Whole     bool // whole numbers
}

// Space is what is searched.
type Space []Dimension

// ParseSpace reads YAML such as
//
//	train.lr: {log: [1e-6, 1e-3]}
//	train.dropout: {uniform: [0, 0.3]}
//	train.epochs: {int: [2, 6]}
//	train.batch_size: [8, 16, 32]
//	augment.packs: [[], [aeda]]
func ParseSpace(name string, data []byte) (Space, sdk.Diagnostics) {
	doc, ds := sdk.ParseYAML(name, data)
	if doc == nil {
		return nil, ds
	}
	tree, more := doc.Tree()
	ds.Add(more...)
	if ds.HasErrors() {
		return nil, ds
	}
	space, more := SpaceOf(name, tree)
	return space, append(ds, more...)
}

// SpaceOf reads the `tune` map of a recipe file.
func SpaceOf(name string, tree *sdk.Tree) (space Space, ds sdk.Diagnostics) {
	bad := func(at *sdk.Tree, path, format string, args ...any) {
		ds.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "tune.space", File: name, Line: at.Line, Column: at.Column, Path: path, Summary: path + ": " + fmt.Sprintf(format, args...),
			Remedy: "write a list of values (which may be lists themselves), {log: [LOW, HIGH]}, {uniform: [LOW, HIGH]} or {int: [LOW, HIGH]}"})
	}
	if tree.Kind != "map" {
		bad(tree, "tune", "a search space is a map from keys of the recipe to their values")
		return nil, ds
	}
	for _, pair := range tree.Pairs {
		d := Dimension{Key: pair.Key}
		switch v := pair.Value; {
		case v.Kind == "list" && len(v.Items) > 0:
			for _, item := range v.Items {
				d.Choices = append(d.Choices, choice(item))
			}
		case v.Kind == "map" && len(v.Pairs) == 1 && v.Pairs[0].Value.Kind == "list" && len(v.Pairs[0].Value.Items) == 2:
			form := v.Pairs[0].Key
			low, err := strconv.ParseFloat(v.Pairs[0].Value.Items[0].Text, 64)
			high, err2 := strconv.ParseFloat(v.Pairs[0].Value.Items[1].Text, 64)
			d.Low, d.High, d.Log, d.Whole = low, high, form == "log", form == "int"
			switch {
			case !slices.Contains([]string{"log", "uniform", "int"}, form):
				bad(v, pair.Key, "unknown form %q", form)
			case err != nil || err2 != nil || !(low < high) || math.IsInf(high-low, 0):
				bad(v, pair.Key, "a range wants two numbers, the lower one first")
			case d.Log && low <= 0:
				bad(v, pair.Key, "a logarithmic range begins above 0")
			case d.Whole && (low != math.Trunc(low) || high != math.Trunc(high)):
				bad(v, pair.Key, "int wants whole numbers")
			}
		default:
			bad(v, pair.Key, "neither a list nor a range")
		}
		space = append(space, d)
	}
	slices.SortFunc(space, func(a, b Dimension) int { return strings.Compare(a.Key, b.Key) })
	return space, ds
}

// choice is a value as --set takes it: a list or a map in one line, all else as it is
// written.
func choice(v *sdk.Tree) string {
	switch v.Kind {
	case "list":
		var items []string
		for _, item := range v.Items {
			items = append(items, inner(item))
		}
		return "[" + strings.Join(items, ", ") + "]"
	case "map":
		var pairs []string
		for _, p := range v.Pairs {
			pairs = append(pairs, inner(&sdk.Tree{Kind: "text", Text: p.Key})+": "+inner(p.Value))
		}
		return "{" + strings.Join(pairs, ", ") + "}"
	}
	return v.Text
}

// plainWord is text that needs no quotes within a list, but for the words that are none.
var plainWord = regexp.MustCompile(`^[\pL_][\pL\pN_./-]*( [\pL\pN_./-]+)*$`)

// inner is a value within a list or a map.
func inner(v *sdk.Tree) string {
	word := plainWord.MatchString(v.Text) && !slices.Contains([]string{"true", "false", "null", "yes", "no", "on", "off", "y", "n"}, strings.ToLower(v.Text))
	if v.Kind == "text" && !word {
		return strconv.Quote(v.Text)
	}
	return choice(v)
}

// at is the value at position u in [0, 1) of the dimension.
func (d *Dimension) at(u float64) string {
	switch {
	case d.Choices != nil:
		return d.Choices[min(int(u*float64(len(d.Choices))), len(d.Choices)-1)]
	case d.Whole:
		return strconv.Itoa(int(d.Low) + min(int(u*(d.High-d.Low+1)), int(d.High-d.Low)))
	case d.Log:
		return format(math.Exp(math.Log(d.Low) + u*(math.Log(d.High)-math.Log(d.Low))))
	}
	return format(d.Low + u*(d.High-d.Low))
}

// position is where a value lies, the inverse of at; of a choice its middle.
func (d *Dimension) position(value string) float64 {
	if d.Choices != nil {
		return (float64(max(slices.Index(d.Choices, value), 0)) + 0.5) / float64(len(d.Choices))
	}
	x, err := strconv.ParseFloat(value, 64)
	switch {
	case err != nil:
		return 0.5
	case d.Whole:
		return (x - d.Low + 0.5) / (d.High - d.Low + 1)
	case d.Log:
		return (math.Log(x) - math.Log(d.Low)) / (math.Log(d.High) - math.Log(d.Low))
	}
	return (x - d.Low) / (d.High - d.Low)
}

// format keeps four digits: enough for a setting, and it can be read.
func format(v float64) string { return strconv.FormatFloat(v, 'g', 4, 64) }

// Grid lists all combinations, a range by so many points.
func (s Space) Grid(points int) []map[string]string {
	all := []map[string]string{{}}
	for i := range s {
		d := &s[i]
		var values []string
		if d.Choices != nil {
			values = d.Choices
		} else {
			n := points
			if d.Whole {
				n = min(n, int(d.High-d.Low)+1)
			}
			for k := range n {
				if v := d.at(min((float64(k)+0.5*btof(d.Whole))/float64(max(n-1+int(btof(d.Whole)), 1)), 1)); !slices.Contains(values, v) {
					values = append(values, v)
				}
			}
		}
		var next []map[string]string
		for _, one := range all {
			for _, v := range values {
				m := map[string]string{d.Key: v}
				for k, w := range one {
					m[k] = w
				}
				next = append(next, m)
			}
		}
		all = next
	}
	return all
}

func btof(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
