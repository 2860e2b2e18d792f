package corpus

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

// testData is the folder of public data sets that are not part of the
// repository; tests that want it are skipped without it.
func testData(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("ISLM_TESTDATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no test data in %s (ISLM_TESTDATA names another folder)", dir)
	}
	return dir
}

func conllSupports() map[string]int {
	return map[string]int{"B-LOC": 1668, "I-LOC": 257, "B-MISC": 702, "I-MISC": 216, "B-ORG": 1661, "I-ORG": 835, "B-PER": 1617, "I-PER": 1156, "O": 38323}
}

func supports(h sdk.HeadSpec, shard *Shard) map[string]int {
	names, counts := recipe.Outputs(h), map[string]int{}
	for i := range shard.Len() {
		for _, tag := range shard.At(i).Targets[0].Tags {
			counts[names[tag]]++
		}
	}
	return counts
}

// The supports of the CoNLL-2003 test set are the published ones, at any length
// limit.
func TestConll2003Supports(t *testing.T) {
	dir := filepath.Join(testData(t), "general", "conll2003")
	p := plan(t, "data.path="+dir)
	c, ds, err := Read(context.Background(), Request{Plan: p})
	if err != nil || len(problemsOf(ds)) > 0 {
		t.Fatalf("%v\n%s", err, ds)
	}
	if len(c.Train) != 14041 || len(c.Valid) != 3250 || len(c.Test) != 3453 {
		t.Errorf("%d, %d, %d examples", len(c.Train), len(c.Valid), len(c.Test))
	}
	if diff := cmp.Diff([]string{"LOC", "MISC", "ORG", "PER"}, c.Heads[0].Labels); diff != "" {
		t.Error(diff)
	}
	if !notice(ds, "of 3453 texts of test are also in train") {
		t.Errorf("no notice of the leak:\n%s", ds)
	}
	small := *c
	small.Train, small.Valid = nil, nil
	for _, limit := range []int{8, 24, 128} {
		set, err := small.Build(context.Background(), BuildRequest{Plan: p, Tokenizer: wordPieces(t), MaxLength: limit})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(conllSupports(), supports(c.Heads[0], set.Test)); diff != "" {
			t.Errorf("limit %d: %s", limit, diff)
		}
		cut := 0
		for i := range set.Test.Len() {
			row := set.Test.At(i)
			if len(row.IDs) > limit || len(row.Starts) != len(row.Targets[0].Tags) {
				t.Fatalf("row %d: %d ids, %d starts, %d tags", i, len(row.IDs), len(row.Starts), len(row.Targets[0].Tags))
			}
			for _, s := range row.Starts {
				if s < 0 {
					cut++
				}
			}
		}
		if limit == 8 && cut == 0 {
			t.Error("8 word pieces cut nothing")
		}
	}
}

// Every labelled file of the test data is read without an error.
func TestAllDataSets(t *testing.T) {
	root := testData(t)
	for name, tc := range map[string]struct {
		sets  []string
		heads int
	}{
		"finance/phrasebank-50agree":         {nil, 1},
		"finance/ner-sec":                    {nil, 1},
		"medical/ner-ncbi-disease":           {nil, 1},
		"medical/ner-zh-cmeee/dev5000.conll": {nil, 1},
		"legal/unfair-tos":                   {[]string{"data.split_by=doc"}, 1},
		"legal/zh-law-charge":                {nil, 1},
		"legal/zh-law-consult-topic":         {nil, 1},
		"legal/zh-law-dispute":               {nil, 1},
		"industrial/work-orders-excavators":  {nil, 1},
		"industrial/ner-zh-fault":            {nil, 1},
		"industrial/relation-zh-fault":       {[]string{"data.fields={spans: entities, relations: relations}", "data.offsets=chars"}, 2},
		"education/unt-sag":                  {nil, 1},
		"service/clinc150":                   {nil, 1},
		"service/zh-afqmc":                   {nil, 1},
		"general/conll2003":                  {nil, 1},
		"general/zh-chnsenticorp":            {nil, 1},
		"general/zh-tnews":                   {nil, 1},
		"general/sts2015":                    {nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			sets := append([]string{"data.path=" + filepath.Join(root, filepath.FromSlash(name))}, tc.sets...)
			c, ds, err := Read(context.Background(), Request{Plan: plan(t, sets...), Check: true})
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range ds {
				if d.Severity == sdk.Error {
					t.Errorf("%s", d)
				}
			}
			if len(c.Heads) != tc.heads || len(c.Train) == 0 {
				t.Errorf("heads %+v, %d training examples", c.Heads, len(c.Train))
			}
			if testing.Verbose() {
				t.Logf("%d %d %d, %v\n%s", len(c.Train), len(c.Valid), len(c.Test), c.Heads, ds)
			}
		})
	}
}
