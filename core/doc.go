// Package core is the order of a run: which stages there are, what each takes
// and gives, and what lies in a run's folder at the end.
//
// run.go shows a training run on one screen. The stages themselves live in the
// packages below: catalog launches plugins, recipe makes the plan, corpus turns
// data into shards, an Engine (core/train, plugged in by cmd/islm) trains and
// predicts, metric scores, report prints. The package never touches a tensor
// and never parses a flag.
package core
