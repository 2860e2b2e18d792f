package augment

import (
	"math"
	"slices"
	"strconv"

	"github.com/islm-dev/islm/sdk"
)

// numberText writes a number as label files do.
func numberText(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }

// target is the new value of an old one; ok is false if the rule names none.
func target(old string, to map[string]string) (string, bool) {
	if v, ok := to[old]; ok {
		return v, true
	}
	v, ok := to["*"]
	return v, ok
}

// changed is a label after the change that a rule states; ok is false where the
// rule does not say what becomes of it.
func changed(l sdk.Label, to map[string]string) (sdk.Label, bool) {
	out := l
	if l.Values != nil {
		out.Values = make([]string, 0, len(l.Values))
		for _, v := range l.Values {
			w, ok := target(v, to)
			if !ok {
				return l, false
			}
			if !slices.Contains(out.Values, w) {
				out.Values = append(out.Values, w)
			}
		}
	}
	if l.Number != nil {
		w, ok := target(numberText(*l.Number), to)
		if !ok {
			return l, false
		}
		f, err := strconv.ParseFloat(w, 64)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return l, false
		}
		out.Number = &f
	}
	// Spans and tags change with the text they stand on, not by value.
	return out, l.Spans == nil && l.Tags == nil
}
