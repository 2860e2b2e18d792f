package recipe

import "strings"

// Scores says whether the validation scores of plans with different values of a key
// can be held against each other.
type Scores string

// Scores of a key.
const (
	ScoresSame  Scores = ""      // the same rows, rated alike
	ScoresRows  Scores = "rows"  // perhaps of other rows, or of rows that are cut otherwise
	ScoresOther Scores = "other" // of something else: other right answers, another measure, other rows by intent
)

// Scored says what another value of a key does to the validation scores of runs of
// this plan.
func (p *Plan) Scored(path string) Scores {
	key, ok := FindKey(path)
	if parent, _, entry := mapEntry(path); !ok && entry {
		key, _ = FindKey(parent)
	}
	pretrain, few := p.Objective == ObjectivePretrain, p.Objective == ObjectiveFewShot
	switch path = key.Path; {
	case strings.HasPrefix(path, "pretrain.") && !pretrain:
		return ScoresSame // masks of a language model beside other heads, whose scores count
	case path == "base" || path == "data.max_length": // pieces are what a language model is scored on
		if !pretrain {
			return ScoresSame
		}
	case path == "seed": // of the masks of held-out texts, of the draw of a few examples
		if !pretrain && !few {
			return ScoresSame
		}
	case path == "fewshot.shots" && !few, path == "continue.data" && p.Objective != ObjectiveContinue:
		return ScoresSame
	case path == "data.valid" && few: // which reads the training examples alone
		return ScoresSame
	case path == "data.path" || path == "data.train" || path == "data.text" || path == "data.fields":
		// Rows that a file of their own gives stay; others may be split by their texts.
		if p.Data.Valid != "" && !few && !pretrain && path != "data.fields" {
			return ScoresSame
		}
	}
	return key.Scores
}
