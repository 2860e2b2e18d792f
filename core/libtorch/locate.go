package libtorch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
)

// Install is a folder with lib/ and include/, the "torch" folder of a wheel or
// the root of a libtorch archive.
type Install struct {
	Dir    string
	Origin string // "LIBTORCH", "ISLM_HOME"
}

// Lib is the folder of the shared libraries.
func (in Install) Lib() string { return filepath.Join(in.Dir, "lib") }

// Home is the cache folder of islm: ISLM_HOME, or "islm" under the user's cache folder.
func Home(getenv func(string) string) (string, error) {
	if h := getenv("ISLM_HOME"); h != "" {
		return filepath.Abs(h)
	}
	if c := getenv("XDG_CACHE_HOME"); c != "" {
		return filepath.Join(c, "islm"), nil
	}
	h := getenv("HOME")
	if h == "" {
		return "", errors.New("neither ISLM_HOME nor HOME is set: set ISLM_HOME to a folder that islm may write to")
	}
	return filepath.Join(h, ".cache", "islm"), nil
}

// Root is where bootstrap unpacks libtorch: the parent of torch/ and nvidia/.
func Root(home string) string { return filepath.Join(home, "libtorch", Version) }

// Locate returns the installation that commands use: LIBTORCH if set, else the
// one in ISLM_HOME. It does not look inside; Check does.
func Locate(getenv func(string) string) (Install, error) {
	if dir := getenv("LIBTORCH"); dir != "" {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return Install{}, fmt.Errorf("resolve LIBTORCH: %w", err)
		}
		return Install{Dir: abs, Origin: "LIBTORCH"}, nil
	}
	home, err := Home(getenv)
	if err != nil {
		return Install{}, err
	}
	return Install{Dir: filepath.Join(Root(home), "torch"), Origin: "ISLM_HOME"}, nil
}

var (
	versionPy    = regexp.MustCompile(`__version__ = '([^']+)'`)
	versionMacro = regexp.MustCompile(`#define TORCH_VERSION_(MAJOR|MINOR|PATCH) (\d+)`)
)

// InstalledVersion reads the version from version.py, build-version or the headers,
// whichever is there.
func (in Install) InstalledVersion() (string, error) {
	if b, err := os.ReadFile(filepath.Join(in.Dir, "version.py")); err == nil {
		if m := versionPy.FindSubmatch(b); m != nil {
			return string(m[1]), nil
		}
	}
	if b, err := os.ReadFile(filepath.Join(in.Dir, "build-version")); err == nil && len(b) > 0 {
		return string(regexp.MustCompile(`\s+`).ReplaceAll(b, nil)), nil
	}
	for _, h := range []string{"include/torch/headeronly/version.h", "include/torch/csrc/api/include/torch/version.h"} {
		b, err := os.ReadFile(filepath.Join(in.Dir, h))
		if err != nil {
			continue
		}
		part := map[string]string{}
		for _, m := range versionMacro.FindAllSubmatch(b, -1) {
			part[string(m[1])] = string(m[2])
		}
		if len(part) == 3 {
			return part["MAJOR"] + "." + part["MINOR"] + "." + part["PATCH"], nil
		}
	}
	return "", fmt.Errorf("no version.py, build-version or version.h under %s", in.Dir)
}
