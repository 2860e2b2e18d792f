package kg

import (
	"cmp"
	"fmt"
	"html/template"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"unicode/utf8"
)

// Size of a picture, in pixels.
const (
	pictureWidth  = 1100.0
	pictureHeight = 800.0
	pictureMargin = 70.0
	labelRunes    = 28
)

// pictureColors are fills for types, told apart by people with any color vision
// (Okabe and Ito 2008, "Color universal design"), lightened.
var pictureColors = []string{"#9ecae9", "#ffbf79", "#88d27a", "#f2cf5b", "#d6a5c9", "#83bcb6", "#ff9d98", "#bab0ac"}

// point is a place in a picture.
type point struct{ X, Y float64 }

// layout places n nodes so that those joined by edges lie near each other and the
// others do not, by a simulated spring system that cools down (Fruchterman and
// Reingold 1991, "Graph drawing by force-directed placement"). The center stays in
// the middle, and equal input gives equal places.
func layout(n, center int, edges [][2]int) []point {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	at, force := make([]point, n), make([]point, n)
	for i := range at {
		// A spiral, somewhat shaken, so that no two nodes begin in one place.
		angle, radius := 2.4*float64(i), 0.5*math.Sqrt(float64(i)/float64(max(n, 1)))
		at[i] = point{radius*math.Cos(angle) + 1e-3*rng.Float64(), radius*math.Sin(angle) + 1e-3*rng.Float64()}
	}
	ideal := 1 / math.Sqrt(float64(max(n, 1)))
	const rounds = 300
	for round := range rounds {
		clear(force)
		for i := range at {
			for j := range i {
				dx, dy := at[i].X-at[j].X, at[i].Y-at[j].Y
				square := max(dx*dx+dy*dy, 1e-9)
				push := ideal * ideal / square
				force[i].X += dx * push
				force[i].Y += dy * push
				force[j].X -= dx * push
				force[j].Y -= dy * push
			}
		}
		for _, e := range edges {
			dx, dy := at[e[0]].X-at[e[1]].X, at[e[0]].Y-at[e[1]].Y
			pull := math.Hypot(dx, dy) / ideal
			force[e[0]].X -= dx * pull
			force[e[0]].Y -= dy * pull
			force[e[1]].X += dx * pull
			force[e[1]].Y += dy * pull
		}
		heat := 0.1 * (1 - float64(round)/rounds)
		for i := range at {
			if size := math.Hypot(force[i].X, force[i].Y); size > 0 {
				step := min(size, heat) / size
				at[i].X += force[i].X * step
				at[i].Y += force[i].Y * step
			}
		}
		middle := at[center]
		for i := range at {
			at[i].X -= middle.X
			at[i].Y -= middle.Y
		}
	}
	return at
}

// fit brings places into the picture.
func fit(at []point) {
	low, high := at[0], at[0]
	for _, p := range at {
		low = point{min(low.X, p.X), min(low.Y, p.Y)}
		high = point{max(high.X, p.X), max(high.Y, p.Y)}
	}
	scale := func(v, low, high, size float64) float64 {
		if high-low < 1e-9 {
			return size / 2
		}
		return pictureMargin + (v-low)/(high-low)*(size-2*pictureMargin)
	}
	for i, p := range at {
		at[i] = point{scale(p.X, low.X, high.X, pictureWidth), scale(p.Y, low.Y, high.Y, pictureHeight)}
	}
}

// What the template shows.
type (
	pictureNode struct {
		point
		Label, Title, Color string
		Radius              float64
		Center              bool
	}
	pictureEdge struct {
		From, To, Label point // Label is where it stands
		Relation, Title string
	}
	pictureType struct{ Name, Color string }
	pictureRow  struct{ Subject, Relation, Object, Source string }
	pictureData struct {
		Title         string
		Width, Height float64
		Nodes         []pictureNode
		Edges         []pictureEdge
		Types         []pictureType
		Rows          []pictureRow
		Left          int
	}
)

