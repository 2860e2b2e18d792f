package main

import (
	"context"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/spf13/cobra"

	"github.com/islm-dev/islm/augment"
	"github.com/islm-dev/islm/augment/packs"
	"github.com/islm-dev/islm/core"
	"github.com/islm-dev/islm/sdk"
)

// rules is the parent of the commands on rule packs.
func (a *app) rules() *cobra.Command {
	cmd := &cobra.Command{Use: "rules", Short: "Write, test, apply and share rule packs",
		Long: `A rule pack is a folder of YAML with its tests inside. It varies training data
without harm to labels, labels new text, and checks a model's behaviour.

PACK is a folder with pack.yaml, a plugin's folder, or a name: of a pack of
islm.lock.yaml, of an installed plugin, or of a pack that comes with islm:
` + strings.Join(packs.Names(), ", ") + "."}
	cmd.AddCommand(a.rulesNew(), a.rulesLint(), a.rulesTest(), a.rulesPreview(), a.rulesExplain(), a.rulesApply(), a.rulesStats())
	cmd.AddCommand(a.rulesLabel(), a.rulesCheck())
	cmd.AddCommand(a.rulesShare()...)
	return cmd
}

// packNames proposes the packs that come with islm, and folders.
func packNames(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return packs.Names(), cobra.ShellCompDirectiveDefault
}

// loadPacks loads the packs that arguments name, with what is wrong with them.
func (a *app) loadPacks(cmd *cobra.Command, names []string) ([]*augment.Pack, sdk.Diagnostics, error) {
	var out []*augment.Pack
	var ds sdk.Diagnostics
	for _, name := range names {
		some, more, err := a.loadPack(cmd, name)
		out, ds = append(out, some...), append(ds, more...)
		if err != nil {
			return nil, ds, err
		}
	}
	return out, ds, nil
}

func (a *app) loadPack(cmd *cobra.Command, name string) ([]*augment.Pack, sdk.Diagnostics, error) {
	one := func(p *augment.Pack, ds sdk.Diagnostics) ([]*augment.Pack, sdk.Diagnostics, error) {
		if p == nil {
			return nil, ds, nil
		}
		return []*augment.Pack{p}, ds, nil
	}
	isFile := func(parts ...string) bool {
		info, err := os.Stat(filepath.Join(parts...))
		return err == nil && !info.IsDir()
	}
	switch {
	case isFile(name, augment.PackFile):
		return one(augment.LoadDir(name, augment.LoadOptions{}))
	case isFile(name, sdk.ManifestFile):
		ps, ds := loadDomainRules(name)
		return ps, ds, nil
	case slices.Contains(packs.Names(), name):
		return one(packs.Load(name))
	}
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		return one(augment.LoadDir(name, augment.LoadOptions{}))
	}
	home, err := a.home()
	if err != nil {
		return nil, nil, err
	}
	cat, err := a.catalog(cmd, nil)
	if err != nil {
		return nil, nil, err
	}
	shelf := core.PackShelf{Home: home, Catalog: cat, Log: a.logger()}
	some, known, ds, err := shelf.Load(cmd.Context(), name)
	if some != nil || err != nil || ds.HasErrors() {
		return some, ds, err
	}
	known = append(packs.Names(), known...)
	d := sdk.Diagnostic{Severity: sdk.Error, Code: "pack.read", File: name, Summary: "there is no such pack",
		Remedy: "name a folder with pack.yaml, a plugin's folder, or one of: " + strings.Join(known, ", ")}
	if near := sdk.Nearest(name, known); near != "" {
		d.Remedy = fmt.Sprintf("did you mean %q? (%s)", near, d.Remedy)
	}
	return nil, sdk.Diagnostics{d}, nil
}

// loadDomainRules loads the rules of a plugin from its folder.
func loadDomainRules(dir string) ([]*augment.Pack, sdk.Diagnostics) {
	d := sdk.Domain{FS: os.DirFS(dir)}
	m, ds := sdk.LoadManifest(d.FS)
	if m == nil {
		return nil, ds
	}
	files, more := sdk.LoadRules(d, m)
	if ds = append(ds, more...); ds.HasErrors() {
		return nil, ds
	}
	ps, more := augment.FromPlugin(m.Name, m.Version, files, augment.LoadOptions{Prefix: dir})
	return ps, append(ds, more...)
}

// ruleFlags say which packs work on which data, and how.
type ruleFlags struct {
	in      string
	head    string
	classes bool        // the rules change classes of head
	named   atomic.Bool // a bare label was given to head
	mode    string
	seed    uint64
	epoch   int
	limit   int
	skip    []string
	domain  []string
}

// register adds the flags of data and packs.
func (f *ruleFlags) register(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.in, "in", "", "data: .jsonl, .conll, .txt (one text a line), .csv, .tsv, .parquet, or - for JSONL on stdin")
	fs.StringVar(&f.head, "head", "", "head that bare labels belong to (default: the one head that the rules name)")
	fs.IntVar(&f.limit, "limit", 0, "examples to read (0 = all)")
	fs.StringSliceVar(&f.skip, "skip", nil, "rules to leave out, as RULE or PACK/RULE (repeatable)")
	fs.StringSliceVar(&f.domain, "domain", nil, "plugins whose datasets --in may name")
}

