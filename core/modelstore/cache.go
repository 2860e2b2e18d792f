package modelstore

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
)

// cached returns the snapshot folder that other software left in the Hugging Face
// cache for this id (revision main, else the only snapshot there is), or "".
// Layout: models--org--name/refs/main names a commit, snapshots/COMMIT holds its
// files as links. A snapshot without all its weights does not count.
func (h *Hub) cached(id string) string {
	if h.CacheDir == "" {
		return ""
	}
	repo := filepath.Join(h.CacheDir, "models--"+strings.ReplaceAll(id, "/", "--"))
	var commit string
	if data, err := os.ReadFile(filepath.Join(repo, "refs", "main")); err == nil {
		commit = strings.TrimSpace(string(data))
	} else if entries, err := os.ReadDir(filepath.Join(repo, "snapshots")); err == nil && len(entries) == 1 {
		commit = entries[0].Name()
	}
	if !commitHash.MatchString(commit) {
		return ""
	}
	dir := filepath.Join(repo, "snapshots", commit)
	if !isModel(dir) || !hasWeights(dir) {
		return ""
	}
	return dir
}

// hasWeights reports whether a folder holds a complete set of weights.
func hasWeights(dir string) bool {
	exists := func(name string) bool {
		_, err := os.Stat(filepath.Join(dir, name))
		return err == nil
	}
	for _, whole := range []string{"model.safetensors", "pytorch_model.bin", "adapter_model.safetensors", "adapter_model.bin"} {
		if exists(whole) {
			return true
		}
	}
	for _, index := range []string{"model.safetensors.index.json", "pytorch_model.bin.index.json"} {
		shards, err := readIndex(filepath.Join(dir, index))
		if err != nil {
			continue
		}
		complete := len(shards) > 0
		for shard := range shards {
			complete = complete && exists(shard)
		}
		if complete {
			return true
		}
	}
	return false
}

// readIndex returns the shards named by a *.index.json, each with the tensors it
// is to hold.
func readIndex(path string) (map[string][]string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var index struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(data, &index); err != nil {
		return nil, err
	}
	shards := map[string][]string{}
	for tensor, shard := range index.WeightMap {
		shards[shard] = append(shards[shard], tensor)
	}
	return shards, nil
}
