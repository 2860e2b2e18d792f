// Package report shows what a run did: to people, to TensorBoard and to later
// readers.
//
//	Scores, Head, Comparison …   tables for a terminal
//	Progress                     a bar on a terminal, plain lines elsewhere
//	Log                          log.jsonl, one JSON object a line
//	Events                       TensorBoard event files
//	Page                         report.html, one file without any other
//	Card                         the model card, README.md of the bundle
//	Provenance                   provenance.json
//	Runs                         the runs in a folder
//
// Everything takes plain data; scores come from core/metric. The package knows
// nothing of plans, plugins or tensors. All text that comes from data (texts,
// labels, names) is untrusted: it is escaped for HTML and Markdown, and control
// characters never reach a terminal.
package report
