package layout

import (
	"encoding/json"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/islm-dev/islm"

type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string
	Error      *struct{ Err string }
}

// list returns the module's packages with tag torch, so that the tensor
// packages are seen too; -find is off because dependencies are asked for.
func list(t *testing.T, tags string) map[string]pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-deps", "-json=ImportPath,Imports,Deps", "-tags", tags, module+"/...")
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=1")
	out, err := cmd.Output()
	require.NoError(t, err)
	all := map[string]pkg{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p pkg
		require.NoError(t, dec.Decode(&p))
		if strings.HasPrefix(p.ImportPath, module) {
			all[strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")] = p
		}
	}
	require.Greater(t, len(all), 15)
	return all
}

// A rule lists for a folder the packages of the module it may import; "x/..."
// means the folder and all below. First match wins.
var rules = []struct {
	pkg   string
	allow []string
}{
	{"sdk", nil},
	{"sdk/internal/wire/...", []string{"sdk", "sdk/internal/wire/..."}},
	{"sdk/serve", []string{"sdk", "sdk/internal/wire/..."}},
	{"sdk/host", []string{"sdk", "sdk/internal/wire/..."}},
	{"sdk/sdktest/...", []string{"sdk", "sdk/host", "sdk/serve", "sdk/internal/wire/...", "sdk/sdktest/..."}},
	{"augment/...", []string{"sdk", "augment/..."}},
	{"plugins/...", []string{"sdk", "sdk/serve"}},
	{"core/features", []string{"sdk"}},
	{"core/kg/...", []string{"sdk", "augment/...", "core/recipe", "core/torch/safetensors", "core/kg/..."}},
	{"core/recipe", []string{"sdk", "augment"}},
	{"core/metric", []string{"sdk", "core/recipe"}},
	{"core/fewshot", nil},
	{"core/libtorch", []string{"sdk"}},
	{"core/tune", []string{"sdk"}},
	{"core/token/...", []string{"sdk", "core/token/..."}},
	{"core/torch/safetensors", []string{"sdk"}},
	{"core/torch/pickle", []string{"sdk", "core/torch/safetensors"}},
	{"core/torch/...", []string{"sdk", "core/torch/..."}},
	{"core/model/...", []string{"sdk", "core/recipe", "core/torch/...", "core/model/..."}},
	{"core/train/...", []string{"sdk", "core/recipe", "core/torch/...", "core/model/...", "core/train/..."}},
	{"core/corpus/...", []string{"sdk", "augment", "core/recipe", "core/token", "core/corpus/..."}},
	{"core/catalog/...", []string{"sdk", "sdk/host", "core/recipe", "core/libtorch", "core/catalog/..."}},
	{"core/modelstore/...", []string{"sdk", "core/libtorch", "core/torch/safetensors", "core/torch/pickle", "core/model/hf", "core/token", "core/modelstore/..."}},
	{"core/vocab", []string{"sdk", "core/token", "core/model/hf", "core/torch/safetensors", "core/torch/pickle"}},
	{"core/report/...", []string{"sdk", "core/recipe", "core/metric", "core/report/..."}},
	// core composes the others and plugs nothing in that needs tensors.
	{"core", []string{"sdk", "sdk/host", "augment/...", "core/features", "core/kg", "core/kg/source", "core/recipe", "core/metric", "core/fewshot", "core/libtorch", "core/token", "core/corpus", "core/catalog", "core/modelstore", "core/report", "core/vocab", "core/torch/safetensors", "core/model/hf", "core/model/peft"}},
	{"cmd/islm/...", []string{"sdk", "sdk/host", "sdk/sdktest", "core/...", "augment/...", "cmd/islm/..."}},
	{"scripts/...", []string{"core/...", "sdk", "scripts/..."}},
	{"bench/...", []string{"..."}},
}

func match(pattern, name string) bool {
	if pattern == "..." {
		return true
	}
	if base, ok := strings.CutSuffix(pattern, "/..."); ok {
		return name == base || strings.HasPrefix(name, base+"/")
	}
	return pattern == name
}

func TestImportsGoOneWay(t *testing.T) {
	for name, p := range list(t, "torch") {
		i := slices.IndexFunc(rules, func(r struct {
			pkg   string
			allow []string
		}) bool {
			return match(r.pkg, name)
		})
		if name == "" {
			continue
		}
		if !assertRule(t, name, i) {
			continue
		}
		for _, imp := range p.Imports {
			rel, inside := strings.CutPrefix(imp, module+"/")
			if !inside {
				continue
			}
			ok := slices.ContainsFunc(rules[i].allow, func(a string) bool { return match(a, rel) })
			if !ok {
				t.Errorf("%s imports %s; it may import %v", name, rel, rules[i].allow)
			}
		}
	}
}

func assertRule(t *testing.T, name string, i int) bool {
	if i < 0 {
		t.Errorf("package %s has no rule in scripts/layout: say what it may import", name)
	}
	return i >= 0
}

// doors names the packages through which a heavy dependency comes in.
var doors = map[string][]string{
	"github.com/sugarme/gotch":       {"core/torch/..."},
	"github.com/dgraph-io/badger":    {"core/kg/..."},
	"github.com/hashicorp/go-plugin": {"sdk/..."},
	"google.golang.org/grpc":         {"sdk/..."},
	"google.golang.org/protobuf":     {"sdk/...", "core/report/..."},
	"gopkg.in/yaml.v3":               {"sdk", "core/recipe"},
	"github.com/spf13/cobra":         {"cmd/islm/..."},
	"github.com/parquet-go":          {"core/corpus/..."},
	"oras.land/oras-go":              {"augment/share"},
	"github.com/opencontainers":      {"augment/share"},
	"aead.dev/minisign":              {"augment/share"},
}

func TestHeavyDependenciesHaveOneDoor(t *testing.T) {
	for name, p := range list(t, "torch") {
		for _, imp := range p.Imports {
			for dep, via := range doors {
				if imp != dep && !strings.HasPrefix(imp, dep+"/") {
					continue
				}
				if !slices.ContainsFunc(via, func(a string) bool { return match(a, name) }) {
					t.Errorf("%s imports %s, which comes in only through %v", name, imp, via)
				}
			}
		}
	}
}

// Without the tag nothing may need cgo: plugin and rule authors build with Go alone.
func TestUntaggedIsPureGo(t *testing.T) {
	for name, p := range list(t, "") {
		for _, dep := range append(p.Imports, p.Deps...) {
			if dep == "C" || strings.HasPrefix(dep, "github.com/sugarme/gotch") {
				t.Errorf("%s depends on %s without tag torch", path.Join(module, name), dep)
			}
		}
	}
}
