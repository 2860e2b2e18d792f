package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/islm-dev/islm/core"
	"github.com/islm-dev/islm/core/report"
)

// curveShares reads --curve: percentages, with or without a sign.
func curveShares(text string) (shares []float64, err error) {
	if text == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		v, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(part), "%"), 64)
		if err != nil || !(v > 0) || v > 100 {
			return nil, usageError{fmt.Errorf("--curve %s: %q is no percentage above 0 and up to 100", text, strings.TrimSpace(part))}
		}
		shares = append(shares, v/100)
	}
	return shares, nil
}

// runCurve trains on shares of the labels. Each run is a child process.
func (a *app) runCurve(cmd *cobra.Command, c *core.Curve, dev []string) error {
	var err error
	if c.Train, err = a.childRuns(dev); err != nil {
		return err
	}
	res, err := c.Run(cmd.Context())
	if w, ok := c.Watch.(*watcher); ok {
		w.done()
	}
	if err != nil {
		return a.unfinished(err)
	}
	if a.json {
		return a.print(res)
	}
	var points []report.CurvePoint
	for _, p := range res.Points {
		points = append(points, report.CurvePoint{Arm: p.Arm, Share: p.Share, Labels: p.Labels, Steps: p.Steps, Mean: p.Mean, Low: p.Low, High: p.High, Seconds: p.Seconds, PeakRSSBytes: p.PeakRSSBytes})
	}
	t := report.Table{Left: 1, Header: []string{"arm", "share", "labels", "steps", res.Head + " " + res.Metric, "95% interval", "seconds", "peak memory"}, Rows: report.CurveRows(points)}
	fmt.Fprintf(a.stdout, "\n%s of %s; seeds %s\n\n%s\n", res.Split, res.Data, strings.Trim(fmt.Sprint(res.Seeds), "[]"), t.String())
	for _, line := range append([]string{res.Sentence()}, res.Notes...) {
		if line != "" {
			fmt.Fprintln(a.stdout, line)
		}
	}
	return nil
}
