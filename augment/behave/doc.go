// Package behave tests what a model does with the rules and tests of packs, after
// Ribeiro et al. 2020 (Beyond Accuracy: Behavioral Testing of NLP Models with
// CheckList).
//
// Minimum functionality: a text whose label a pack's test states gets that label.
// Invariance: a rule that keeps a label may not change the answer. Direction: a
// rule that changes a label must change the answer accordingly. The package knows
// no model; it is handed a function that predicts.
package behave
