package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
)

// HPO is a row about the Human Phenotype Ontology.
type HPO struct {
	Bench   string  `json:"bench"`
	Commit  string  `json:"commit,omitempty"`
	CPU     string  `json:"cpu"`
	Cores   int     `json:"cores"`
	ImportS float64 `json:"import_s"`
	RSSMB   float64 `json:"rss_mb"`
	Stored  int     `json:"stored"`
	StoreMB float64 `json:"store_mb"`
}

// measureHPO imports the ontology with its annotations.
func measureHPO(ctx context.Context, folder, row string) error {
	var files []string
	for _, name := range []string{"hp.obo", "phenotype.hpoa"} {
		found, err := filepath.Glob(filepath.Join(folder, name+"*"))
		if err != nil {
			return err
		}
		files = append(files, found...)
	}
	if len(files) < 2 {
		return errors.New("the folder lacks hp.obo or phenotype.hpoa")
	}
	dir, err := os.MkdirTemp("", "bench-kg")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	r := HPO{Bench: "kg-hpo", Commit: commit(), CPU: cpu(), Cores: runtime.NumCPU()}
	store := filepath.Join(dir, "store")
	if err := self(ctx, &r, "import", append([]string{store}, files...)...); err != nil {
		return err
	}
	if r.StoreMB, err = size(store); err != nil {
		return err
	}
	return report(r, row)
}
