//go:build unix

package host_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/sdk"
	"github.com/islm-dev/islm/sdk/host"
	"github.com/islm-dev/islm/sdk/serve"
)

// launch starts the test binary as a plugin.
func launch(t *testing.T, mode string, change func(*host.Config)) (*host.Plugin, error) {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	c := host.Config{Path: exe, Name: "testing", Args: []string{"-as=" + mode}, Dev: true}
	if change != nil {
		change(&c)
	}
	p, err := host.Launch(context.Background(), c)
	if err == nil {
		t.Cleanup(p.Close)
	}
	return p, err
}

func started(t *testing.T) *host.Plugin {
	t.Helper()
	p, err := launch(t, "plugin", nil)
	require.NoError(t, err)
	return p
}

// inProcess serves the test domain without a process.
func inProcess(t *testing.T, d sdk.Domain) *host.Plugin {
	t.Helper()
	lis, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- serve.On(ctx, d, lis, nil) }()
	p, err := host.Dial(context.Background(), func(ctx context.Context) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "unix", lis.Addr().String())
	}, host.Config{Name: "testing"})
	require.NoError(t, err)
	t.Cleanup(func() {
		p.Close()
		cancel()
		require.NoError(t, <-served)
	})
	return p
}

// only returns the one diagnostic of a fatal error.
func only(t *testing.T, err error) sdk.Diagnostic {
	t.Helper()
	require.Error(t, err)
	ds, fatal, ok := sdk.DiagnosticsOf(err)
	require.True(t, ok, "no diagnostics in: %v", err)
	require.True(t, fatal)
	require.Len(t, ds, 1)
	return ds[0]
}

func read(p *host.Plugin, dataset string) ([]sdk.Example, sdk.Diagnostics, error) {
	return sdk.Collect(p.Read(context.Background(), sdk.ReadRequest{Dataset: dataset}))
}

func TestDescribe(t *testing.T) {
	p := started(t)
	want, ds := sdk.Load(testDomain())
	require.Empty(t, ds)
	for range 2 {
		got, err := p.Describe(context.Background())
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(want.Description(nil), got))
	}
	require.Equal(t, "testing", p.Name())
	require.Equal(t, 2e-5, p.Description().Advice["train"].(map[string]any)["lr"])
	require.Equal(t, 4, p.Description().Advice["train"].(map[string]any)["epochs"])
}

func TestStreams(t *testing.T) {
	for name, p := range map[string]*host.Plugin{"process": started(t), "in process": inProcess(t, testDomain())} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			terms, ds, err := sdk.Collect(p.Vocabulary(ctx))
			require.NoError(t, err)
			require.Empty(t, ds)
			require.Len(t, terms, 2002)
			require.Equal(t, sdk.Term{Text: "outage", Kind: "event", Synonyms: []string{"blackout", "power cut"}}, terms[0])
			require.Equal(t, "tariff 1999", terms[2001].Text)

			rules, _, err := sdk.Collect(p.Rules(ctx))
			require.NoError(t, err)
			require.Len(t, rules, 1)
			require.Contains(t, string(rules[0].Data), "func: upper")

			facts, _, err := sdk.Collect(p.Facts(ctx))
			require.NoError(t, err)
			require.Len(t, facts, 3)
			require.Equal(t, &sdk.Entity{ID: "op:acme", Type: "Operator", Names: []string{"Acme", "Acme Power"}, Props: map[string]string{"country": "DE"}}, facts[0].Entity)
			require.Equal(t, &sdk.Fact{Subject: "op:acme", Relation: "rivals", Object: "op:zeta", Weight: 0.5, Source: "made up"}, facts[2].Fact)

			rows, ds, err := read(p, "tickets")
			require.NoError(t, err)
			require.Empty(t, ds)
			require.Len(t, rows, 3)
			require.Equal(t, sdk.Example{ID: "tickets.train:1", Text: "The lights are out.", File: "data/tickets.train.jsonl", Line: 1,
				Labels: map[string]sdk.Label{"intent": {Values: []string{"outage"}}}}, rows[0])

			rows, _, err = sdk.Collect(p.Read(ctx, sdk.ReadRequest{Dataset: "count", Split: "test", Limit: 1500}))
			require.NoError(t, err)
			require.Len(t, rows, 1500)
			require.Equal(t, "count.test:1500", rows[1499].ID)
			require.Equal(t, "ticket 1499 of test", rows[1499].Text)
			require.Equal(t, []string{"outage"}, rows[1499].Labels["intent"].Values)
		})
	}
}

