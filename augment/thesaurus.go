package augment

import (
	"sync"

	"github.com/islm-dev/islm/augment/edit"
)

// maxRemembered bounds what a memory of a thesaurus keeps.
const maxRemembered = 1 << 17

// remembered is a thesaurus that is asked once for each word. Text repeats its
// words, and looking one up in WordNet's files costs more than all else that a
// rule does.
type remembered struct {
	of    edit.Thesaurus
	mu    sync.RWMutex
	known map[question][]string
}

type question struct{ word, pos string }

func remember(t edit.Thesaurus) edit.Thesaurus {
	if t == nil {
		return nil
	}
	return &remembered{of: t, known: map[question][]string{}}
}

// Synonyms gives the answer of the thesaurus.
func (r *remembered) Synonyms(word, pos string) []string {
	q := question{word, pos}
	r.mu.RLock()
	answer, ok := r.known[q]
	r.mu.RUnlock()
	if ok {
		return answer
	}
	answer = r.of.Synonyms(word, pos)
	r.mu.Lock()
	if len(r.known) < maxRemembered {
		r.known[q] = answer
	}
	r.mu.Unlock()
	return answer
}
