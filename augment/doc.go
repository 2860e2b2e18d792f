// Package augment varies, labels and tests data by rules that cannot corrupt
// labels.
//
// A pack is a folder of YAML files with the rules' tests inside. A rule says
// where it matches, under which condition, what it does there and what becomes
// of the labels. The engine collects the edits of all rules that fire, resolves
// overlaps by priority, applies them and moves every span, token and tag.
//
// Rules are strict and total: no input or output, bounded time and memory for
// any text, the same result for the same seed, pack, rule, epoch and example ID
// whatever the number of goroutines.
package augment