func TestUnknownNames(t *testing.T) {
	p := inProcess(t, testDomain())
	for _, c := range []struct {
		name string
		req  sdk.ReadRequest
		code string
		hint string
	}{
		{"dataset", sdk.ReadRequest{Dataset: "tickts"}, "dataset.unknown", `"tickets"`},
		{"split", sdk.ReadRequest{Dataset: "tickets", Split: "valid"}, "dataset.split", "train, test"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, ds, err := sdk.Collect(p.Read(context.Background(), c.req))
			require.NoError(t, err)
			require.Len(t, ds, 1)
			require.Equal(t, c.code, ds[0].Code)
			require.Contains(t, ds[0].Remedy, c.hint)
		})
	}
}

func TestConfigure(t *testing.T) {
	p, err := launch(t, "plugin", func(c *host.Config) { c.DataDir = "/var/lib/x" })
	require.NoError(t, err)
	ctx := context.Background()
	ds, err := p.Configure(ctx, map[string]string{"depth": "deep", "mod": "fast", "mode": "fsat", "token": "hush"})
	require.NoError(t, err)
	require.Len(t, ds, 3)
	require.Equal(t, []string{"option.value", "option.value", "option.unknown"}, []string{ds[0].Code, ds[1].Code, ds[2].Code})
	require.Equal(t, `did you mean "mode"?`, ds[2].Remedy)
	require.NotContains(t, ds.String(), "hush")

	ds, err = p.Configure(ctx, map[string]string{"depth": "7"})
	require.NoError(t, err)
	require.Empty(t, ds)
	first := p.Digest()
	rows, _, err := read(p, "options")
	require.NoError(t, err)
	require.Equal(t, "7 fast /var/lib/x", rows[0].Text)
	_, err = p.Configure(ctx, map[string]string{"depth": "8"})
	require.NoError(t, err)
	require.NotEqual(t, first, p.Digest())
}

func TestFaultyRowsAreReportedAndTheRestArrives(t *testing.T) {
	rows, ds, err := read(inProcess(t, testDomain()), "faulty")
	require.NoError(t, err)
	require.Len(t, rows, 2)
	require.Equal(t, []string{"data.span", "data.span", "data.columns"}, []string{ds[0].Code, ds[1].Code, ds[2].Code})
	require.Contains(t, ds[0].Summary, `example "1": span "X" [0, 3) cuts a character`)
}

func TestLargeMessages(t *testing.T) {
	p := started(t)
	rows, _, err := read(p, "big")
	require.NoError(t, err)
	require.Len(t, rows, 3)
	require.Len(t, rows[2].Text, 5<<20)

	// And as large the other way.
	var back int
	for ex, err := range p.Augment(context.Background(), sdk.AugmentRequest{Augmenter: "upper"}, all(rows)) {
		require.NoError(t, err)
		back += len(ex.Text)
	}
	require.Equal(t, 15<<20, back)

	rows, _, err = read(p, "huge")
	require.Len(t, rows, 1, "what comes before arrives")
	d := only(t, err)
	require.Equal(t, "plugin.too-large", d.Code)
	require.Contains(t, d.Summary, `example "whale" of dataset huge`)
	_, err = p.Describe(context.Background())
	require.NoError(t, err, "the plugin lives on")

	whale := all([]sdk.Example{{ID: "whale", Text: strings.Repeat("x", 17<<20)}})
	_, _, err = sdk.Collect(p.Augment(context.Background(), sdk.AugmentRequest{Augmenter: "upper"}, whale))
	require.Equal(t, "plugin.too-large", only(t, err).Code)
}

