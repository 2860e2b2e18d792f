package report

import (
	"fmt"
	"html"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// TrialRow is one trial of a search, for its picture.
type TrialRow struct {
	ID     int
	Values map[string]string
	Score  float64
	Rung   int
	Failed string // why there is no score
}

// Trials is a self-contained HTML page of a search: the best score so far, the
// score against each key, and all trials. best is the ID of the best trial, noise
// a sentence about seeds, "" when it is not known.
func Trials(title string, rows []TrialRow, best int, noise string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, `<!doctype html><html><head><meta charset="utf-8"><title>%s</title><style>body{font:14px sans-serif;margin:2em;max-width:70em}table{border-collapse:collapse}td,th{padding:.2em .7em;border-bottom:1px solid #ddd;text-align:right}svg{margin:.5em 1em .5em 0}.best{background:#e8f3e8}</style></head><body><h1>%[1]s</h1>`, html.EscapeString(title))
	fmt.Fprintf(&b, "<p>%s</p>", html.EscapeString(noise))
	var ok []TrialRow
	keys := map[string]bool{}
	for _, r := range rows {
		if r.Failed == "" {
			ok = append(ok, r)
		}
		for k := range r.Values {
			keys[k] = true
		}
	}
	if len(ok) > 0 {
		var xs, top []float64
		for i, r := range ok {
			xs = append(xs, float64(r.ID))
			top = append(top, r.Score)
			if i > 0 {
				top[i] = max(top[i], top[i-1])
			}
		}
		b.WriteString(scatter("trial", nil, xs, ok, best, top))
		for _, k := range slices.Sorted(maps.Keys(keys)) {
			x, names := axis(ok, k)
			b.WriteString(scatter(k, names, x, ok, best, nil))
		}
	}
	b.WriteString("<table><tr><th>trial</th>")
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		fmt.Fprintf(&b, "<th>%s</th>", html.EscapeString(k))
	}
	b.WriteString("<th>rung</th><th>score</th></tr>")
	for _, r := range rows {
		class := ""
		if r.ID == best {
			class = ` class="best"`
		}
		fmt.Fprintf(&b, "<tr%s><td>%d</td>", class, r.ID)
		for _, k := range slices.Sorted(maps.Keys(keys)) {
			fmt.Fprintf(&b, "<td>%s</td>", html.EscapeString(r.Values[k]))
		}
		score := fmt.Sprintf("%.4f", r.Score)
		if r.Failed != "" {
			score = r.Failed
		}
		fmt.Fprintf(&b, "<td>%d</td><td>%s</td></tr>", r.Rung, html.EscapeString(score))
	}
	b.WriteString("</table></body></html>\n")
	return []byte(b.String())
}

// axis gives the places of a key's values: numbers, in the logarithm where they
// span more than a factor of 50, else words side by side.
func axis(rows []TrialRow, key string) (x []float64, names []string) {
	numeric, low, high := true, 0.0, 0.0
	for i, r := range rows {
		v, err := strconv.ParseFloat(r.Values[key], 64)
		numeric = numeric && err == nil
		if x = append(x, v); i == 0 {
			low, high = v, v
		}
		low, high = min(low, v), max(high, v)
		if !slices.Contains(names, r.Values[key]) {
			names = append(names, r.Values[key])
		}
	}
	if numeric {
		if low > 0 && high > 50*low {
			for i := range x {
				x[i] = math.Log10(x[i])
			}
		}
		return x, nil
	}
	slices.Sort(names)
	for i, r := range rows {
		x[i] = float64(slices.Index(names, r.Values[key]))
	}
	return x, names
}

// scatter draws scores against x; line joins the best so far.
func scatter(title string, names []string, x []float64, rows []TrialRow, best int, line []float64) string {
	const w, h, left, pad = 340.0, 200.0, 50.0, 24.0
	lowX, highX, lowY, highY := slices.Min(x), slices.Max(x), rows[0].Score, rows[0].Score
	for _, r := range rows {
		lowY, highY = min(lowY, r.Score), max(highY, r.Score)
	}
	if highX == lowX {
		lowX, highX = lowX-1, highX+1
	}
	if highY == lowY {
		lowY, highY = lowY-0.01, highY+0.01
	}
	at := func(i int, y float64) (float64, float64) {
		return left + (x[i]-lowX)/(highX-lowX)*(w-left-pad), h - pad - (y-lowY)/(highY-lowY)*(h-2*pad)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg width="%g" height="%g" role="img"><title>score against %s</title><rect x="%g" y="%g" width="%g" height="%g" fill="none" stroke="#ccc"/>`, w, h, html.EscapeString(title), left-6, pad-6, w-left-pad+12, h-2*pad+12)
	fmt.Fprintf(&b, `<text x="%g" y="14" font-size="12">%s</text><text x="2" y="%g" font-size="11">%.3f</text><text x="2" y="%g" font-size="11">%.3f</text>`, left, html.EscapeString(title), pad+4, highY, h-pad, lowY)
	ends := []string{number(lowX), number(highX)}
	if names != nil {
		ends = []string{names[0], names[len(names)-1]}
	}
	fmt.Fprintf(&b, `<text x="%g" y="%g" font-size="11">%s</text><text x="%g" y="%g" font-size="11" text-anchor="end">%s</text>`, left, h-4, html.EscapeString(ends[0]), w-pad, h-4, html.EscapeString(ends[1]))
	for i, r := range rows {
		cx, cy := at(i, r.Score)
		colour := "#4878a8"
		if r.ID == best {
			colour = "#c03020"
		}
		fmt.Fprintf(&b, `<circle cx="%s" cy="%s" r="3.5" fill="%s"><title>trial %d: %.4f</title></circle>`, number(tenth(cx)), number(tenth(cy)), colour, r.ID, r.Score)
	}
	if line != nil {
		b.WriteString(`<polyline fill="none" stroke="#888" points="`)
		for i := range line {
			cx, cy := at(i, line[i])
			fmt.Fprintf(&b, "%s,%s ", number(tenth(cx)), number(tenth(cy)))
		}
		b.WriteString(`"/>`)
	}
	b.WriteString("</svg>")
	return b.String()
}