// WriteHTML writes a picture of a neighbourhood with the list of its facts, as one
// HTML file that needs nothing else: no script, no font, no network. All text of
// the graph is escaped.
func (n *Neighborhood) WriteHTML(w io.Writer) error {
	index := make(map[string]int, len(n.Entities))
	for i, e := range n.Entities {
		index[e.ID] = i
	}
	// Facts between the same two entities in one direction share an arrow.
	var pairs [][2]int
	relations := map[[2]int][]string{}
	for _, f := range n.Facts {
		p := [2]int{index[f.Subject], index[f.Object]}
		if relations[p] == nil {
			pairs = append(pairs, p)
		}
		relations[p] = append(relations[p], f.Relation)
	}
	at := layout(len(n.Entities), n.Center, pairs)
	fit(at)
	data := pictureData{Title: label(n.Entities[n.Center]), Width: pictureWidth, Height: pictureHeight, Left: n.Left}
	colors := map[string]string{}
	for i, e := range n.Entities {
		if _, ok := colors[e.Type]; !ok {
			colors[e.Type] = pictureColors[len(colors)%len(pictureColors)]
			data.Types = append(data.Types, pictureType{cmp.Or(e.Type, "no type"), colors[e.Type]})
		}
		node := pictureNode{point: at[i], Label: shorten(label(e)), Color: colors[e.Type], Radius: 9, Center: i == n.Center,
			Title: strings.Join(slices.DeleteFunc([]string{label(e), e.ID, e.Type}, func(s string) bool { return s == "" }), "\n")}
		if node.Center {
			node.Radius = 13
		}
		data.Nodes = append(data.Nodes, node)
	}
	for _, p := range pairs {
		names := relations[p]
		data.Edges = append(data.Edges, arrow(at[p[0]], at[p[1]], shorten(strings.Join(names, ", ")), strings.Join(names, "\n")))
	}
	for _, f := range n.Facts {
		data.Rows = append(data.Rows, pictureRow{label(n.Entities[index[f.Subject]]), f.Relation, label(n.Entities[index[f.Object]]), f.Source})
	}
	t, err := template.New("picture").Parse(pictureHTML)
	if err == nil {
		err = t.Execute(w, data)
	}
	if err != nil {
		return fmt.Errorf("write the picture: %w", err)
	}
	return nil
}

// arrow leads from the rim of one node to that of another.
func arrow(from, to point, relation, title string) pictureEdge {
	e := pictureEdge{Relation: relation, Title: title, Label: point{(from.X + to.X) / 2, (from.Y+to.Y)/2 - 3}}
	dx, dy := to.X-from.X, to.Y-from.Y
	if d := math.Hypot(dx, dy); d > 30 {
		from = point{from.X + dx/d*13, from.Y + dy/d*13}
		to = point{to.X - dx/d*16, to.Y - dy/d*16}
	}
	e.From, e.To = from, to
	return e
}

func shorten(s string) string {
	if utf8.RuneCountInString(s) <= labelRunes {
		return s
	}
	return string([]rune(s)[:labelRunes-1]) + "…"
}

const pictureHTML = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{{.Title}}</title>
<style>
body { font: 14px/1.4 sans-serif; margin: 1.5em; color: #222; background: #fff }
svg { max-width: 100%; height: auto; border: 1px solid #ddd }
svg text { font: 12px sans-serif; text-anchor: middle; paint-order: stroke; stroke: #fff; stroke-width: 3px }
svg text.relation { font-size: 10px; fill: #666 }
svg text.center { font-weight: bold }
table { border-collapse: collapse; margin-top: 1em }
td, th { padding: .2em .7em; border-bottom: 1px solid #ddd; text-align: left }
.type { display: inline-block; margin-right: 1em }
.type i { display: inline-block; width: 1em; height: 1em; border-radius: .5em; vertical-align: -2px; margin-right: .3em; border: 1px solid #666 }
</style>
</head>
<body>
<h1>{{.Title}}</h1>
<p>{{range .Types}}<span class="type"><i style="background: {{.Color}}"></i>{{.Name}}</span>{{end}}</p>
<svg viewBox="0 0 {{.Width}} {{.Height}}" width="{{.Width}}" height="{{.Height}}" role="img" aria-label="{{.Title}} and its neighbors">
<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0L10 5L0 10z" fill="#888"/></marker></defs>
{{range .Edges}}<g><title>{{.Title}}</title><line x1="{{printf "%.1f" .From.X}}" y1="{{printf "%.1f" .From.Y}}" x2="{{printf "%.1f" .To.X}}" y2="{{printf "%.1f" .To.Y}}" stroke="#888" marker-end="url(#tip)"/><text class="relation" x="{{printf "%.1f" .Label.X}}" y="{{printf "%.1f" .Label.Y}}">{{.Relation}}</text></g>
{{end}}{{range .Nodes}}<g><title>{{.Title}}</title><circle cx="{{printf "%.1f" .X}}" cy="{{printf "%.1f" .Y}}" r="{{.Radius}}" fill="{{.Color}}" stroke="#444"/><text {{if .Center}}class="center" {{end}}x="{{printf "%.1f" .X}}" y="{{printf "%.1f" .Y}}" dy="-16">{{.Label}}</text></g>
{{end}}</svg>
{{if .Left}}<p>{{.Left}} facts lead to entities that are not shown.</p>
{{end}}<table>
<tr><th>subject</th><th>relation</th><th>object</th><th>source</th></tr>
{{range .Rows}}<tr><td>{{.Subject}}</td><td>{{.Relation}}</td><td>{{.Object}}</td><td>{{.Source}}</td></tr>
{{end}}</table>
</body>
</html>
`
