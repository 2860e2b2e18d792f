package augment

import "github.com/islm-dev/islm/augment/edit"

// What rules, kinds and their users share lies in package edit; these are its
// names for those who only use packs.
type (
	Edit      = edit.Edit
	Match     = edit.Match
	Graph     = edit.Graph
	Thesaurus = edit.Thesaurus
	Coder     = edit.Coder
	Resources = edit.Resources
	List      = edit.List
)
