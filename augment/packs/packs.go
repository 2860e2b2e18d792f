// Package packs holds the rule packs that come with islm, each a folder with
// pack.yaml at its root.
package packs

import (
	"embed"
	"io/fs"
	"slices"

	"github.com/islm-dev/islm/augment"
	"github.com/islm-dev/islm/sdk"
)

// FS holds the packs, one folder each.
//
//go:embed */pack.yaml */rules
var FS embed.FS

// Names lists the packs, sorted.
func Names() []string {
	entries, err := FS.ReadDir(".")
	if err != nil { // an embedded root can be read
		return nil
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names
}

// Sub is the folder of one pack.
func Sub(name string) (fs.FS, error) { return fs.Sub(FS, name) }

// Load loads one of the packs.
func Load(name string) (*augment.Pack, sdk.Diagnostics) {
	sub, err := Sub(name)
	if err != nil {
		return nil, sdk.Diagnostics{{Severity: sdk.Error, Code: "pack.read", File: name, Summary: err.Error()}}
	}
	return augment.Load(sub, augment.LoadOptions{Prefix: name})
}