func all(rows []sdk.Example) iter.Seq2[sdk.Example, error] {
	return func(yield func(sdk.Example, error) bool) {
		for _, ex := range rows {
			if !yield(ex, nil) {
				return
			}
		}
	}
}

func TestAugment(t *testing.T) {
	p := started(t)
	var rows []sdk.Example
	for i := range 1300 {
		rows = append(rows, sdk.Example{ID: strconv.Itoa(i), Text: fmt.Sprintf("row %d", i)})
	}
	req := sdk.AugmentRequest{Augmenter: "dice", Seed: 5, Params: map[string]string{"prefix": "n="}}
	run := func(req sdk.AugmentRequest, rows []sdk.Example) []sdk.Example {
		made, ds, err := sdk.Collect(p.Augment(context.Background(), req, all(rows)))
		require.NoError(t, err)
		require.Empty(t, ds)
		return made
	}
	made := run(req, rows)
	require.NotEmpty(t, made)
	require.True(t, slices.IsSortedFunc(made, func(a, b sdk.Example) int {
		x, _ := strconv.Atoi(a.Parent)
		y, _ := strconv.Atoi(b.Parent)
		return x - y
	}), "in the order of the parents")
	require.True(t, strings.HasPrefix(made[0].Text, "n="))
	require.Regexp(t, `^\d+#dice\.0$`, made[0].ID)
	require.Empty(t, cmp.Diff(made, run(req, rows)), "deterministic")
	require.Empty(t, cmp.Diff(made, append(run(req, rows[:700]), run(req, rows[700:])...)), "independent of the batch")
	req.Seed++
	require.NotEmpty(t, cmp.Diff(made, run(req, rows)))

	_, _, err := sdk.Collect(p.Augment(context.Background(), sdk.AugmentRequest{Augmenter: "picky"}, all(rows)))
	require.ErrorContains(t, err, `plugin testing 1.2.3: augmenter "picky", example "17": not this one`)
	_, _, err = sdk.Collect(p.Augment(context.Background(), sdk.AugmentRequest{Augmenter: "panics"}, all(rows)))
	require.Equal(t, "plugin.panic", only(t, err).Code)
	_, ds, err := sdk.Collect(p.Augment(context.Background(), sdk.AugmentRequest{Augmenter: "uper"}, all(rows)))
	require.NoError(t, err)
	require.Equal(t, `did you mean "upper"?`, ds[0].Remedy)

	// An error of the input ends the exchange and comes back as it is.
	bad := errors.New("no more")
	_, _, err = sdk.Collect(p.Augment(context.Background(), sdk.AugmentRequest{Augmenter: "upper"}, func(yield func(sdk.Example, error) bool) {
		yield(sdk.Example{}, bad)
	}))
	require.ErrorIs(t, err, bad)
	for range p.Augment(context.Background(), req, all(rows)) {
		break // the consumer may stop at any time
	}
}

func TestHookErrors(t *testing.T) {
	var log lockedBuffer
	p, err := launch(t, "plugin", func(c *host.Config) {
		c.Logger = hclog.New(&hclog.LoggerOptions{Output: &log, Level: hclog.Debug, JSONFormat: true})
	})
	require.NoError(t, err)
	_, _, err = read(p, "fails")
	require.EqualError(t, err, "plugin testing 1.2.3: read dataset fails: the archive is damaged")

	_, _, err = read(p, "panics")
	d := only(t, err)
	require.Equal(t, "plugin.panic", d.Code)
	require.Contains(t, d.Summary, `reader "panics" panicked: assignment to entry in nil map`)
	require.Contains(t, d.Remedy, "this is a bug in testing 1.2.3")
	require.Contains(t, d.Remedy, "https://example.org/testing")
	_, err = p.Describe(context.Background())
	require.NoError(t, err, "the plugin lives on")

	rows, _, err := read(p, "prints")
	require.NoError(t, err)
	require.Len(t, rows, 1)
	require.Eventually(t, func() bool { _, n := p.Stdout(); return n > 0 }, 2*time.Second, 10*time.Millisecond)
	lines, n := p.Stdout()
	require.Equal(t, []string{"hello from a hook"}, lines)
	require.EqualValues(t, len("hello from a hook\n"), n)
	p.Close()

	records := 0
	for line := range strings.Lines(log.String()) {
		var r map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &r), line)
		switch r["@message"] {
		case `panic in reader "panics"`:
			records++
			require.Contains(t, r["stack"], "main_test.go")
			require.Equal(t, "error", r["@level"])
		case "logged":
			records++
			require.Equal(t, "hook", r["where"])
		}
	}
	require.Equal(t, 2, records, log.String())
}

