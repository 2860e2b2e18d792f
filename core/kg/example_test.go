package kg_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/islm-dev/islm/core/kg"
	"github.com/islm-dev/islm/sdk"
)

func Example() {
	dir, err := os.MkdirTemp("", "kg")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	items := func(yield func(sdk.FactItem, error) bool) {
		_ = yield(sdk.FactItem{Entity: &sdk.Entity{ID: "bond", Type: "Instrument", Names: []string{"bond", "fixed-income security"}}}, nil) &&
			yield(sdk.FactItem{Fact: &sdk.Fact{Subject: "bond", Relation: "pays", Object: "coupon"}}, nil)
	}
	if _, err := kg.Build(context.Background(), filepath.Join(dir, "graph"), "finance", items, kg.BuildOptions{}); err != nil {
		fmt.Println(err)
		return
	}
	store, err := kg.Open(filepath.Join(dir, "graph"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	ids, err := store.ByName("Fixed-Income Security")
	if err != nil {
		fmt.Println(err)
		return
	}
	facts, err := store.BySubject(ids[0])
	fmt.Println(ids, facts[0].Relation, facts[0].Object, err)
	// Output: [bond] pays coupon <nil>
}
