//go:build torch

package main

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/metric"
)

// testdata is the folder of public data sets that measurements use.
func testdata(t testing.TB, name string) string {
	t.Helper()
	root := os.Getenv("ISLM_TESTDATA")
	if root == "" {
		root = "../../../shared/data"
	}
	path := filepath.Join(root, name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("the test data %s are not at %s: set ISLM_TESTDATA", name, root)
	}
	return path
}

// Chinese text works throughout: a small random Chinese model learns to tell
// good reviews from bad ones, and its answers and report are in Chinese.
func TestChineseReviews(t *testing.T) {
	reviews := testdata(t, "general/zh-chnsenticorp")
	work := t.TempDir()
	t.Setenv("ISLM_HOME", filepath.Join(work, "home"))
	base, out := filepath.Join(work, "base"), filepath.Join(work, "model")
	tinyBERT(t, base, characters(t, filepath.Join(reviews, "train.jsonl")), 64)
	log, err := islm(t, "train", "--base", base, "--out", out, "--quiet", "--seed", "1",
		"--set", "data.train="+filepath.Join(reviews, "train.jsonl"), "--set", "data.valid="+filepath.Join(reviews, "dev_clean.jsonl"), "--set", "data.test="+filepath.Join(reviews, "test_clean.jsonl"),
		"--set", "data.max_length=64", "--set", "train.epochs=2", "--set", "train.lr=1e-3", "--set", "train.batch_size=32", "--set", "train.precision=fp32").CombinedOutput()
	require.NoError(t, err, string(log))
	m, err := metric.Load(filepath.Join(out, "islm", "metrics.json"))
	require.NoError(t, err)
	require.Len(t, m.Heads, 1)
	for name, r := range m.Heads {
		t.Logf("%s: accuracy %.3f, majority %.3f, before %.3f", name, r.Accuracy, r.Majority.Accuracy, m.Before[name].Accuracy)
		require.Greater(t, r.Accuracy, r.Majority.Accuracy+0.1)
	}
	const text = "房间太小，服务态度差，再也不会来了。"
	raw, err := islm(t, "predict", "--model", out, "--text", text, "--json").Output()
	require.NoError(t, err)
	var a struct{ Text string }
	require.NoError(t, json.Unmarshal(raw, &a))
	require.Equal(t, text, a.Text)
	page, err := os.ReadFile(filepath.Join(out, "islm", "report.html"))
	require.NoError(t, err)
	require.Contains(t, string(page), "酒店")
}

// characters lists the Han characters and word pieces that a file needs, the
// most frequent 4,000.
func characters(t *testing.T, path string) []string {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	count := map[rune]int{}
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		var row struct{ Text string }
		require.NoError(t, json.Unmarshal(sc.Bytes(), &row))
		for _, r := range row.Text {
			count[r]++
		}
	}
	require.NoError(t, sc.Err())
	var all []rune
	for r := range count {
		if r > ' ' {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b rune) int {
		if count[a] != count[b] {
			return count[b] - count[a]
		}
		return int(a - b)
	})
	var pieces []string
	for _, r := range all[:min(4000, len(all))] {
		pieces = append(pieces, string(r))
		if r < 128 {
			pieces = append(pieces, "##"+string(r))
		}
	}
	return pieces
}