func TestDeath(t *testing.T) {
	for dataset, want := range map[string]string{"crashes": "panic: boom in a goroutine", "exits": "out of cheese"} {
		t.Run(dataset, func(t *testing.T) {
			t.Parallel()
			p := started(t)
			begin := time.Now()
			rows, _, err := read(p, dataset)
			require.Less(t, time.Since(begin), 5*time.Second)
			d := only(t, err)
			require.Equal(t, "plugin.crashed", d.Code)
			require.Contains(t, d.Summary, "testing 1.2.3 died during Read (dataset "+dataset+")")
			require.Contains(t, d.Detail, want)
			require.Contains(t, d.Remedy, "this is a bug in testing 1.2.3: report it at https://example.org/testing")
			if dataset == "exits" {
				require.Empty(t, rows)
			}
			// Every later call gives the same error.
			_, again := p.Describe(context.Background())
			require.Same(t, err, again)
			_, _, again = read(p, "tickets")
			require.Same(t, err, again)
			require.True(t, p.Exited())
		})
	}
}

func TestSilence(t *testing.T) {
	t.Parallel()
	p, err := launch(t, "plugin", func(c *host.Config) { c.IdleTimeout = 500 * time.Millisecond })
	require.NoError(t, err)
	for range p.Vocabulary(context.Background()) { // a slow consumer is not silence
		time.Sleep(800 * time.Millisecond)
		break
	}
	begin := time.Now()
	_, _, err = read(p, "hangs")
	require.Less(t, time.Since(begin), 3*time.Second)
	d := only(t, err)
	require.Equal(t, "plugin.silent", d.Code)
	require.Contains(t, d.Summary, "sent nothing for 500ms during Read (dataset hangs)")
	require.Eventually(t, p.Exited, 2*time.Second, 10*time.Millisecond, "it was ended")
}

func TestStartFailures(t *testing.T) {
	exe, err := os.Executable()
	require.NoError(t, err)
	sum, err := host.Checksum(exe)
	require.NoError(t, err)
	folder := t.TempDir()
	script := filepath.Join(folder, "islm-plugin-script")
	require.NoError(t, os.WriteFile(script, []byte("no program"), 0o644))
	broken := filepath.Join(folder, "islm-plugin-broken")
	require.NoError(t, os.WriteFile(broken, []byte("\x7fELF no program"), 0o755))
	for _, c := range []struct {
		name, mode string
		change     func(*host.Config)
		code, text string
	}{
		{"missing", "plugin", func(c *host.Config) { c.Path, c.Name = filepath.Join(folder, "islm-plugin-energy"), "" }, "plugin.missing", "islm plugin install energy"},
		{"folder", "plugin", func(c *host.Config) { c.Path = folder }, "plugin.not-executable", "folder"},
		{"not executable", "plugin", func(c *host.Config) { c.Path = script }, "plugin.not-executable", "chmod +x"},
		{"no program", "plugin", func(c *host.Config) { c.Path = broken }, "plugin.not-executable", runtime.GOARCH},
		{"unlocked", "plugin", func(c *host.Config) { c.Dev = false }, "plugin.unlocked", "islm plugin install testing"},
		{"changed", "plugin", func(c *host.Config) { c.Dev, c.SHA256 = false, bytes.Repeat([]byte{1}, 32) }, "plugin.checksum", "islm plugin install testing"},
		{"prints", "prints", nil, "plugin.stdout", "loading 12 models …"},
		{"prints without newline", "prints-no-newline", nil, "plugin.stdout", "loading…"},
		{"never starts", "never-starts", func(c *host.Config) { c.StartTimeout = 500 * time.Millisecond }, "plugin.silent", "did not start within 500ms"},
		{"dies", "dies-at-once", nil, "plugin.crashed", "cannot find the data"},
		{"panics", "panics-at-once", nil, "plugin.crashed", "panic: no data"},
		{"next protocol", "next-protocol", nil, "plugin.protocol", "build it again"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := launch(t, c.mode, c.change)
			d := only(t, err)
			require.Equal(t, c.code, d.Code, d.String())
			require.Contains(t, d.String(), c.text)
		})
	}
	t.Run("locked", func(t *testing.T) {
		_, err := launch(t, "plugin", func(c *host.Config) { c.Dev, c.SHA256 = false, sum })
		require.NoError(t, err)
	})
	t.Run("changed after locking", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "islm-plugin-copy")
		data, err := os.ReadFile(exe)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, append(data, 0), 0o755))
		_, err = launch(t, "plugin", func(c *host.Config) { c.Path, c.Dev, c.SHA256 = path, false, sum })
		d := only(t, err)
		require.Equal(t, "plugin.checksum", d.Code)
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		defer cancel()
		begin := time.Now()
		_, err := host.Launch(ctx, host.Config{Path: exe, Args: []string{"-as=never-starts"}, Dev: true})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Less(t, time.Since(begin), 1500*time.Millisecond)
	})
}

