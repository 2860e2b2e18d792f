// Package edit holds what the engine of augmentation rules and the kinds of
// rules share: edits and how they move spans, tokens and tags, the match and the
// context that a kind sees, and the shape of a kind itself.
//
// A kind never makes a text. It says which bytes of the text are replaced by
// what; Apply does it and carries every label along, or refuses. So no kind can
// leave a span that points at nothing.
package edit
