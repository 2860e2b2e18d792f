package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/islm-dev/islm/core/libtorch"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

// engine returns the tensor engine. In the pure binary it does not return on
// success: the process becomes islm-torch and starts the same command again.
func (a *app) engine() (recipe.Engine, error) {
	if e := newEngine(); e != nil {
		return e, nil
	}
	return nil, a.becomeTorch()
}

// becomeTorch checks libtorch and replaces this process.
func (a *app) becomeTorch() error {
	in, err := libtorch.Locate(a.getenv)
	if err != nil {
		return err
	}
	if ds := libtorch.Check(in, false); ds.HasErrors() {
		return &sdk.DiagnosticsError{Diagnostics: ds, Fatal: true}
	}
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program's own path: %w", err)
	}
	if exe, err = filepath.EvalSymlinks(exe); err != nil {
		return fmt.Errorf("resolve this program's own path: %w", err)
	}
	torch := filepath.Join(filepath.Dir(exe), "libexec", "islm-torch")
	if _, err := os.Stat(torch); err != nil {
		return &sdk.DiagnosticsError{Fatal: true, Cause: err, Diagnostics: sdk.Diagnostics{{Severity: sdk.Error, Code: "islm.no-engine", File: torch,
			Summary: "this command needs tensors, and islm-torch is not installed beside islm", Remedy: "run 'make build', or keep bin/libexec beside bin/islm"}}}
	}
	if err := syscall.Exec(torch, append([]string{os.Args[0]}, os.Args[1:]...), torchEnv(os.Environ(), in)); err != nil {
		return fmt.Errorf("start %s: %w", torch, err)
	}
	return nil
}

// torchEnv is the environment that libtorch reads while it is loaded. What the
// user has set wins.
func torchEnv(env []string, in libtorch.Install) []string {
	has := func(key string) bool {
		for _, kv := range env {
			if strings.HasPrefix(kv, key+"=") {
				return true
			}
		}
		return false
	}
	add := func(key, value string) {
		if !has(key) {
			env = append(env, key+"="+value)
		}
	}
	// The binary's rpath names the libtorch it was linked with; another one
	// comes in through the loader's path.
	if in.Origin == "LIBTORCH" {
		path := in.Lib()
		for i, kv := range env {
			if old, ok := strings.CutPrefix(kv, "LD_LIBRARY_PATH="); ok {
				path += ":" + old
				env = append(env[:i:i], env[i+1:]...)
				break
			}
		}
		env = append(env, "LD_LIBRARY_PATH="+path)
	}
	// One arena per thread would keep freed tensors of every thread; large blocks
	// are given back to the kernel at once otherwise, which costs a fault per page.
	add("MALLOC_ARENA_MAX", "2")
	add("MALLOC_MMAP_THRESHOLD_", "1073741824")
	add("MALLOC_TRIM_THRESHOLD_", "1073741824")
	add("MALLOC_TOP_PAD_", "67108864")
	return env
}
