package hf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// replacing is the folder below islm/ of files that are about to take the place of
// those of the model.
const replacing = "replace"

// Replace changes several files of a model folder as one: whoever reads the folder
// after Settle finds all old ones or all new ones, wherever the process was killed.
// write puts the new files into a folder, under their names in the model's.
func Replace(dir string, write func(into string) error) error {
	if err := Settle(dir); err != nil {
		return err
	}
	tmp := filepath.Join(dir, Own, replacing+".tmp")
	if err := os.RemoveAll(tmp); err != nil { // left by a kill
		return fmt.Errorf("change the model: %w", err)
	}
	err := os.MkdirAll(filepath.Join(tmp, Own), 0o755)
	if err == nil {
		err = write(tmp)
	}
	if err == nil {
		err = flushTree(tmp)
	}
	if err == nil { // from here on the new files count
		err = os.Rename(tmp, filepath.Join(dir, Own, replacing))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("change the model: %w", err), os.RemoveAll(tmp))
	}
	return Settle(dir)
}

// Settle finishes a Replace that was cut off after its new files were complete; else
// it does nothing. Call it before the files of a model folder are read. Several
// processes may do so at once.
func Settle(dir string) error { return settle(dir, os.Rename) }

func settle(dir string, move func(from, to string) error) error {
	from := filepath.Join(dir, Own, replacing)
	var files []string
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist): // there is nothing, or another process moved it
			return nil
		case err == nil && !d.IsDir():
			name, _ := filepath.Rel(from, path)
			files = append(files, name)
		}
		return err
	})
	if err == nil && len(files) == 0 {
		if _, err = os.Stat(from); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("finish a change of the model: %w", err)
	}
	// config.json last, as a finished run is published.
	slices.SortFunc(files, func(a, b string) int {
		if last := a == ConfigFile; last || b == ConfigFile {
			return map[bool]int{true: 1, false: -1}[last]
		}
		return strings.Compare(a, b)
	})
	for _, name := range files {
		if err := move(filepath.Join(from, name), filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("finish a change of the model: %w", err)
		}
	}
	err = errors.Join(flush(filepath.Join(dir, Own)), flush(dir)) // the moves are safe before their list is gone
	if err == nil {
		err = os.RemoveAll(from)
	}
	if err != nil {
		return fmt.Errorf("finish a change of the model: %w", err)
	}
	return nil
}

// flushTree makes all files below a folder safe from a loss of power.
func flushTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err == nil {
			err = flush(path)
		}
		return err
	})
}

func flush(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	err = f.Sync()
	if info, serr := f.Stat(); serr == nil && info.IsDir() {
		err = nil // some file systems cannot flush a folder
	}
	return errors.Join(err, f.Close())
}
