package report

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestProvenance(t *testing.T) {
	path := filepath.Join(t.TempDir(), "provenance.json")
	p := sampleProvenance()
	require.NoError(t, p.Save(path))
	back, err := LoadProvenance(path)
	require.NoError(t, err)
	require.Equal(t, p, back)

	own := NewProvenance(time.Date(2026, 1, 2, 3, 4, 5, 6, time.FixedZone("x", 3600)), []string{"/opt/islm/bin/islm", "train"})
	require.Equal(t, "2026-01-02T02:04:05Z", own.Created.Format(time.RFC3339Nano))
	require.Equal(t, []string{"islm", "train"}, own.Command)
	require.NotEmpty(t, own.Software["go"])
	require.Positive(t, own.Environment.Cores)
	require.NoError(t, own.Save(path))
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	if host, err := os.Hostname(); err == nil && len(host) > 5 {
		require.NotContains(t, string(data), host)
	}

	require.NoError(t, os.WriteFile(path, []byte(`{"schema":"islm/provenance.v9"}`), 0o600))
	_, err = LoadProvenance(path)
	require.ErrorContains(t, err, "islm/provenance.v9")
}

func TestCleanArgs(t *testing.T) {
	require.Equal(t,
		[]string{"islm", "train", "--data", "…/news", "--out=…/x", "--set", "data.train=…/a.jsonl", "--set=data.test=…/b", "--base", "org/name", "--token", "…", "--hf-token=…", "--set=domain.options.api_key=…", "data/local"},
		CleanArgs([]string{"/usr/bin/islm", "train", "--data", "/home/alice/news", "--out=/tmp/x", "--set", "data.train=/home/alice/a.jsonl", "--set=data.test=~/b", "--base", "org/name", "--token", "hf_123", "--hf-token=hf_123", "--set=domain.options.api_key=abc", "data/local"}))
}

func TestDigests(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	require.NoError(t, os.WriteFile(path, []byte("abc"), 0o600))
	digest, size, err := DigestFile(path)
	require.NoError(t, err)
	require.Equal(t, "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", digest)
	require.EqualValues(t, 3, size)
	_, _, err = DigestFile(path + "x")
	require.Error(t, err)

	a := fstest.MapFS{"b/c": {Data: []byte("1")}, "a": {Data: []byte("22")}, "x.tmp": {Data: []byte("3")}}
	keep := func(path string) bool { return !strings.HasSuffix(path, ".tmp") }
	one, size, err := DigestTree(a, keep)
	require.NoError(t, err)
	require.EqualValues(t, 3, size)
	delete(a, "x.tmp")
	two, _, err := DigestTree(a, nil)
	require.NoError(t, err)
	require.Equal(t, one, two)
	a["b/d"] = a["b/c"]
	delete(a, "b/c")
	three, _, err := DigestTree(a, nil)
	require.NoError(t, err)
	require.NotEqual(t, two, three, "names count")
}

func TestRuns(t *testing.T) {
	dir := t.TempDir()
	islm := func(run string) string {
		path := filepath.Join(dir, run, "islm")
		require.NoError(t, os.MkdirAll(path, 0o755))
		return path
	}
	m := sampleMetrics()
	require.NoError(t, m.Save(filepath.Join(islm("金融"), "metrics.json")))
	require.NoError(t, sampleProvenance().Save(filepath.Join(islm("金融"), "provenance.json")))
	log, err := OpenLog(filepath.Join(islm("stopped"), "log.jsonl"))
	require.NoError(t, err)
	require.NoError(t, log.Append(Entry{Kind: "step", Step: 17}))
	require.NoError(t, log.Close())
	require.NoError(t, os.WriteFile(filepath.Join(islm("torn"), "metrics.json"), []byte("{"), 0o600))
	islm("half.tmp")
	require.NoError(t, os.Mkdir(filepath.Join(dir, "notes"), 0o755))

	runs, err := Runs(dir)
	require.NoError(t, err)
	require.Len(t, runs, 3)
	byName := map[string]Run{}
	for _, r := range runs {
		byName[r.Name] = r
	}
	require.Equal(t, "金融", runs[2].Name, "the oldest is last")
	require.Equal(t, RunDone, byName["金融"].State)
	require.Equal(t, []string{"finance"}, byName["金融"].Plugins)
	require.Equal(t, RunUnfinished, byName["stopped"].State)
	require.Equal(t, 17, byName["stopped"].Step)
	require.Equal(t, RunBroken, byName["torn"].State)
	require.NotEmpty(t, byName["torn"].Problem)

	table := RunTable(runs)
	for _, want := range []string{"金融", "all-MiniLM-L6-v2", "sentiment", "0.849", "6:53", "unfinished", "broken"} {
		require.Contains(t, table, want)
	}
	run := byName["金融"]
	text := RunText(&run)
	require.Contains(t, text, "precision")
	require.Contains(t, text, "resumed from     step 400")
	torn := byName["torn"]
	require.Contains(t, RunText(&torn), "problem")

	none, err := Runs(filepath.Join(dir, "absent"))
	require.NoError(t, err)
	require.Empty(t, none)
	_, err = OpenRun(filepath.Join(dir, "notes"))
	require.ErrorContains(t, err, "open run")
}
