package corpus

import (
	"crypto/sha256"
	"encoding/binary"
	"strings"

	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

// splitByHash gives the split of an example where one file is split: a function
// of its text alone (or of the field that data.split_by names), so that texts
// that differ only in case and blanks stay together and more data move nothing.
func splitByHash(ex *sdk.Example, plan *recipe.Plan) string {
	key := textKey(ex)
	if field := plan.Data.SplitBy; field != "" {
		key = ex.Meta[field]
	}
	sum := sha256.Sum256([]byte(key))
	u := float64(binary.BigEndian.Uint64(sum[:8])>>11) / (1 << 53) // in [0, 1)
	shares := plan.Data.Split
	switch {
	case u < shares[0]:
		return "train"
	case u < shares[0]+shares[1]:
		return "valid"
	case shares[2] > 0:
		return "test"
	case shares[1] > 0:
		return "valid"
	}
	return "train"
}

// reportSplit says how one file was split.
func reportSplit(splits map[string][]row, plan *recipe.Plan, p *problems) {
	by := "the hash of the text"
	if f := plan.Data.SplitBy; f != "" {
		by = "the hash of field " + f
		for _, r := range splits["all"] {
			if _, ok := r.Meta[f]; !ok {
				p.errorf("data.split", r.File, r.Line, "the row has no field %q, which data.split_by names", f)
			}
		}
	}
	var empty []string
	for i, name := range SplitNames() {
		if len(splits[name]) == 0 && plan.Data.Split[i] > 0 {
			empty = append(empty, name)
		}
	}
	file := splits["all"][0].File
	p.notice("data.split", file, "split by %s: %d train, %d valid, %d test", by, len(splits["train"]), len(splits["valid"]), len(splits["test"]))
	if len(empty) > 0 {
		p.add(sdk.Diagnostic{Severity: sdk.Warning, Code: "data.split", File: file, Summary: "so few rows leave nothing for " + strings.Join(empty, " and "),
			Remedy: "bring more rows, or choose other shares with data.split"})
	}
}
