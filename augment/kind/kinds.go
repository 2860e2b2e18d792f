// Package kind holds what rules can do: one file per kind.
package kind

import "github.com/islm-dev/islm/augment/edit"

// All lists the kinds in the order of the guide.
func All() []edit.Kind {
	return []edit.Kind{
		{Name: "swap.v0", Help: "replaces words by others of the same meaning", New: newSwap},
		{Name: "entity.v0", Help: "replaces an entity by another one of the same type, with all its mentions", New: newEntity},
		{Name: "template.v0", Help: "replaces the match by a text made of slots", New: newTemplate},
		{Name: "number.v0", Help: "changes amounts, percentages, measurements and dates, or converts units", New: newNumber},
		{Name: "abbreviate.v0", Help: "writes short forms for long ones", New: newAbbreviate(false)},
		{Name: "expand.v0", Help: "writes long forms for short ones", New: newAbbreviate(true)},
		{Name: "negate.v0", Help: "puts a negation in or takes one out", New: newNegate},
		{Name: "noise.v0", Help: "makes errors of typing and reading, and changes the width or script of characters", New: newNoise},
		{Name: "code.v0", Help: "hands the example to a function of a plugin", New: newCode},
		{Name: "insert.v0", Help: "inserts words or signs", New: newInsert},
		{Name: "delete.v0", Help: "deletes the match or words of it", New: newDelete},
		{Name: "shuffle.v0", Help: "changes the order of words or sentences", New: newShuffle},
		{Name: "mask.v0", Help: "hides words behind a sign", New: newMask},
		{Name: "contrast.v0", Help: "turns words into their opposites, for another label", New: newContrast},
		{Name: "regex.v0", Help: "replaces a match by a text that refers back to its groups", New: newRegex},
		{Name: "tokens.v0", Help: "replaces words by others of the same label", New: newTokens},
		{Name: "mention.v0", Help: "replaces a mention by any other of the same label", New: newMention},
		{Name: "label.v0", Help: "changes nothing and says what label a text or the match has, to label data", New: newLabel},
		{Name: "mixup.v0", Help: "mixes embeddings and labels of two examples, in the trainer", New: newMixup},
	}
}
