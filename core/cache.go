package core

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// CacheEntry is one thing that ISLM_HOME keeps.
type CacheEntry struct {
	Kind  string    `json:"kind"` // libtorch, models, plugins, py, build, tools, stages/KIND
	Name  string    `json:"name"`
	Bytes int64     `json:"bytes"`
	Used  time.Time `json:"used"` // last change
	Dir   string    `json:"dir"`
	// Remake says that islm makes it again when it is needed.
	Remake bool `json:"remake"`
}

// ListCache lists what lies in ISLM_HOME, sorted by kind and name.
func ListCache(home string) ([]CacheEntry, error) {
	var out []CacheEntry
	add := func(kind, dir string, remake bool) error {
		entries, err := os.ReadDir(dir)
		if os.IsNotExist(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("list the cache: %w", err)
		}
		for _, e := range entries {
			path := filepath.Join(dir, e.Name())
			size, used, err := measure(path)
			if err != nil {
				return err
			}
			out = append(out, CacheEntry{kind, e.Name(), size, used, path, remake || strings.HasSuffix(e.Name(), ".tmp")})
		}
		return nil
	}
	for _, kind := range []string{"libtorch", "models", "plugins", "build", "tools"} {
		if err := add(kind, filepath.Join(home, kind), false); err != nil {
			return nil, err
		}
	}
	kinds, err := os.ReadDir(filepath.Join(home, "stages"))
	if err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("list the cache: %w", err)
	}
	for _, k := range kinds {
		if err := add("stages/"+k.Name(), filepath.Join(home, "stages", k.Name()), true); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(out, func(a, b CacheEntry) int {
		return strings.Compare(a.Kind+"\x00"+a.Name, b.Kind+"\x00"+b.Name)
	})
	return out, nil
}

func measure(path string) (size int64, used time.Time, err error) {
	err = filepath.WalkDir(path, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			if os.IsNotExist(err) { // removed by another process meanwhile
				return nil
			}
			return err
		}
		info, err := d.Info()
		if err != nil {
			return nil //nolint:nilerr // likewise
		}
		if !d.IsDir() {
			size += info.Size()
		}
		if info.ModTime().After(used) {
			used = info.ModTime()
		}
		return nil
	})
	if err != nil {
		err = fmt.Errorf("measure %s: %w", path, err)
	}
	return size, used, err
}

// PruneCache removes what can be made again and was not changed since `before`,
// and reports what it removed. With dry nothing is removed.
func PruneCache(home string, before time.Time, dry bool) ([]CacheEntry, error) {
	all, err := ListCache(home)
	if err != nil {
		return nil, err
	}
	var gone []CacheEntry
	for _, e := range all {
		if !e.Remake || !e.Used.Before(before) {
			continue
		}
		if !dry {
			// Renamed first: a reader either has the whole stage or none.
			tmp := e.Dir + ".pruned.tmp"
			if err := os.Rename(e.Dir, tmp); err != nil {
				return gone, fmt.Errorf("prune the cache: %w", err)
			}
			if err := os.RemoveAll(tmp); err != nil {
				return gone, fmt.Errorf("prune the cache: %w", err)
			}
		}
		gone = append(gone, e)
	}
	return gone, nil
}