func TestHundredMegabytes(t *testing.T) {
	p, err := launch(t, "100mb", nil)
	require.NoError(t, err)
	_, _, err = read(p, "any")
	d := only(t, err)
	require.Equal(t, "plugin.too-large", d.Code)
	require.Contains(t, d.Summary, "larger than 16777216 bytes during Read (dataset any)")

	_, _, err = sdk.Collect(p.Vocabulary(context.Background()))
	require.Equal(t, "plugin.protocol", only(t, err).Code)
	rows, ds, err := read(p, "bad-spans")
	require.NoError(t, err)
	require.Len(t, rows, 1)
	require.Len(t, ds, 1)
	require.Equal(t, "data.token", ds[0].Code)
}

func TestCancellation(t *testing.T) {
	p := started(t)
	for _, dataset := range []string{"endless", "hangs"} {
		ctx, cancel := context.WithCancel(context.Background())
		var at time.Time
		time.AfterFunc(300*time.Millisecond, func() { at = time.Now(); cancel() })
		var err error
		for _, err = range p.Read(ctx, sdk.ReadRequest{Dataset: dataset}) {
			if err != nil {
				break
			}
		}
		require.ErrorIs(t, err, context.Canceled)
		require.Less(t, time.Since(at), time.Second)
	}
	begin := time.Now()
	n := 0
	for _, err := range p.Read(context.Background(), sdk.ReadRequest{Dataset: "endless"}) {
		require.NoError(t, err)
		if n++; n == 100 {
			break
		}
	}
	require.Less(t, time.Since(begin), time.Second)
	_, err := p.Describe(context.Background())
	require.NoError(t, err)
}

