package catalog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/islm-dev/islm/sdk"
)

// describeTimeout bounds the `describe` command of a plugin.
const describeTimeout = 20 * time.Second

// maxDescription bounds its output, as it bounds a message of the protocol.
const maxDescription = 16 << 20

// Build compiles the Go package main in a folder into a binary. What the compiler
// says becomes diagnostics in the error, one for each place.
func Build(ctx context.Context, dir, binary string) error {
	tool, err := exec.LookPath("go")
	if err != nil {
		return problem(sdk.Diagnostic{Code: "plugin.build", Summary: "a plugin's source folder needs the Go toolchain, and there is no `go` in PATH", File: dir,
			Remedy: "install Go 1.26 or newer (https://go.dev/dl), or install the plugin's binary instead"})
	}
	list, errText, err := run(ctx, dir, tool, "list", "-f", "{{.Name}}", ".")
	if err == nil && strings.TrimSpace(list) != "main" {
		return problem(sdk.Diagnostic{Code: "plugin.build", Summary: fmt.Sprintf("the folder holds package %s, not package main", strings.TrimSpace(list)), File: dir,
			Remedy: "name the folder of the plugin's main.go, or start with: islm plugin new NAME", Source: sdk.FromPlugin})
	}
	if err == nil {
		_, errText, err = run(ctx, dir, tool, "build", "-trimpath", "-buildvcs=false", "-o", binary, ".")
	}
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("build plugin %s: %w", dir, context.Cause(ctx))
	}
	return buildProblem(dir, errText)
}

var compilerLine = regexp.MustCompile(`^(?:vet: )?(\S+\.go):(\d+):(?:(\d+):)? (.*)$`)

func buildProblem(dir, text string) error {
	var diags sdk.Diagnostics
	var rest []string
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		m := compilerLine.FindStringSubmatch(line)
		if m == nil {
			if line != "" && !strings.HasPrefix(line, "# ") {
				rest = append(rest, line)
			}
			continue
		}
		file := m[1]
		if !filepath.IsAbs(file) {
			file = filepath.Join(dir, file)
		}
		// A number that the pattern admits can only be too large, which no line is.
		at, _ := strconv.Atoi(m[2])
		column, _ := strconv.Atoi(m[3])
		diags.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "plugin.build", Summary: m[4], File: file, Line: at, Column: column, Source: sdk.FromPlugin})
	}
	detail := strings.Join(rest[max(0, len(rest)-20):], "\n")
	if len(diags) == 0 {
		d := sdk.Diagnostic{Severity: sdk.Error, Code: "plugin.build", Summary: "the plugin cannot be built", Detail: detail, File: dir, Source: sdk.FromPlugin}
		switch {
		case strings.Contains(text, "go.mod file not found"), strings.Contains(text, "no required module provides"), strings.Contains(text, "missing go.sum entry"), strings.Contains(text, "updates to go.mod needed"):
			d.Remedy = "run `go mod tidy` in the folder"
		case strings.Contains(text, "no Go files"):
			d.Remedy = "name the folder that holds the plugin's main.go"
		}
		diags.Add(d)
	} else if detail != "" {
		diags[len(diags)-1].Detail = detail
	}
	return &sdk.DiagnosticsError{Diagnostics: diags}
}

// run executes a command and returns what it wrote.
func run(ctx context.Context, dir, name string, args ...string) (stdout, stderr string, err error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.WaitDelay = time.Second
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// describe runs BINARY describe and reads the description it prints.
func describe(ctx context.Context, binary string) (*sdk.Description, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, describeTimeout, errSlow)
	defer cancel()
	path, err := filepath.Abs(binary) // a bare name would be looked for in PATH
	if err != nil {
		return nil, fmt.Errorf("describe plugin %s: %w", binary, err)
	}
	cmd := exec.CommandContext(ctx, path, "describe")
	cmd.Env = environment(os.Environ())
	out, errs := &bounded{limit: maxDescription}, &bounded{limit: 64 << 10}
	cmd.Stdout, cmd.Stderr = out, errs
	cmd.WaitDelay = time.Second
	err = cmd.Run()
	fail := func(summary string, cause error) (*sdk.Description, error) {
		return nil, &sdk.DiagnosticsError{Fatal: true, Cause: cause, Diagnostics: sdk.Diagnostics{{
			Severity: sdk.Error, Code: "plugin.describe", Summary: summary, File: binary, Detail: tail(errs.String(), 20),
			Remedy: "run it by hand: " + binary + " describe", Source: sdk.FromPlugin}}}
	}
	switch {
	case errors.Is(context.Cause(ctx), errSlow):
		return fail(fmt.Sprintf("`describe` did not end within %s", describeTimeout), errSlow)
	case ctx.Err() != nil:
		return nil, fmt.Errorf("describe plugin %s: %w", binary, context.Cause(ctx))
	case out.over:
		return fail(fmt.Sprintf("`describe` prints more than %d MiB", maxDescription>>20), nil)
	case err != nil && out.Len() == 0:
		return fail(fmt.Sprintf("the binary does not describe itself: %v", err), err)
	}
	var desc sdk.Description
	dec := json.NewDecoder(bytes.NewReader(out.Bytes()))
	if jsonErr := dec.Decode(&desc); jsonErr != nil {
		return fail("`describe` prints no description: "+jsonErr.Error(), jsonErr)
	}
	if _, moreErr := dec.Token(); !errors.Is(moreErr, io.EOF) {
		return fail("`describe` prints more than its description", nil)
	}
	if err != nil && !desc.Diagnostics.HasErrors() { // a domain with errors may exit with 1
		return fail(fmt.Sprintf("`describe` failed: %v", err), err)
	}
	return &desc, nil
}

var errSlow = errors.New("too slow")

// environment is what a plugin gets of the user's environment.
func environment(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(kv string) bool {
		key, _, _ := strings.Cut(kv, "=")
		return key != "HOME" && key != "PATH" && key != "TMPDIR" && !strings.HasPrefix(key, "ISLM_")
	})
}

// bounded keeps the first bytes written to it.
type bounded struct {
	bytes.Buffer
	limit int
	over  bool
}

func (b *bounded) Write(p []byte) (int, error) {
	room := b.limit - b.Len()
	if len(p) > room {
		b.over = true
		b.Buffer.Write(p[:max(room, 0)])
		return len(p), nil
	}
	return b.Buffer.Write(p)
}

func tail(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
