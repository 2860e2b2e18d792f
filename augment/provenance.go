package augment

import (
	"encoding/json"
	"fmt"

	"github.com/islm-dev/islm/augment/edit"
	"github.com/islm-dev/islm/sdk"
)

// Trace is what one rule did to an example, as its provenance tells.
type Trace struct {
	Pack    string
	Version string
	Rule    string
	Edits   []edit.Edit // without marks; offsets in the parent's text
}

// Provenance reads what rules did to an example, nil for an original. Of an
// example that was varied several times the steps follow each other.
func Provenance(ex *sdk.Example) ([]Trace, error) {
	raw, ok := ex.Meta[ProvenanceKey]
	if !ok {
		return nil, nil
	}
	var traces []struct {
		Pack, Version, Rule string
		Edits               []traceEdit
	}
	if err := json.Unmarshal([]byte(raw), &traces); err != nil {
		return nil, fmt.Errorf("read the provenance of %s: %w", ex.ID, err)
	}
	var out []Trace
	for _, t := range traces {
		tr := Trace{Pack: t.Pack, Version: t.Version, Rule: t.Rule}
		for _, e := range t.Edits {
			tr.Edits = append(tr.Edits, edit.Edit(e))
		}
		out = append(out, tr)
	}
	return out, nil
}

// traceEdit is an edit written as [start, end, new].
type traceEdit edit.Edit

// UnmarshalJSON reads the list.
func (e *traceEdit) UnmarshalJSON(raw []byte) error {
	return json.Unmarshal(raw, &[3]any{&e.Start, &e.End, &e.New})
}
