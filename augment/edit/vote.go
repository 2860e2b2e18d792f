package edit

// Voter is an action that changes no text: it says what label a text, or a stretch
// of it, has. The engine leaves it out of augmentation.
type Voter interface {
	// Vote gives the head and the value that a match speaks for. span says that the
	// value is the label of the matched stretch, else it is a class of the text.
	Vote() (head, value string, span bool)
}
