//go:build unix

package sdktest

import (
	"context"
	"fmt"
	"iter"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	goplugin "github.com/hashicorp/go-plugin"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/sdk"
	"github.com/islm-dev/islm/sdk/internal/wire"
	"github.com/islm-dev/islm/sdk/serve"
)

const modeKey = "ISLM_SDKTEST_MODE"

// TestMain makes the test binary also the plugins that the tests start.
func TestMain(m *testing.M) {
	if mode := os.Getenv(modeKey); mode != "" {
		as(mode)
		return
	}
	os.Exit(m.Run())
}

func as(mode string) {
	byHost := os.Getenv(wire.CookieKey) != ""
	d := goodDomain()
	switch mode {
	case "good":
	case "dies":
		os.Exit(3)
	case "prints-first":
		fmt.Println("loading models")
	case "nonsense":
		fmt.Println("1|9|pigeon|here|smoke")
		time.Sleep(time.Minute)
	case "content-by-hand":
		if !byHost {
			os.Exit(0)
		}
	case "describes-otherwise":
		if !byHost {
			edit(&d, "domain.yaml", "Outage tickets", "Other tickets")
		}
	case "prints-later":
		d.Terms = func(context.Context) iter.Seq2[sdk.Term, error] {
			fmt.Println("computing terms")
			return stream[sdk.Term]()
		}
	case "logs-text":
		fmt.Fprintln(os.Stderr, "reading my files")
	case "closes-slowly":
		if byHost {
			closeSlowly()
			return
		}
	case "stays", "leaves-socket":
		stay(mode, d)
		return
	}
	serve.Main(d)
}

// closeSlowly lets another process be the plugin and outlives it.
func closeSlowly() {
	exe, err := os.Executable()
	if err != nil {
		os.Exit(1)
	}
	child := exec.Command(exe)
	child.Env = append(os.Environ(), modeKey+"=good")
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	if err := child.Run(); err != nil {
		os.Exit(1)
	}
	time.Sleep(20 * time.Second)
}

// stay is a plugin that does without the lifecycle of package serve.
func stay(mode string, d sdk.Domain) {
	if os.Getenv("PLUGIN_CLIENT_CERT") != "" || os.Getenv(wire.CookieKey) == "" { // a host that wants TLS
		serve.Main(d)
	}
	dir := os.Getenv(goplugin.EnvUnixSocketDir)
	lis, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "s"), Net: "unix"})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	lis.SetUnlinkOnClose(false)
	fmt.Printf("1|%d|unix|%s|grpc|\n", wire.ProtocolMajor, filepath.Join(dir, "s"))
	ctx := context.Background()
	if mode == "leaves-socket" {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 700*time.Millisecond)
		defer cancel()
	}
	if err := serve.On(ctx, d, lis, nil); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

func TestProgram(t *testing.T) {
	binary := copySelf(t, "islm-plugin-energy")
	t.Setenv(modeKey, "good")
	r, err := Run(t.Context(), binary, Options{})
	require.NoError(t, err)
	require.True(t, r.OK(), "%s", r)
	assert.Zero(t, r.Count(Skipped), "%s", r)
	assert.Len(t, r.Results, len(Checks()))
	left, err := filepath.Glob(filepath.Join(os.TempDir(), wire.SocketPrefix+"*"))
	require.NoError(t, err)
	for _, dir := range left { // other tests of this machine may run now
		st, err := os.Stat(dir)
		assert.False(t, err == nil && st.ModTime().After(r.Started) && strings.Contains(readDir(dir), "plugin"), dir)
	}
}

func readDir(dir string) string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return ""
	}
	return fmt.Sprint(entries)
}

func TestBrokenProcess(t *testing.T) {
	for _, b := range brokenDomains() {
		if b.mode == "" {
			continue
		}
		t.Run(b.check+"/"+b.name, func(t *testing.T) {
			name := b.file
			if name == "" {
				name = "islm-plugin-energy"
			}
			binary := copySelf(t, name)
			t.Setenv(modeKey, b.mode)
			only := []string{b.check}
			if b.mode == "prints-later" {
				only = append(only, "vocab.unique")
			}
			r, err := Run(t.Context(), binary, Options{Only: only})
			require.NoError(t, err)
			i := slices.IndexFunc(r.Results, func(x Result) bool { return x.ID == b.check })
			require.GreaterOrEqual(t, i, 0)
			assert.Equal(t, Failed, r.Results[i].Status, "%s", r)
			assert.NotContains(t, r.String(), "the check broke")
		})
	}
}

func TestRunOfNothing(t *testing.T) {
	_, err := Run(t.Context(), filepath.Join(t.TempDir(), "nothing"), Options{})
	require.Error(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	t.Setenv(modeKey, "good")
	_, err = Run(ctx, copySelf(t, "islm-plugin-energy"), Options{})
	require.ErrorIs(t, err, context.Canceled)
}
