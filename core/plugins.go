package core

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/go-hclog"

	"github.com/islm-dev/islm/core/catalog"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
	"github.com/islm-dev/islm/sdk/host"
)

// plugin is one running plugin of a run.
type plugin struct {
	host    *host.Plugin
	entry   catalog.Entry
	about   *sdk.Description
	options map[string]string // as given, without defaults
}

// plugins are the running plugins of a run, in the order of domain.name.
type plugins []*plugin

// launchAll starts the plan's plugins and configures them. All problems of all
// plugins come back together; the plugins that run are returned even then, so
// that the caller can close them.
func launchAll(ctx context.Context, c *catalog.Catalog, plan *recipe.Plan, home string, log hclog.Logger) (plugins, sdk.Diagnostics, error) {
	var out plugins
	var ds sdk.Diagnostics
	used := map[string]bool{}
	for _, name := range plan.Domain.Names {
		h, entry, err := c.Launch(ctx, name, catalog.LaunchOptions{Logger: log, DataDir: filepath.Join(home, "plugins", "data", name)})
		if err != nil {
			out.close()
			return nil, ds, err
		}
		p := &plugin{host: h, entry: entry, about: h.Description()}
		out = append(out, p)
		if entry.Dev() {
			ds.Add(sdk.Diagnostic{Severity: sdk.Warning, Code: "plugin.unlocked", File: entry.Path, Summary: fmt.Sprintf("plugin %s runs without a lock (--dev); the provenance says so", name),
				Remedy: "'islm plugin install' locks it"})
		}
		options := map[string]string{}
		for key, value := range plan.Domain.Options {
			switch who, rest, dotted := strings.Cut(key, "."); {
			case dotted && who == name:
				options[rest], used[key] = value, true
			case !dotted && (len(plan.Domain.Names) == 1 || p.hasOption(key)):
				options[key], used[key] = value, true
			}
		}
		p.options = options
		more, err := h.Configure(ctx, options)
		ds = append(ds, more...)
		if err != nil {
			out.close()
			return nil, ds, err
		}
		ds = append(ds, p.about.Diagnostics...)
	}
	for _, key := range slices.Sorted(maps.Keys(plan.Domain.Options)) {
		if !used[key] {
			ds.Add(sdk.Diagnostic{Code: "domain.option", Path: "domain.options." + key, Summary: fmt.Sprintf("no plugin of this run has the option %q", key),
				Remedy: "see 'islm plugin describe NAME' for its options; --domain adds a plugin"})
		}
	}
	return out, ds, nil
}

func (p *plugin) hasOption(name string) bool {
	return slices.ContainsFunc(p.about.Options, func(o sdk.Option) bool { return o.Name == name })
}

// close ends all plugins; a second call does nothing.
func (ps plugins) close() {
	for _, p := range ps {
		p.host.Close()
	}
}

// advice is what the plugins advise for the recipe.
func (ps plugins) advice() []recipe.Advice {
	out := []recipe.Advice{} // not nil: the plugins were asked
	for _, p := range ps {
		if len(p.about.Advice) > 0 {
			out = append(out, recipe.Advice{Domain: p.about.Name, Values: p.about.Advice})
		}
	}
	return out
}

// heads are the heads that the plugins declare. A name that two plugins use
// belongs to the first.
func (ps plugins) heads() []sdk.HeadSpec {
	var out []sdk.HeadSpec
	for _, p := range ps {
		for _, h := range p.about.Heads {
			if !slices.ContainsFunc(out, func(o sdk.HeadSpec) bool { return o.Name == h.Name }) {
				out = append(out, h)
			}
		}
	}
	return out
}

// Datasets lists what can be named as data: every dataset of every plugin, and
// each plugin's own name for all the samples that it holds.
func (ps plugins) Datasets() []sdk.Dataset {
	var out []sdk.Dataset
	for _, p := range ps {
		out = append(out, p.about.Datasets...)
	}
	for _, p := range ps {
		if s, ok := p.sample(); ok && !slices.ContainsFunc(out, func(d sdk.Dataset) bool { return d.Name == s.Name }) {
			out = append(out, s)
		}
	}
	return out
}

// sample stands for all embedded datasets of a plugin.
func (p *plugin) sample() (sdk.Dataset, bool) {
	s := sdk.Dataset{Name: p.about.Name, Summary: "all samples of " + p.about.Name, Embedded: true}
	splits := map[string]bool{}
	for _, d := range p.about.Datasets {
		if d.Embedded {
			for _, name := range d.Splits {
				splits[name] = true
			}
		}
	}
	for _, name := range sdk.Splits() {
		if splits[name] {
			s.Splits = append(s.Splits, name)
		}
	}
	return s, len(splits) > 0
}

// defaultData names the data of a run that was given none: the samples of its
// first plugin that has any.
func (ps plugins) defaultData() string {
	for _, p := range ps {
		if s, ok := p.sample(); ok {
			return s.Name
		}
	}
	return ""
}

// ReadDataset streams one split of a dataset.
func (ps plugins) ReadDataset(ctx context.Context, req sdk.ReadRequest) iter.Seq2[sdk.Example, error] {
	for _, p := range ps {
		if slices.ContainsFunc(p.about.Datasets, func(d sdk.Dataset) bool { return d.Name == req.Dataset }) {
			return p.host.Read(ctx, req)
		}
	}
	for _, p := range ps {
		if p.about.Name == req.Dataset {
			return p.readSample(ctx, req)
		}
	}
	return func(yield func(sdk.Example, error) bool) {
		yield(sdk.Example{}, fmt.Errorf("read dataset: no plugin of this run has %q", req.Dataset))
	}
}

// readSample streams all embedded datasets one after the other. A bare label
// belongs to its dataset's task; ids get the dataset's name before them.
func (p *plugin) readSample(ctx context.Context, req sdk.ReadRequest) iter.Seq2[sdk.Example, error] {
	return func(yield func(sdk.Example, error) bool) {
		for _, d := range p.about.Datasets {
			if !d.Embedded || !slices.Contains(d.Splits, req.Split) {
				continue
			}
			one := req
			one.Dataset = d.Name
			for ex, err := range p.host.Read(ctx, one) {
				if err == nil {
					if ex.ID != "" {
						ex.ID = d.Name + "/" + ex.ID
					}
					if bare, ok := ex.Labels[""]; ok && d.Task != "" {
						delete(ex.Labels, "")
						ex.Labels[d.Task] = bare
					}
				}
				if !yield(ex, err) || err != nil {
					return
				}
			}
		}
	}
}
