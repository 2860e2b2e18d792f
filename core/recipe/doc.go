// Package recipe says what a run shall do: the Plan, and the small interfaces
// through which the parts of a run meet.
//
// A Plan is typed and complete. Resolve makes it from four layers, each
// stronger than the one before:
//
//	preset < advice of the domain's plugin < recipe file < --set a.b=c
//
// Layers are strict: unknown keys, wrong types and values out of range are
// diagnostics with their place, and all of them are reported at once. Every
// key stands with its type, default and help in one table (Keys), from which
// the commands, the completion and the reference documentation are made.
// Plan.YAML writes every key, so that a run can be repeated from plan.yaml
// alone, and Parse reads it back without loss.
//
// Job, Loader, Source and Engine are the contract between the data
// (core/corpus), the trainer (core/train) and the run (core). The package is a
// leaf: it knows nothing of files of data, tokenizers or tensors.
package recipe
