package report

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// chart is a line chart that page.html draws as SVG. All lengths are in the
// units of its view box.
type chart struct {
	Title         string
	Width, Height int
	Left, Bottom  float64 // corner of the axes
	Right, Top    float64
	XTicks        []tick
	YTicks        []tick
	XName         string
	Lines         []line
	Dots          []dot
}

type tick struct {
	At   float64
	Text string
}

type line struct {
	Name, Class string
	Points      string
}

type dot struct {
	X, Y  float64
	Tip   string
	Class string
	Best  bool
}

type point struct{ x, y float64 }

// series is a line before it has a scale.
type series struct {
	name, class string
	points      []point
	dots        bool
	best        int // index of the dot that is the best, -1 = none
}

// charts draws what the log holds: loss, validation and learning rate. Values
// that are not finite have no point.
func charts(log []Entry, scoreName string, t func(string) string) []*chart {
	each := series{name: t("each step"), class: "faint", best: -1}
	smooth := series{name: t("smoothed"), class: "strong", best: -1}
	epoch := series{name: t("epoch mean"), class: "strong", dots: true, best: -1}
	validLoss := series{name: t("validation loss"), class: "second", dots: true, best: -1}
	score := series{name: t(cmp.Or(scoreName, "score")), class: "strong", dots: true, best: -1}
	rate := series{name: t("learning rate"), class: "strong", best: -1}
	add := func(s *series, e Entry, name string) bool {
		v, ok := e.Values[name]
		if !ok || math.IsNaN(v) || math.IsInf(v, 0) {
			return false
		}
		s.points = append(s.points, point{float64(e.Step), v})
		return true
	}
	for _, e := range log {
		switch e.Kind {
		case "step":
			add(&each, e, ValueLoss)
			add(&rate, e, ValueLR)
		case "epoch":
			add(&epoch, e, ValueLoss)
		case "valid":
			add(&validLoss, e, ValueLoss)
			if add(&score, e, ValueScore) && e.Best {
				score.best = len(score.points) - 1
			}
		}
	}
	smooth.points = smoothed(each.points)
	if len(each.points) > 0 {
		epoch.class = "dots"
	}
	var out []*chart
	if c := draw(t("train loss"), t("step"), each, smooth, epoch, validLoss); c != nil {
		out = append(out, c)
	}
	if c := draw(t("validation")+" · "+score.name, t("step"), score); c != nil {
		out = append(out, c)
	}
	if c := draw(t("learning rate"), t("step"), rate); c != nil {
		out = append(out, c)
	}
	return out
}

// smoothed is an exponential mean whose memory is about 3 % of the run,
// corrected for its start.
func smoothed(points []point) []point {
	if len(points) < 20 {
		return nil
	}
	keep := 1 - 1/math.Max(5, 0.03*float64(len(points)))
	out, mean, weight := make([]point, len(points)), 0.0, 0.0
	for i, p := range points {
		mean = keep*mean + (1-keep)*p.y
		weight = keep*weight + 1 - keep
		out[i] = point{p.x, mean / weight}
	}
	return out
}

// thinned keeps at most n points: of each stretch its lowest and highest, so
// that spikes stay.
func thinned(points []point, n int) []point {
	if len(points) <= n {
		return points
	}
	var out []point
	stretch := 2 * len(points) / n
	for i := 0; i < len(points); i += stretch {
		part := points[i:min(i+stretch, len(points))]
		low, high := 0, 0
		for k, p := range part {
			if p.y < part[low].y {
				low = k
			}
			if p.y > part[high].y {
				high = k
			}
		}
		out = append(out, part[min(low, high)])
		if low != high {
			out = append(out, part[max(low, high)])
		}
	}
	return out
}

func draw(title, xName string, all ...series) *chart {
	c := &chart{Title: title, XName: xName, Width: 420, Height: 240, Left: 52, Right: 408, Top: 12, Bottom: 206}
	xLow, xHigh, yLow, yHigh := math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	for _, s := range all {
		for _, p := range s.points {
			xLow, xHigh = math.Min(xLow, p.x), math.Max(xHigh, p.x)
			yLow, yHigh = math.Min(yLow, p.y), math.Max(yHigh, p.y)
		}
	}
	if xLow > xHigh {
		return nil
	}
	if xLow < 0.3*xHigh {
		xLow = 0
	}
	if xLow == xHigh {
		xLow, xHigh = xLow-1, xHigh+1
	}
	if yLow > 0 && yLow < 0.5*yHigh {
		yLow = 0
	}
	if yLow == yHigh {
		yLow, yHigh = yLow-0.5*math.Max(math.Abs(yLow), 1e-9), yHigh+0.5*math.Max(math.Abs(yHigh), 1e-9)
	}
	yTicks := ticks(yLow, yHigh, 5)
	yLow, yHigh = math.Min(yLow, yTicks[0]), math.Max(yHigh, yTicks[len(yTicks)-1])
	x := func(v float64) float64 { return c.Left + (v-xLow)/(xHigh-xLow)*(c.Right-c.Left) }
	y := func(v float64) float64 { return c.Bottom - (v-yLow)/(yHigh-yLow)*(c.Bottom-c.Top) }
	for _, v := range yTicks {
		c.YTicks = append(c.YTicks, tick{tenth(y(v)), number(v)})
	}
	for _, v := range ticks(xLow, xHigh, 6) {
		if v >= xLow && v <= xHigh && v == math.Trunc(v) {
			c.XTicks = append(c.XTicks, tick{tenth(x(v)), thousands(int64(v))})
		}
	}
	for _, s := range all {
		if len(s.points) == 0 {
			continue
		}
		var b strings.Builder
		for _, p := range thinned(s.points, 600) {
			fmt.Fprintf(&b, "%.1f,%.1f ", x(p.x), y(p.y))
		}
		c.Lines = append(c.Lines, line{s.name, s.class, strings.TrimSpace(b.String())})
		if !s.dots || len(s.points) > 60 {
			continue
		}
		for i, p := range s.points {
			tip := fmt.Sprintf("%s, %s %s: %s", s.name, xName, thousands(int64(p.x)), strconv.FormatFloat(p.y, 'g', 4, 64))
			c.Dots = append(c.Dots, dot{tenth(x(p.x)), tenth(y(p.y)), tip, s.class, i == s.best})
		}
	}
	return c
}

// ticks returns about n round values whose range covers low to high.
func ticks(low, high float64, n int) []float64 {
	rough := (high - low) / float64(n-1)
	unit := math.Pow(10, math.Floor(math.Log10(rough)))
	step := 10 * unit
	for _, m := range []float64{1, 2, 2.5, 5} {
		if m*unit >= rough*0.999 {
			step = m * unit
			break
		}
	}
	var out []float64
	first := math.Floor(low/step + 1e-9)
	for i := first; ; i++ {
		out = append(out, i*step)
		if i*step >= high-1e-9*step || len(out) > 3*n {
			return out
		}
	}
}

// number writes a tick without the noise of binary fractions.
func number(v float64) string {
	v, _ = strconv.ParseFloat(strconv.FormatFloat(v, 'g', 6, 64), 64)
	if v != 0 && (math.Abs(v) < 1e-3 || math.Abs(v) >= 1e5) {
		return strconv.FormatFloat(v, 'e', -1, 64)
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

func tenth(v float64) float64 { return math.Round(10*v) / 10 }
