//go:build torch

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// block is one fenced block of a document.
type block struct {
	chapter string // "1" of "## 1. Set-up"
	kind    string // sh, text, python
	line    int
	text    string
}

// readBlocks returns the fenced blocks of a Markdown file in their order.
func readBlocks(t *testing.T, path string) []block {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	var out []block
	chapter, open := "", false
	for i, line := range strings.SplitAfter(string(data), "\n") {
		fence := strings.HasPrefix(line, "```")
		switch {
		case fence && !open:
			open = true
			out = append(out, block{chapter: chapter, kind: strings.TrimSpace(strings.TrimPrefix(line, "```")), line: i + 1})
		case fence:
			open = false
		case open:
			out[len(out)-1].text += line
		case strings.HasPrefix(line, "## "):
			chapter, _, _ = strings.Cut(strings.TrimPrefix(line, "## "), ".")
		}
	}
	require.False(t, open, "%s: a block is not closed", path)
	return out
}

// TestTutorialLanguages: both tutorials show the same commands, code and output.
func TestTutorialLanguages(t *testing.T) {
	english, chinese := readBlocks(t, "../../docs/tutorial.md"), readBlocks(t, "../../docs/tutorial.zh-CN.md")
	require.Equal(t, len(english), len(chinese))
	for i, b := range english {
		require.Equal(t, b.chapter, chinese[i].chapter, "block in line %d", b.line)
		require.Equal(t, b.kind, chinese[i].kind, "block in line %d", b.line)
		require.Equal(t, b.text, chinese[i].text, "block in line %d", b.line)
	}
}

// TestTutorial types the tutorial's commands word by word, in one shell that
// stops at the first failure, and looks for the lines that it shows, with other
// numbers.
func TestTutorial(t *testing.T) {
	if testing.Short() {
		t.Skip("it trains for some minutes")
	}
	runBlocks(t, t.TempDir(), readBlocks(t, "../../docs/tutorial.md"))
}

// TestParityTutorial runs the tutorial's Python on the model of the chapter
// before it.
func TestParityTutorial(t *testing.T) {
	python := os.Getenv("ISLM_PARITY_PY")
	if python == "" {
		t.Skip("ISLM_PARITY_PY names no Python; see make parity")
	}
	var train, code []block
	for _, b := range readBlocks(t, "../../docs/tutorial.md") {
		switch {
		case b.kind == "python":
			code = append(code, b)
		case b.chapter == "5":
			train = append(train, b)
		}
	}
	require.NotEmpty(t, train)
	require.NotEmpty(t, code)
	home := t.TempDir()
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	t.Setenv("PATH", filepath.Join(root, "bin")+":"+os.Getenv("PATH"))
	dir := runBlocks(t, home, append([]block{{kind: "sh", text: "mkdir -p \"$HOME/work\"\ncd \"$HOME/work\"\n"}}, train...))
	for _, b := range code {
		cmd := exec.Command(python, "-c", b.text)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "HF_HUB_OFFLINE=1", "HOME="+home)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		require.Regexp(t, `'label': '(good|bad)', 'score': 0\.\d+`, string(out))
	}
}

// runBlocks runs sh blocks in one shell whose HOME is home, beginning in the
// checkout, and compares what they print with the text blocks that follow them.
// It returns the folder in which the shell ends. Only the shell's environment is
// the test's: from the second block on plugins and stages go to a folder of the
// test, which shares libtorch and the models with the real one.
func runBlocks(t *testing.T, home string, blocks []block) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	realHome := os.Getenv("ISLM_HOME")
	if realHome == "" {
		cache, err := os.UserCacheDir()
		require.NoError(t, err)
		realHome = filepath.Join(cache, "islm")
	}
	own := filepath.Join(home, "islm-home")
	require.NoError(t, os.MkdirAll(own, 0o755))
	for _, name := range []string{"libtorch", "models"} {
		require.NoError(t, os.Symlink(filepath.Join(realHome, name), filepath.Join(own, name)))
	}
	printed := func(i int) string { return filepath.Join(home, fmt.Sprintf("block-%d.out", i)) }
	var script strings.Builder
	script.WriteString("set -euo pipefail\n")
	first := true
	for i, b := range blocks {
		if b.kind != "sh" {
			continue
		}
		fmt.Fprintf(&script, "exec >%s 2>&1\n%s", printed(i), b.text)
		if first {
			fmt.Fprintf(&script, "export ISLM_HOME=%s\n", own)
			first = false
		}
	}
	fmt.Fprintf(&script, "pwd >%s\n", filepath.Join(home, "end"))

	cmd := exec.Command("bash", "-c", script.String())
	cmd.Dir = root
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); name != "MAKEFLAGS" && name != "MAKELEVEL" && name != "MFLAGS" {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	cmd.Env = append(cmd.Env, "HOME="+home, "ISLM_HOME="+realHome, "LANG=C.UTF-8")
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPATH"} {
		cmd.Env = append(cmd.Env, name+"="+goEnv(t, name))
	}
	runErr := cmd.Run()
	last := ""
	for i, b := range blocks {
		out, err := os.ReadFile(printed(i))
		if b.kind == "sh" && err == nil {
			last = string(out)
			if runErr != nil && !exists(printed(nextSh(blocks, i))) {
				require.NoError(t, runErr, "block in line %d:\n%s\nit printed:\n%s", b.line, b.text, last)
			}
		}
		if b.kind == "text" && runErr == nil {
			requireLines(t, b, last)
		}
	}
	require.NoError(t, runErr)
	end, err := os.ReadFile(filepath.Join(home, "end"))
	require.NoError(t, err)
	return strings.TrimSpace(string(end))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func nextSh(blocks []block, i int) int {
	for i++; i < len(blocks) && blocks[i].kind != "sh"; i++ {
	}
	return i
}

// requireLines looks for the lines of a text block in what a command printed, in
// their order; … stands for lines left out. Numbers may differ, and so may a
// predicted label before its probability.
func requireLines(t *testing.T, b block, out string) {
	t.Helper()
	have := strings.Split(out, "\n")
	at := 0
	for _, want := range strings.Split(strings.TrimSpace(b.text), "\n") {
		if want = loosen(want); want == "" || want == "…" {
			continue
		}
		for at < len(have) && loosen(have[at]) != want {
			at++
		}
		require.Less(t, at, len(have), "line %d: nothing like %q in:\n%s", b.line, want, out)
		at++
	}
}

var (
	number    = regexp.MustCompile(`[+-]?\d+(\.\d+)?`)
	predicted = regexp.MustCompile(`: \S+ \(N\)$`)
)

func loosen(line string) string {
	line = strings.TrimSuffix(strings.TrimSpace(line), " (best so far)")
	line = number.ReplaceAllString(strings.Join(strings.Fields(line), " "), "N")
	return predicted.ReplaceAllString(line, ": LABEL (N)")
}
