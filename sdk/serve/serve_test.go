package serve

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/stats"

	"github.com/islm-dev/islm/sdk"
)

func domain(manifest string) sdk.Domain {
	return sdk.Domain{FS: fstest.MapFS{"domain.yaml": {Data: []byte(manifest)}}}
}

const small = "schema: islm/domain.v0\nname: energy\nversion: 0.1.0\nsummary: Outage tickets.\n"

func TestRunByHand(t *testing.T) {
	for _, c := range []struct {
		name     string
		manifest string
		args     []string
		code     int
		out, err string
	}{
		{"nothing", small, nil, 2, "", "islm plugin install /x/islm-plugin-energy"},
		{"nothing, broken", "", nil, 2, "", "islm train --domain energy"},
		{"help", small, []string{"--help"}, 0, "Outage tickets.", ""},
		{"version", small, []string{"version"}, 0, "energy 0.1.0 (sdk " + sdk.Version, ""},
		{"describe", small, []string{"describe"}, 0, `"name": "energy"`, ""},
		{"describe, broken", small + "nmae: x\n", []string{"describe"}, 1, `"code": "yaml.unknown-key"`, `did you mean "name"?`},
		{"unknown", small, []string{"train"}, 2, "", `unknown command "train"`},
		{"too much", small, []string{"describe", "x"}, 2, "", `unknown command "describe x"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := run(domain(c.manifest), append([]string{"/x/islm-plugin-energy"}, c.args...), &stdout, &stderr, func(string) string { return "" })
			require.Equal(t, c.code, code)
			require.Contains(t, stdout.String(), c.out)
			require.Contains(t, stderr.String(), c.err)
			if c.out == "" {
				require.Empty(t, stdout.String())
			}
			if len(c.args) == 1 && c.args[0] == "describe" {
				require.True(t, json.Valid(stdout.Bytes()))
			}
		})
	}
}

func TestLifecycle(t *testing.T) {
	stopped := make(chan time.Time, 8)
	l := newLifecycle()
	l.begin(func() { stopped <- time.Now() })
	begin, end := &stats.ConnBegin{}, &stats.ConnEnd{}
	l.HandleConn(t.Context(), begin)
	l.HandleConn(t.Context(), begin)
	l.HandleConn(t.Context(), end)
	time.Sleep(2 * lingerAfter)
	require.Empty(t, stopped, "one connection is left")
	l.HandleConn(t.Context(), end)
	l.HandleConn(t.Context(), begin) // comes back at once
	time.Sleep(2 * lingerAfter)
	require.Empty(t, stopped)
	l.HandleConn(t.Context(), end)
	at := time.Now()
	select {
	case when := <-stopped:
		require.GreaterOrEqual(t, when.Sub(at), lingerAfter-20*time.Millisecond)
	case <-time.After(5 * time.Second):
		t.Fatal("not stopped")
	}
}

func TestRemoveSocketFolder(t *testing.T) {
	base := t.TempDir()
	ours, full, other := filepath.Join(base, "islm-1"), filepath.Join(base, "islm-2"), filepath.Join(base, "other")
	for _, dir := range []string{ours, full, other} {
		require.NoError(t, os.Mkdir(dir, 0o700))
		removeSocketFolder(dir + "/gone")
	}
	require.NoError(t, os.WriteFile(filepath.Join(full, "x"), nil, 0o600))
	for _, dir := range []string{ours, full, other, ""} {
		removeSocketFolder(dir)
	}
	require.NoDirExists(t, ours)
	require.DirExists(t, full)
	require.DirExists(t, other)
}
