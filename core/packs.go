package core

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/go-hclog"

	"github.com/islm-dev/islm/augment"
	"github.com/islm-dev/islm/augment/share"
	"github.com/islm-dev/islm/core/catalog"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

// shelf holds the packs that the lock of a project names: in the vendor folder
// beside the lock, else in ISLM_HOME.
type shelf struct {
	lock   *catalog.Lock
	vendor share.Vendor
	store  share.Store
}

// openShelf reads the lock that counts in the working folder.
func openShelf(home string) (*shelf, sdk.Diagnostics, error) {
	path, err := catalog.DefaultPath(home)
	if err != nil {
		return nil, nil, err
	}
	file := path.File()
	lock, ds, err := catalog.ReadLock(file)
	if err != nil || ds.HasErrors() {
		return nil, ds, err
	}
	return &shelf{lock, share.Vendor{Dir: filepath.Join(filepath.Dir(file), share.VendorFolder)}, share.Store{Home: home}}, ds, nil
}

// names are the packs of the lock.
func (s *shelf) names() []string {
	var out []string
	for _, p := range s.lock.Packs {
		out = append(out, p.Name)
	}
	return out
}

// pack loads a locked pack after comparing its files with the lock. locked is
// false when the lock does not name it.
func (s *shelf) pack(ctx context.Context, name string) (p *augment.Pack, locked bool, ds sdk.Diagnostics, err error) {
	pin, ok := s.lock.Find(share.Pack.Folder(), name)
	if !ok {
		return nil, false, nil, nil
	}
	dir, err := share.Locate(ctx, share.Pin{
		Content: share.Content{ID: share.ID{Kind: share.Pack, Name: pin.Name, Version: pin.Version}, SHA256: pin.SHA256, Size: pin.Size},
		Source:  pin.Source}, s.vendor, s.store)
	if err != nil {
		if ds, _, ok := sdk.DiagnosticsOf(err); ok {
			return nil, true, ds, nil
		}
		return nil, true, nil, err
	}
	p, ds = augment.LoadDir(dir, augment.LoadOptions{})
	return p, true, ds, nil
}

// PackShelf finds packs by name outside of runs: those of the lock, then those
// of installed plugins.
type PackShelf struct {
	Home    string // ISLM_HOME
	Catalog *catalog.Catalog
	Log     hclog.Logger
}

// Load gives the pack of that name, or the packs of the plugin of that name; none
// when there is neither. known are the names that it would find.
func (s PackShelf) Load(ctx context.Context, name string) (out []*augment.Pack, known []string, ds sdk.Diagnostics, err error) {
	locked, ds, err := openShelf(s.Home)
	if err != nil || ds.HasErrors() {
		return nil, nil, ds, err
	}
	if p, found, more, err := locked.pack(ctx, name); found || err != nil {
		if ds = append(ds, more...); p != nil {
			out = []*augment.Pack{p}
		}
		return out, nil, ds, err
	}
	known = locked.names()
	installed, _ := s.Catalog.List() // what is wrong with other plugins is no matter here
	for _, e := range installed {
		if known = append(known, e.Name); e.Name != name {
			continue
		}
		plan := &recipe.Plan{}
		plan.Domain.Names = []string{name}
		ps, more, err := launchAll(ctx, s.Catalog, plan, s.Home, s.Log)
		defer ps.close()
		if ds = append(ds, more...); err != nil {
			return nil, known, ds, err
		}
		out, _, more, err = ps.packs(ctx)
		return out, known, append(ds, more...), err
	}
	return nil, known, ds, nil
}

// digests are the contents that a run varies its examples with, under the keys
// of the plan that name them.
func (r *rules) digests() map[string]string {
	out := map[string]string{}
	if r == nil {
		return out
	}
	for _, p := range r.packs {
		out["augment.packs."+p.Manifest.Name] = "sha256:" + p.Digest
	}
	for _, c := range r.code {
		out["augment.code."+c.name()] = c.digest
	}
	for _, s := range r.stages {
		switch s.Kind {
		case "thesaurus":
			out["augment.wordnet"] = s.Digest
		case "rules-graph":
			out["knowledge.kg"] = s.Digest
		}
	}
	return out
}

// AdoptRules compares the rule packs with those that the folder's run was
// started with, as AdoptPlan does with the plan, and records them for a new run.
// Other rules would make other examples after a resume than before it.
func (f Folder) AdoptRules(now map[string]string) error {
	data, err := os.ReadFile(f.Own(PacksFile))
	if errors.Is(err, fs.ErrNotExist) {
		if len(now) == 0 {
			return nil
		}
		raw, err := json.MarshalIndent(now, "", "  ")
		if err != nil {
			return fmt.Errorf("record the rule packs: %w", err)
		}
		return writeWhole(f.Own(PacksFile), append(raw, '\n'))
	}
	if err != nil {
		return fmt.Errorf("read the run's rule packs: %w", err)
	}
	var was map[string]string
	if err := json.Unmarshal(data, &was); err != nil {
		return fmt.Errorf("read the run's rule packs: %s: %w", f.Own(PacksFile), err)
	}
	keys := slices.Collect(maps.Keys(was))
	for key := range now {
		if _, ok := was[key]; !ok {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	var changed, detail []string
	for _, key := range keys {
		if was[key] != now[key] {
			changed = append(changed, key)
			detail = append(detail, fmt.Sprintf("%s: %s, now %s", key, cmp.Or(was[key], "none"), cmp.Or(now[key], "none")))
		}
	}
	if len(changed) == 0 {
		return nil
	}
	return sdk.Diagnostics{{Severity: sdk.Error, Code: "run.plan-differs", File: f.Own(PacksFile), Summary: "the run was started with other rules: " + strings.Join(changed, ", "),
		Detail: strings.Join(detail, "\n"), Remedy: "bring back the rules that it was started with, or choose another --out"}}.Err()
}
