package core

import (
	"context"
	"fmt"
	"io"
	"iter"

	"github.com/islm-dev/islm/core/kg/source"
	"github.com/islm-dev/islm/sdk"
)

// facts are the plugin's own knowledge and, behind it, that of its graphs. Entities do
// not all come first. digest, unless nil, is told what the graphs hold.
func (p *plugin) facts(ctx context.Context, digest io.Writer) (iter.Seq2[sdk.FactItem, error], sdk.Diagnostics, error) {
	graphs, ds, err := p.graphs(ctx, digest)
	if err != nil || ds.HasErrors() {
		return nil, ds, err
	}
	return func(yield func(sdk.FactItem, error) bool) {
		for _, s := range append([]iter.Seq2[sdk.FactItem, error]{p.host.Facts(ctx)}, graphs...) {
			for it, err := range s {
				if !yield(it, err) {
					return
				}
			}
		}
	}, ds, nil
}

// graphs are those that the plugin's options name (sdk.Option.Graph), in the order of
// the options.
func (p *plugin) graphs(ctx context.Context, digest io.Writer) (streams []iter.Seq2[sdk.FactItem, error], ds sdk.Diagnostics, err error) {
	for _, o := range p.about.Options {
		path := p.options[o.Name]
		if path == "" {
			path = o.Default
		}
		if o.Graph == "" || path == "" {
			continue
		}
		opt := source.Options{Source: o.Name, Scope: o.Name + "."}
		if o.Graph != "auto" {
			opt.Format = o.Graph
		}
		files, err := source.Files([]string{path}, opt)
		if more, _, ok := sdk.DiagnosticsOf(err); ok {
			for _, d := range more {
				d.Path = "domain.options." + o.Name
				ds.Add(d)
			}
			continue
		}
		for _, f := range files {
			if digest == nil {
				break
			}
			fmt.Fprintf(digest, "%s %s\n", o.Name, o.Graph)
			if err := digestFile(digest, f); err != nil {
				return nil, ds, fmt.Errorf("read the graph that %s names: %w", o.Name, err)
			}
		}
		items, err := source.Open(ctx, files, opt)
		if err != nil {
			return nil, ds, err
		}
		streams = append(streams, items)
	}
	return streams, ds, nil
}
