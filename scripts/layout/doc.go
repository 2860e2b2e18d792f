// Package layout holds no code: its test checks, over `go list -deps`, that the
// packages of the module import each other in one direction only, and that each
// heavy dependency has one door.
package layout
