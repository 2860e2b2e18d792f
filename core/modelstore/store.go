package modelstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/islm-dev/islm/sdk"
)

// Places a model was found in.
const (
	InFolder = "folder" // a path given by the user
	InStore  = "store"  // ISLM_HOME/models
	InCache  = "cache"  // the Hugging Face cache
)

// Store is the model store.
type Store struct {
	// Dir is ISLM_HOME/models. It need not exist.
	Dir string
	// Hub is where models that are not here come from.
	Hub Hub
}

// Model is one model folder on this machine.
type Model struct {
	Name   string  `json:"name"`             // what Find accepts
	Dir    string  `json:"dir"`              // absolute path
	Place  string  `json:"place"`            // InFolder, InStore or InCache
	Bytes  int64   `json:"bytes"`            // size of all files
	Source *Source `json:"source,omitempty"` // nil where nothing is recorded
}

// List returns the models in the store, sorted by name. A folder without
// config.json (an unfinished or foreign one) is not a model.
func (s *Store) List() ([]Model, error) {
	entries, err := os.ReadDir(s.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the model store: %w", err)
	}
	var models []Model
	for _, e := range entries {
		dir := filepath.Join(s.Dir, e.Name())
		if strings.HasSuffix(e.Name(), ".tmp") || !isModel(dir) {
			continue
		}
		m, err := s.stored(e.Name())
		if err != nil {
			return nil, err
		}
		models = append(models, m)
	}
	return models, nil
}

// Find returns the model that ref names and that is on this machine already: a
// folder path, a name in the store, or a hub id held by the store or by the
// Hugging Face cache. An existing path wins over a name. The error of a ref
// that is none of these is a diagnostic `model.unknown`.
func (s *Store) Find(ref string) (Model, error) {
	if ref == "" {
		return Model{}, problem("model.unknown", "no model named", "", "give a folder, a name of `islm model list`, or a hub id")
	}
	if st, err := os.Stat(ref); err == nil && st.IsDir() {
		dir, err := filepath.Abs(ref)
		if err != nil {
			return Model{}, fmt.Errorf("model %s: %w", ref, err)
		}
		if !isModel(dir) {
			return Model{}, detailed(problem("model.config", fmt.Sprintf("folder %s holds no config.json", ref), "", "name the folder that holds config.json"), "A model is a Hugging Face folder: config.json, tokenizer files, weights.", fs.ErrNotExist)
		}
		src, err := readSource(dir)
		if err != nil {
			return Model{}, err
		}
		return Model{Name: ref, Dir: dir, Place: InFolder, Bytes: folderSize(dir), Source: src}, nil
	} else if err == nil {
		return Model{}, problem("model.config", fmt.Sprintf("%s is a file, not a model folder", ref), "", "name the folder that holds config.json")
	}
	if looksLikePath(ref) {
		return Model{}, problem("model.unknown", fmt.Sprintf("folder %s does not exist", ref), "", "check the path, or name a model of `islm model list`")
	}
	if diag := CheckID(ref); diag != nil {
		return Model{}, diag
	}
	if dir := filepath.Join(s.Dir, folderName(ref)); isModel(dir) {
		return s.stored(folderName(ref))
	}
	models, err := s.List()
	if err != nil {
		return Model{}, err
	}
	names := make([]string, 0, 2*len(models))
	for _, m := range models {
		names = append(names, m.Name)
		if m.Source != nil && m.Source.ID != "" {
			if m.Source.ID == ref {
				return m, nil
			}
			names = append(names, m.Source.ID)
		}
	}
	if dir := s.Hub.cached(ref); dir != "" {
		return Model{Name: ref, Dir: dir, Place: InCache, Bytes: folderSize(dir)}, nil
	}
	slices.Sort(names)
	return Model{}, unknown(ref, slices.Compact(names))
}

// Get is Find, then Pull for what is not on this machine.
func (s *Store) Get(ctx context.Context, ref string) (Model, error) {
	m, err := s.Find(ref)
	if err == nil || !hasCode(err, "model.unknown") || looksLikePath(ref) || ref == "" {
		return m, err
	}
	names := known(err)
	m, err = s.Pull(ctx, ref, "")
	if err != nil && len(names) > 0 {
		return m, suggest(err, ref, names)
	}
	return m, err
}

// Verify compares the files of a model with the digests of its source.json.
func (m Model) Verify() (sdk.Diagnostics, error) {
	if m.Source == nil {
		return sdk.Diagnostics{{Severity: sdk.Warning, Code: "model.source", Summary: fmt.Sprintf("model %s has no source.json: nothing to compare with", m.Name), File: m.Dir}}, nil
	}
	return m.Source.verify(m)
}

func (s *Store) stored(name string) (Model, error) {
	dir, err := filepath.Abs(filepath.Join(s.Dir, name))
	if err != nil {
		return Model{}, fmt.Errorf("model %s: %w", name, err)
	}
	src, err := readSource(dir)
	if err != nil {
		return Model{}, err
	}
	return Model{Name: name, Dir: dir, Place: InStore, Bytes: folderSize(dir), Source: src}, nil
}

// folderName is the store's folder for a hub id: org/name -> org--name.
func folderName(id string) string { return strings.ReplaceAll(id, "/", "--") }

func isModel(dir string) bool {
	for _, name := range []string{"config.json", "adapter_config.json"} {
		if st, err := os.Stat(filepath.Join(dir, name)); err == nil && st.Mode().IsRegular() {
			return true
		}
	}
	return false
}

func looksLikePath(ref string) bool {
	return filepath.IsAbs(ref) || strings.HasPrefix(ref, "./") || strings.HasPrefix(ref, "../") || ref == "." || ref == ".." ||
		strings.HasPrefix(ref, "~") || strings.Contains(ref, `\`) || strings.Count(ref, "/") > 1 || strings.HasSuffix(ref, "/")
}

func folderSize(dir string) int64 {
	var n int64
	// A file that vanishes while it is counted is no reason to fail: the size is for people.
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil //nolint:nilerr
		}
		if st, err := os.Stat(path); err == nil {
			n += st.Size()
		}
		return nil
	})
	return n
}
