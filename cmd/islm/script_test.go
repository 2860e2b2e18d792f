package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"
)

// runScripts runs a folder of scripts. Each has a home of its own: models come
// from the real one by a link, the bundled plugins are built once and locked.
func runScripts(t *testing.T, dir string) {
	t.Helper()
	realHome := os.Getenv("ISLM_HOME")
	if realHome == "" {
		cache, err := os.UserCacheDir()
		require.NoError(t, err)
		realHome = filepath.Join(cache, "islm")
	}
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	goCache := goEnv(t, "GOCACHE")
	goMod := goEnv(t, "GOMODCACHE")
	plugins := t.TempDir()
	for _, name := range []string{"finance", "medical"} {
		out, err := exec.Command("go", "build", "-o", filepath.Join(plugins, "islm-plugin-"+name), filepath.Join(root, "plugins", name)).CombinedOutput()
		require.NoError(t, err, string(out))
	}
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
		Condition: func(cond string) (bool, error) {
			if cond != "torch" {
				return false, fmt.Errorf("unknown condition %q", cond)
			}
			return newEngine() != nil, nil // this is islm-torch
		},
		Setup: func(env *testscript.Env) error {
			home := filepath.Join(env.WorkDir, "home")
			if err := os.MkdirAll(home, 0o755); err != nil {
				return err
			}
			if err := os.Symlink(filepath.Join(realHome, "models"), filepath.Join(home, "models")); err != nil {
				return err
			}
			env.Setenv("ISLM_HOME", home)
			env.Setenv("HOME", home)
			env.Setenv("ROOT", root)
			env.Setenv("PLUGINS", plugins)
			env.Setenv("GOCACHE", goCache)
			env.Setenv("GOMODCACHE", goMod)
			env.Setenv("GOFLAGS", "-mod=mod")
			env.Setenv("LANG", "C.UTF-8")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":  exits,
			"faulty": linkFaulty,
			"coded":  func(ts *testscript.TestScript, neg bool, _ []string) { linkFaulty(ts, neg, []string{"coded"}) },
			// trust KEY.pub POLICY names a public key in a policy that ends where it belongs.
			"trust": func(ts *testscript.TestScript, _ bool, args []string) {
				pub := strings.Fields(ts.ReadFile(args[0]))
				ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(strings.ReplaceAll(ts.ReadFile(args[1]), "PUBLIC", pub[len(pub)-1])), 0o644))
			},
			// questions DIR writes prompts and answers.
			"questions": func(ts *testscript.TestScript, _ bool, args []string) {
				d := ts.MkAbs(args[0])
				writeJSONL(t, filepath.Join(d, "train.jsonl"), questions(200, 1))
				writeJSONL(t, filepath.Join(d, "valid.jsonl"), questions(20, 2))
				writeJSONL(t, filepath.Join(d, "test.jsonl"), questions(20, 3))
			},
			// tiny DIR makes a small random BERT, tiny DIR TYPE a model of another type
			// that reads bytes.
			"tiny": func(ts *testscript.TestScript, _ bool, args []string) {
				if len(args) > 1 {
					tinyModel(t, ts.MkAbs(args[0]), args[1])
					return
				}
				tinyBERT(t, ts.MkAbs(args[0]), toyWords, 32)
			},
			// toy DIR N writes toy train, valid and test files.
			"toy": func(ts *testscript.TestScript, _ bool, args []string) {
				d := ts.MkAbs(args[0])
				writeJSONL(t, filepath.Join(d, "train.jsonl"), toySentences(240, 1))
				writeJSONL(t, filepath.Join(d, "valid.jsonl"), toySentences(40, 2))
				writeJSONL(t, filepath.Join(d, "test.jsonl"), toySentences(40, 3))
			},
		},
	})
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("go", "env", name).Output()
	require.NoError(t, err)
	return string(out[:len(out)-1])
}