// registerDraws adds the flags of what is drawn, for commands that vary examples.
func (f *ruleFlags) registerDraws(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.mode, "mode", "replace", `replace, or "add: K" variants beside each example`)
	fs.IntVar(&f.epoch, "epoch", 0, "epoch whose draws are made")
	f.registerSeed(cmd)
	complete(cmd, "mode", func(string) []string { return []string{"replace", "add: 1", "add: 4"} })
}

func (f *ruleFlags) registerSeed(cmd *cobra.Command) {
	cmd.Flags().Uint64Var(&f.seed, "seed", 42, "seed of all randomness")
}

// engine loads the packs and makes the engine.
func (f *ruleFlags) engine(a *app, cmd *cobra.Command, names []string, opt augment.Options) (*augment.Engine, []*augment.Pack, error) {
	ps, ds, err := a.loadPacks(cmd, names)
	if err != nil {
		return nil, nil, err
	}
	opt.Seed, opt.Skip = f.seed, f.skip
	var e *augment.Engine
	if !ds.HasErrors() {
		var more sdk.Diagnostics
		e, more = augment.NewEngine(ps, opt)
		ds = append(ds, more...)
	}
	if err := ds.Err(); err != nil {
		return nil, nil, err
	}
	a.problems(ds)
	if f.head == "" {
		f.head = onlyHead(ps)
		f.classes = changes(ps, f.head)
	}
	return e, ps, nil
}

// name gives the bare label of an example to the head of --head, unless that has
// a label already, or is known to have classes and the label is none.
func (f *ruleFlags) name(ex *sdk.Example) {
	l, bare := ex.Labels[""]
	if !bare || f.head == "" || f.classes && (l.Tags != nil || l.Spans != nil) {
		return
	}
	if _, has := ex.Labels[f.head]; has {
		return
	}
	delete(ex.Labels, "")
	ex.Labels[f.head] = l
	f.named.Store(true)
}

// changes reports whether a rule changes the classes of a head.
func changes(ps []*augment.Pack, head string) bool {
	return slices.ContainsFunc(ps, func(p *augment.Pack) bool {
		return slices.ContainsFunc(p.Rules, func(r *augment.CompiledRule) bool { return len(r.Labels.Change[head]) > 0 })
	})
}

// onlyHead is the head that the rules name, if all name the same one.
func onlyHead(ps []*augment.Pack) string {
	var heads []string
	for _, p := range ps {
		for _, r := range p.Rules {
			for _, h := range r.Labels.Keep {
				if h != "all" && !slices.Contains(heads, h) {
					heads = append(heads, h)
				}
			}
			for h := range r.Labels.Change {
				if !slices.Contains(heads, h) {
					heads = append(heads, h)
				}
			}
		}
	}
	if len(heads) == 1 {
		return heads[0]
	}
	return ""
}

// data streams the examples of --in. Bare labels get the head's name.
func (f *ruleFlags) data(ctx context.Context, a *app, cmd *cobra.Command) (iter.Seq2[sdk.Example, error], func() error, error) {
	if f.in == "" {
		return nil, nil, usageError{fmt.Errorf("name the data with --in FILE")}
	}
	nothing := func() error { return nil }
	var source iter.Seq2[sdk.Example, error]
	switch ext := strings.ToLower(filepath.Ext(f.in)); {
	case f.in == "-":
		source = sdk.ReadJSONL("stdin", a.stdin)
	case len(f.domain) == 0 && ext == ".txt":
		texts, err := a.readTexts(f.in, nil)
		if err != nil {
			return nil, nil, err
		}
		source = eachOf(texts)
	case len(f.domain) == 0 && (ext == ".jsonl" || ext == ".conll"):
		file, err := os.Open(f.in)
		if err != nil {
			return nil, nil, fmt.Errorf("read data: %w", err)
		}
		nothing = file.Close
		if source = sdk.ReadJSONL(f.in, file); ext == ".conll" {
			source = sdk.ReadCoNLL(f.in, file)
		}
	default:
		var err error
		if source, err = f.inspect(ctx, a, cmd); err != nil {
			return nil, nil, err
		}
	}
	n := 0
	return func(yield func(sdk.Example, error) bool) {
		for ex, err := range source {
			if err == nil {
				if n++; f.limit > 0 && n > f.limit {
					return
				}
				if ex.ID == "" {
					ex.ID = fmt.Sprintf("%d", max(ex.Line, n))
				}
				f.name(&ex)
			}
			if !yield(ex, err) {
				return
			}
		}
	}, nothing, nil
}

// inspect reads what only the reader of training runs understands: tables, and
// the datasets of plugins.
func (f *ruleFlags) inspect(ctx context.Context, a *app, cmd *cobra.Command) (iter.Seq2[sdk.Example, error], error) {
	rf := runFlags{}
	rf.planFlags.data, rf.planFlags.domain = f.in, f.domain
	run, err := a.newRun(cmd, &rf, nil)
	if err != nil {
		return nil, err
	}
	in := &core.Inspection{Home: run.Home, Store: run.Store, Catalog: run.Catalog, Log: run.Log, Resolve: run.Resolve}
	c, ds, err := in.Check(ctx)
	if err != nil {
		return nil, err
	}
	if err := ds.Err(); err != nil {
		return nil, err
	}
	return eachOf(slices.Concat(c.Train, c.Valid, c.Test)), nil
}

func eachOf(examples []sdk.Example) iter.Seq2[sdk.Example, error] {
	return func(yield func(sdk.Example, error) bool) {
		for _, ex := range examples {
			if !yield(ex, nil) {
				return
			}
		}
	}
}
