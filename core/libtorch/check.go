package libtorch

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/islm-dev/islm/sdk"
)

// Check looks at the installation without loading it: version, C++ ABI, the
// shared libraries that its CPU half needs and, when gpu is set, those that its
// CUDA half needs. All problems are returned at once.
func Check(in Install, gpu bool) sdk.Diagnostics {
	var ds sdk.Diagnostics
	bootstrap := "run 'make bootstrap'"
	if in.Origin == "LIBTORCH" {
		bootstrap = fmt.Sprintf("point LIBTORCH at a libtorch %s, or unset it and run 'make bootstrap'", Version)
	}
	if st, err := os.Stat(in.Dir); err != nil || !st.IsDir() {
		return append(ds, problem("libtorch.missing", in.Dir, "libtorch is not installed here", bootstrap))
	}
	got, err := in.InstalledVersion()
	switch base, _, _ := strings.Cut(got, "+"); {
	case err != nil:
		ds = append(ds, problem("libtorch.version", in.Dir, "the folder does not say which libtorch it holds: "+err.Error(), bootstrap))
	case base != Version:
		ds = append(ds, problem("libtorch.version", in.Dir, fmt.Sprintf("libtorch %s found, islm is built for %s", got, Version), bootstrap))
	}
	core := filepath.Join(in.Lib(), "libc10.so")
	if old, err := oldABI(core); err != nil {
		if !errors.Is(err, fs.ErrNotExist) { // an absent file is reported as missing below
			ds = append(ds, problem("libtorch.corrupt", core, "the library cannot be read: "+err.Error(), bootstrap))
		}
	} else if old {
		ds = append(ds, problem("libtorch.abi", core, "this libtorch uses the C++ ABI from before C++11 (_GLIBCXX_USE_CXX11_ABI=0)",
			"use the build with the C++11 ABI; "+bootstrap))
	}
	for _, name := range []string{"libtorch_cpu.so", "libc10.so"} {
		ds = append(ds, missing(in, name, "libtorch.library", bootstrap)...)
	}
	if gpu {
		for _, name := range []string{"libtorch_cuda.so", "libc10_cuda.so"} {
			ds = append(ds, missing(in, name, "libtorch.cuda", "run 'make bootstrap GPU=1'")...)
		}
	}
	return dedupe(ds)
}

func problem(code, file, summary, remedy string) sdk.Diagnostic {
	return sdk.Diagnostic{Severity: sdk.Error, Code: code, Summary: summary, File: file, Remedy: remedy, Source: "host"}
}

func dedupe(ds sdk.Diagnostics) sdk.Diagnostics {
	seen := map[string]bool{}
	return slices.DeleteFunc(ds, func(d sdk.Diagnostic) bool {
		k := d.Code + "\x00" + d.Summary
		defer func() { seen[k] = true }()
		return seen[k]
	})
}

// oldABI reports whether the library's own functions take the std::string of
// before GCC 5. The mangled name of the new one holds "__cxx11".
func oldABI(lib string) (bool, error) {
	f, err := elf.Open(lib)
	if err != nil {
		return false, err
	}
	defer f.Close()
	syms, err := f.DynamicSymbols()
	if err != nil {
		return false, fmt.Errorf("read its symbols: %w", err)
	}
	fresh, old := 0, 0
	for _, s := range syms {
		if s.Section == elf.SHN_UNDEF || !strings.HasPrefix(s.Name, "_ZN3c10") {
			continue
		}
		switch {
		case strings.Contains(s.Name, "7__cxx1112basic_string"):
			fresh++
		case strings.Contains(s.Name, "RKSs"), strings.Contains(s.Name, "ESs"):
			old++
		}
	}
	return old > fresh, nil
}

// missing follows the DT_NEEDED entries from one library of the installation
// and reports every one that the dynamic loader would not find.
func missing(in Install, name, code, remedy string) sdk.Diagnostics {
	var ds sdk.Diagnostics
	start := filepath.Join(in.Lib(), name)
	if _, err := os.Stat(start); err != nil {
		return append(ds, problem(code, start, "shared library "+name+" is missing", remedy))
	}
	seen := map[string]bool{}
	var walk func(path string)
	walk = func(path string) {
		if seen[path] {
			return
		}
		seen[path] = true
		f, err := elf.Open(path)
		if err != nil {
			ds = append(ds, problem("libtorch.corrupt", path, "the library cannot be read: "+err.Error(), remedy))
			return
		}
		needed, _ := f.ImportedLibraries()
		dirs := searchPath(f, path)
		f.Close()
		for _, lib := range needed {
			if strings.HasPrefix(lib, "ld-linux") {
				continue
			}
			found, system := find(lib, dirs)
			switch {
			case found == "":
				ds = append(ds, problem(code, path, fmt.Sprintf("%s needs %s, which is not on the machine", filepath.Base(path), lib), remedy))
			case !system: // the system's own libraries are complete by their package manager
				walk(found)
			}
		}
	}
	walk(start)
	return ds
}

func searchPath(f *elf.File, path string) []string {
	var dirs []string
	origin := filepath.Dir(path)
	for _, tag := range []elf.DynTag{elf.DT_RPATH, elf.DT_RUNPATH} {
		vals, _ := f.DynString(tag)
		for _, v := range vals {
			for d := range strings.SplitSeq(v, ":") {
				dirs = append(dirs, filepath.Clean(strings.ReplaceAll(strings.ReplaceAll(d, "${ORIGIN}", origin), "$ORIGIN", origin)))
			}
		}
	}
	for d := range strings.SplitSeq(os.Getenv("LD_LIBRARY_PATH"), ":") {
		if d != "" {
			dirs = append(dirs, d)
		}
	}
	// A library already loaded satisfies later needs by its name, so the
	// installation's own folder counts even without an rpath.
	return append(dirs, origin)
}

var systemDirs = [...]string{"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/usr/lib/aarch64-linux-gnu",
	"/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib", "/usr/local/cuda/lib64", "/usr/local/nvidia/lib64"}

func find(lib string, dirs []string) (path string, system bool) {
	for _, d := range dirs {
		if p := filepath.Join(d, lib); exists(p) {
			return p, false
		}
	}
	for _, d := range systemDirs {
		if p := filepath.Join(d, lib); exists(p) {
			return p, true
		}
	}
	return "", false
}

func exists(p string) bool {
	_, err := os.Stat(p)
	return err == nil
}