func TestConcurrentCalls(t *testing.T) {
	p := started(t)
	var wg sync.WaitGroup
	errs := make(chan error, 64)
	for i := range 8 {
		wg.Go(func() {
			rows, _, err := sdk.Collect(p.Read(context.Background(), sdk.ReadRequest{Dataset: "count", Split: "train", Limit: 1000 + i}))
			if err == nil && len(rows) != 1000+i {
				err = fmt.Errorf("%d rows", len(rows))
			}
			errs <- err
			_, err = p.Describe(context.Background())
			errs <- err
			_, err = p.Configure(context.Background(), map[string]string{"depth": strconv.Itoa(i)})
			errs <- err
			_, _, err = sdk.Collect(p.Augment(context.Background(), sdk.AugmentRequest{Augmenter: "upper"}, all(rows)))
			errs <- err
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
}

func TestClose(t *testing.T) {
	p := started(t)
	pid := p.Pid()
	begin := time.Now()
	p.Close()
	p.Close()
	require.Less(t, time.Since(begin), 3*time.Second)
	require.False(t, alive(pid))
	_, err := p.Describe(context.Background())
	require.ErrorContains(t, err, "plugin testing is closed")
}

func TestCloseOfAStoppedProcess(t *testing.T) {
	t.Parallel()
	p := started(t)
	require.NoError(t, stopProcess(p.Pid()))
	begin := time.Now()
	p.Close()
	require.Less(t, time.Since(begin), 6*time.Second)
	require.False(t, alive(p.Pid()))
}

// TestHostKilled: within five seconds of the host's death there is neither a
// plugin process nor a socket.
func TestHostKilled(t *testing.T) {
	exe, err := os.Executable()
	require.NoError(t, err)
	for _, mode := range []string{"host", "host-unconnected"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			temp, err := os.MkdirTemp("", "k")
			require.NoError(t, err)
			t.Cleanup(func() { _ = os.RemoveAll(temp) })
			cmd := exec.Command(exe, "-as="+mode)
			cmd.Env = append(os.Environ(), "TMPDIR="+temp)
			stdin, err := cmd.StdinPipe()
			require.NoError(t, err)
			defer stdin.Close()
			stdout, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			line, err := bufio.NewReader(stdout).ReadString('\n')
			require.NoError(t, err)
			pid, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(line, "plugin ")))
			require.NoError(t, err)
			require.True(t, alive(pid))
			found, err := filepath.Glob(filepath.Join(temp, "islm-*", "*"))
			require.NoError(t, err)
			require.NotEmpty(t, found, "there is a socket")

			require.NoError(t, cmd.Process.Kill())
			require.Error(t, cmd.Wait())
			require.Eventually(t, func() bool { return !alive(pid) }, 5*time.Second, 20*time.Millisecond)
			found, err = filepath.Glob(filepath.Join(temp, "*"))
			require.NoError(t, err)
			require.Empty(t, found)
		})
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("SECRET_OF_THE_HOST", "x")
	t.Setenv("ISLM_PLUGIN", "someone else's")
	p := started(t)
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.Pid()))
	if err != nil {
		t.Skip("no /proc")
	}
	require.NotContains(t, string(env), "SECRET_OF_THE_HOST")
	require.NotContains(t, string(env), "someone else's")
	require.Contains(t, string(env), "PATH=")
}

// TestBuiltPlugin builds a plugin as an author would and uses it.
func TestBuiltPlugin(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program")
	}
	bin := filepath.Join(t.TempDir(), "islm-plugin-energy")
	build := exec.Command("go", "build", "-o", bin, "./testdata/energy")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	sum, err := host.Checksum(bin)
	require.NoError(t, err)

	var stdout, stderr bytes.Buffer
	by := func(args ...string) int {
		cmd := exec.Command(bin, args...)
		stdout.Reset()
		stderr.Reset()
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		var exit *exec.ExitError
		if err := cmd.Run(); errors.As(err, &exit) {
			return exit.ExitCode()
		}
		return 0
	}
	require.Equal(t, 2, by())
	require.Empty(t, stdout.String())
	require.Contains(t, stderr.String(), "islm train --domain energy")
	require.Equal(t, 0, by("version"))
	require.Equal(t, "energy 0.1.0 (sdk "+sdk.Version+", protocol 1.0)\n", stdout.String())
	require.Equal(t, 0, by("describe"))
	var d sdk.Description
	require.NoError(t, json.Unmarshal(stdout.Bytes(), &d))
	require.Equal(t, "energy", d.Name)
	require.Equal(t, 2, by("train"))

	p, err := host.Launch(context.Background(), host.Config{Path: bin, SHA256: sum})
	require.NoError(t, err)
	t.Cleanup(p.Close)
	rows, ds, err := read(p, "tickets")
	require.NoError(t, err)
	require.Empty(t, ds)
	require.Len(t, rows, 3)
	require.Equal(t, "energy", p.Name())
	require.Equal(t, d.Digest, p.Description().Digest)
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
