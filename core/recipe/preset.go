package recipe

import (
	"embed"
	"path"
	"strings"
)

//go:embed presets/*.yaml
var presetFiles embed.FS

// DefaultPreset is used where neither a recipe nor the command names one.
const DefaultPreset = "finetune"

// Preset is a recipe that comes with islm.
type Preset struct {
	Name    string
	Summary string // one sentence
	Text    string // YAML
}

// Presets returns the embedded presets, sorted by name.
func Presets() []Preset {
	var presets []Preset
	for _, name := range PresetNames() {
		if p, ok := FindPreset(name); ok {
			presets = append(presets, p)
		}
	}
	return presets
}

// PresetNames returns the names of the embedded presets, sorted.
func PresetNames() []string {
	entries, err := presetFiles.ReadDir("presets") // sorted; cannot fail: the folder is embedded
	if err != nil {
		return nil
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = strings.TrimSuffix(e.Name(), ".yaml")
	}
	return names
}

// FindPreset returns the preset of that name.
func FindPreset(name string) (Preset, bool) {
	data, err := presetFiles.ReadFile(path.Join("presets", name+".yaml"))
	if err != nil || strings.ContainsAny(name, `/\`) {
		return Preset{}, false
	}
	text := string(data)
	first, _, _ := strings.Cut(text, "\n")
	return Preset{Name: name, Summary: strings.TrimSpace(strings.TrimPrefix(first, "#")), Text: text}, true
}
