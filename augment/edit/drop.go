package edit

// Drop takes the last edit back.
func (c *Context) Drop() { c.edits = c.edits[:max(0, len(c.edits)-1)] }
