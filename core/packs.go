package core

import (
	"context"
	"path/filepath"

	"github.com/islm-dev/islm/augment"
	"github.com/islm-dev/islm/augment/share"
	"github.com/islm-dev/islm/core/catalog"
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
