package edit

// Names is a list of texts that may be written as one text.
type Names []string

// UnmarshalText takes a single text.
func (n *Names) UnmarshalText(text []byte) error {
	*n = Names{string(text)}
	return nil
}
