package report

import (
	"bytes"
	"fmt"
	"html"
	"math"
	"strconv"
	"strings"
)

// CurvePoint is one point of a learning curve.
type CurvePoint struct {
	Arm             string
	Share           float64 // 0..1
	Labels, Steps   int
	Mean, Low, High float64
	Seconds         float64
	PeakRSSBytes    int64
}

const (
	curveBegin = "<!-- learning curve -->"
	curveEnd   = "<!-- end of the learning curve -->"
)

// AddCurve puts a learning curve into a report page, in the place of an earlier one:
// a picture of the score against the number of labels (in the logarithm) with its
// intervals, a table, and sentences.
func AddCurve(page []byte, score string, points []CurvePoint, sentences []string) []byte {
	if from, to := bytes.Index(page, []byte(curveBegin)), bytes.Index(page, []byte(curveEnd)); from >= 0 && to > from {
		page = append(append([]byte{}, page[:from]...), page[to+len(curveEnd):]...)
	}
	at := bytes.Index(page, []byte("<footer>"))
	if at < 0 {
		at = len(page)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s<section>\n<h2 id=\"curve\">Learning curve</h2>\n<div class=\"box\">%s\n<table><thead><tr><th class=\"left\">arm</th><th>share</th><th>labels</th><th>steps</th><th>%s</th><th>95%% interval</th><th>seconds</th><th>peak memory</th></tr></thead><tbody>\n", curveBegin, curvePicture(score, points), html.EscapeString(score))
	for _, row := range CurveRows(points) {
		fmt.Fprintf(&b, "<tr><td class=\"left\">%s</td><td>%s</td></tr>\n", html.EscapeString(row[0]), strings.Join(row[1:], "</td><td>"))
	}
	b.WriteString("</tbody></table>\n")
	for _, s := range sentences {
		if s != "" {
			fmt.Fprintf(&b, "<p>%s</p>\n", html.EscapeString(s))
		}
	}
	b.WriteString("</div>\n</section>" + curveEnd)
	return append(append(append([]byte{}, page[:at]...), b.String()...), page[at:]...)
}

// CurveRows are the cells of a learning curve's table.
func CurveRows(points []CurvePoint) (rows [][]string) {
	for _, p := range points {
		rows = append(rows, []string{p.Arm, strconv.FormatFloat(100*p.Share, 'g', 4, 64) + "%", strconv.Itoa(p.Labels), strconv.Itoa(p.Steps), three(p.Mean),
			"[" + three(p.Low) + ", " + three(p.High) + "]", strconv.FormatFloat(p.Seconds, 'f', 1, 64), size(p.PeakRSSBytes)})
	}
	return rows
}

func curvePicture(score string, points []CurvePoint) string {
	if len(points) == 0 {
		return ""
	}
	const w, h, left, right, top, bottom = 560.0, 300.0, 56.0, 548.0, 28.0, 262.0
	lowX, highX, lowY, highY := math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	for _, p := range points {
		x := math.Log(float64(max(p.Labels, 1)))
		lowX, highX, lowY, highY = min(lowX, x), max(highX, x), min(lowY, p.Low), max(highY, p.High)
	}
	if highX == lowX {
		lowX, highX = lowX-1, highX+1
	}
	if highY == lowY {
		lowY, highY = lowY-0.01, highY+0.01
	}
	yTicks := ticks(lowY, highY, 5)
	lowY, highY = min(lowY, yTicks[0]), max(highY, yTicks[len(yTicks)-1])
	x := func(labels int) float64 {
		return tenth(left + (math.Log(float64(max(labels, 1)))-lowX)/(highX-lowX)*(right-left))
	}
	y := func(v float64) float64 { return tenth(bottom - (v-lowY)/(highY-lowY)*(bottom-top)) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %g %g" width="%g" role="img" font-size="11" fill="currentColor"><title>%s against the number of labels</title>`, w, h, w, html.EscapeString(score))
	for _, v := range yTicks {
		fmt.Fprintf(&b, `<line x1="%g" x2="%g" y1="%g" y2="%[3]g" stroke="#8884"/><text x="%g" y="%g" text-anchor="end">%s</text>`, left, right, y(v), left-6, y(v)+4, number(v))
	}
	last := math.Inf(-1)
	for _, p := range points {
		if at := x(p.Labels); at > last+30 {
			fmt.Fprintf(&b, `<text x="%g" y="%g" text-anchor="middle">%d</text>`, at, bottom+16, p.Labels)
			last = at
		}
	}
	fmt.Fprintf(&b, `<text x="%g" y="%g" text-anchor="end">labels</text>`, right, bottom+32)
	colours := map[string]string{}
	for _, p := range points {
		if _, ok := colours[p.Arm]; ok {
			continue
		}
		colour := []string{"#4878a8", "#c06020", "#508040"}[len(colours)%3]
		colours[p.Arm] = colour
		fmt.Fprintf(&b, `<text x="%g" y="16" fill="%s">%s</text>`, left+150*float64(len(colours)-1), colour, html.EscapeString(p.Arm))
		var line strings.Builder
		for _, q := range points {
			if q.Arm == p.Arm {
				fmt.Fprintf(&line, "%g,%g ", x(q.Labels), y(q.Mean))
				fmt.Fprintf(&b, `<line x1="%[1]g" x2="%[1]g" y1="%[2]g" y2="%[3]g" stroke="%[4]s"/><circle cx="%[1]g" cy="%[5]g" r="3.5" fill="%[4]s"><title>%[6]s, %[7]d labels: %.3[8]f [%.3[9]f, %.3[10]f]</title></circle>`,
					x(q.Labels), y(q.Low), y(q.High), colour, y(q.Mean), html.EscapeString(q.Arm), q.Labels, q.Mean, q.Low, q.High)
			}
		}
		fmt.Fprintf(&b, `<polyline fill="none" stroke="%s" stroke-width="1.5" points="%s"/>`, colour, strings.TrimSpace(line.String()))
	}
	b.WriteString("</svg>")
	return b.String()
}
