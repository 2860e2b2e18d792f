package kind

import (
	"slices"
	"strings"

	"github.com/islm-dev/islm/augment/edit"
	"github.com/islm-dev/islm/sdk"
)

type (
	sdkSpan  = sdk.Span
	sdkToken = sdk.Token
)

// oneOf reports a value that is not among the known ones. Absent values are well.
func oneOf(b *edit.Build, path, value string, known ...string) bool {
	if value == "" || slices.Contains(known, value) {
		return true
	}
	remedy := "use " + strings.Join(known, ", ")
	if near := sdk.Nearest(value, known); near != "" {
		remedy = "did you mean \"" + near + "\"?"
	}
	b.Report("rules.param", path, remedy, "%q is no value of %s", value, path)
	return false
}

// share reports a part that is not above 0 and at most 1; nil stands for def.
func share(b *edit.Build, path string, p *float64, def float64) float64 {
	if p == nil {
		return def
	}
	if !(*p > 0 && *p <= 1) {
		b.Report("rules.param", path, "use a number above 0 and up to 1", "%s %v is out of range", path, *p)
		return def
	}
	return *p
}

// within reports a whole number out of range; 0 stands for def.
func within(b *edit.Build, path string, n, def, least, most int) int {
	if n == 0 {
		return def
	}
	if n < least || n > most {
		b.Report("rules.param", path, "", "%s %d is out of range: %d to %d", path, n, least, most)
		return def
	}
	return n
}

// isTrue reads a switch that is on unless told otherwise.
func isTrue(p *bool) bool { return p == nil || *p }

// matchesOnly reports a match of another sort than the kind works on.
func matchesOnly(b *edit.Build, name string, kinds ...string) bool {
	for _, k := range b.Match.Kinds {
		if !slices.Contains(kinds, k) {
			b.Report("rules.match", "kind", "match by "+strings.Join(kinds, ", "), "%s does not work on a match by %s", name, k)
			return false
		}
	}
	return true
}

// exclusive reports that not exactly one of some keys is given.
func exclusive(b *edit.Build, keys []string, given ...bool) bool {
	n := 0
	for _, g := range given {
		if g {
			n++
		}
	}
	switch {
	case n == 1:
		return true
	case n == 0:
		b.Report("rules.param", "", "give one of "+strings.Join(keys, ", "), "the rule does not say where its new words come from")
	default:
		b.Report("rules.param", "", "give one of "+strings.Join(keys, ", "), "%s exclude each other", strings.Join(keys, ", "))
	}
	return false
}

// rowOf returns the row and column of list that a match stands for: that of the
// match itself, or where the surface is found in the index. form is the entry as
// the list has it.
func rowOf(c *edit.Context, list *edit.List, index map[string]place, surface string) (row, column int, form string) {
	if c.Match.List == list && list != nil {
		row = c.Match.Row
		for i, f := range list.Rows[row] {
			if f == surface {
				return row, i, f
			}
		}
		for i, f := range list.Rows[row] {
			if strings.EqualFold(f, surface) {
				return row, i, f
			}
		}
		return row, 0, list.Rows[row][0]
	}
	p, ok := index[surface]
	if !ok && list.Fold {
		p, ok = index[strings.ToLower(surface)]
	}
	if !ok {
		return -1, -1, ""
	}
	return int(p.row), int(p.column), list.Rows[p.row][p.column]
}

// place is where a form stands in a list.
type place struct{ row, column int32 }

// indexOf finds forms of a list; of equal ones the first counts.
func indexOf(list *edit.List) map[string]place {
	index := map[string]place{}
	put := func(f string, p place) {
		if _, ok := index[f]; !ok {
			index[f] = p
		}
	}
	for i, row := range list.Rows {
		for j, f := range row {
			put(f, place{int32(i), int32(j)})
		}
	}
	if list.Fold {
		for i, row := range list.Rows {
			for j, f := range row {
				put(strings.ToLower(f), place{int32(i), int32(j)})
			}
		}
	}
	return index
}

// theList finds the list of a rule: the named one, or that of the match.
func theList(b *edit.Build, path, name string) *edit.List {
	if name != "" {
		return b.List(path, name)
	}
	if len(b.Match.Lists) > 0 {
		return b.Lists[b.Match.Lists[0]]
	}
	return nil
}
