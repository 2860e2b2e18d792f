package modelstore

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/islm-dev/islm/sdk"
)

// SourceSchema is the schema name in source.json.
const SourceSchema = "islm/source.v0"

const sourceFile = "source.json"

// Source is source.json: where a model of the store came from.
type Source struct {
	Schema   string             `json:"schema"`
	Name     string             `json:"name"`               // folder in the store
	ID       string             `json:"id,omitempty"`       // hub id, such as org/name
	URL      string             `json:"url,omitempty"`      // hub endpoint or download address
	Revision string             `json:"revision,omitempty"` // branch or tag asked for
	Commit   string             `json:"commit,omitempty"`   // what it stood for
	Fetched  time.Time          `json:"fetched,omitzero"`   // UTC
	Files    map[string]Digests `json:"files"`              // by slash path inside the folder
}

// Digests identifies one file.
type Digests struct {
	SHA256 string `json:"sha256"` // lower-case hex
	Size   int64  `json:"size"`   // bytes
}

// Record writes source.json for a model folder, with the digests of all files
// that lie in it, and returns it. Fields of src other than Files are kept.
func Record(dir string, src Source) (*Source, error) {
	src.Schema = SourceSchema
	src.Files = map[string]Digests{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil || d.IsDir() || rel == sourceFile {
			return err
		}
		dg, err := digestFile(path)
		if err != nil {
			return err
		}
		src.Files[filepath.ToSlash(rel)] = dg
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("digest model %s: %w", dir, err)
	}
	if err := src.write(dir); err != nil {
		return nil, err
	}
	return &src, nil
}

func (s *Source) write(dir string) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("encode source.json: %w", err)
	}
	tmp := filepath.Join(dir, sourceFile+".tmp")
	if err := os.WriteFile(tmp, append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("write source.json: %w", err)
	}
	if err := os.Rename(tmp, filepath.Join(dir, sourceFile)); err != nil {
		return fmt.Errorf("write source.json: %w", err)
	}
	return nil
}

func (s *Source) verify(m Model) (sdk.Diagnostics, error) {
	var diags sdk.Diagnostics
	bad := func(rel, what string) {
		diags = append(diags, sdk.Diagnostic{
			Severity: sdk.Error, Code: "model.checksum", Summary: fmt.Sprintf("%s of model %s %s", rel, m.Name, what),
			File: filepath.Join(m.Dir, filepath.FromSlash(rel)), Remedy: "remove the folder and pull the model again",
		})
	}
	for _, rel := range slices.Sorted(maps.Keys(s.Files)) {
		if !fs.ValidPath(rel) {
			bad(rel, "is not a path inside the folder")
			continue
		}
		got, err := digestFile(filepath.Join(m.Dir, filepath.FromSlash(rel)))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			bad(rel, "is missing")
		case err != nil:
			return diags, fmt.Errorf("verify model %s: %w", m.Name, err)
		case got != s.Files[rel]:
			bad(rel, "is not the file that was fetched")
		}
	}
	return diags, nil
}

// readSource returns nil for a folder without source.json.
func readSource(dir string) (*Source, error) {
	data, err := os.ReadFile(filepath.Join(dir, sourceFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read source.json: %w", err)
	}
	var src Source
	if err := json.Unmarshal(data, &src); err != nil {
		return nil, problem("model.source", "source.json cannot be read: "+err.Error(), filepath.Join(dir, sourceFile), "remove the folder and pull the model again")
	}
	return &src, nil
}

func digestFile(path string) (Digests, error) {
	f, err := os.Open(path)
	if err != nil {
		return Digests{}, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return Digests{}, err
	}
	return Digests{SHA256: hex.EncodeToString(h.Sum(nil)), Size: n}, nil
}
