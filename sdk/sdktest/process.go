package sdktest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	goplugin "github.com/hashicorp/go-plugin"

	"github.com/islm-dev/islm/sdk"
	"github.com/islm-dev/islm/sdk/host"
	"github.com/islm-dev/islm/sdk/internal/wire"
)

// What a process may take.
const (
	startWithin = 10 * time.Second
	exitWithin  = 5 * time.Second
	closeWithin = 1500 * time.Millisecond // go-plugin kills after two seconds
)

// program is a plugin's binary.
type program struct {
	path   string
	config host.Config
}

func (s *program) binary() string { return s.path }

func (s *program) idle(time.Duration) bool { return true } // nothing to see from outside

func (s *program) launch(ctx context.Context) (Plugin, error) {
	p, err := host.Launch(ctx, s.config)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// raw is a plugin process started without go-plugin's client, so that its output
// is seen as it is.
type raw struct {
	cmd     *exec.Cmd
	dir     string // folder of its socket
	line    string // first line of stdout
	network string
	address string
	fault   string // what is wrong with the line, or ""

	mu     sync.Mutex
	stdout bytes.Buffer // after the first line
	stderr bytes.Buffer
	exited chan struct{}
}

// startRaw starts a binary with the handshake's cookie and reads the first line.
// The caller ends it with kill.
func startRaw(ctx context.Context, binary string) (*raw, error) {
	dir, err := os.MkdirTemp("", wire.SocketPrefix)
	if err != nil {
		return nil, fmt.Errorf("make the socket folder: %w", err)
	}
	r := &raw{dir: dir, exited: make(chan struct{})}
	r.cmd = exec.CommandContext(ctx, binary)
	r.cmd.WaitDelay = time.Second
	r.cmd.Env = append(plainEnvironment(), wire.CookieKey+"="+wire.CookieValue, goplugin.EnvUnixSocketDir+"="+dir,
		fmt.Sprintf("PLUGIN_PROTOCOL_VERSIONS=%d", wire.ProtocolMajor), "PLUGIN_MIN_PORT=10000", "PLUGIN_MAX_PORT=25000")
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	errs, err := r.cmd.StderrPipe()
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := r.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", binary, err), os.RemoveAll(dir))
	}
	first := make(chan string, 1)
	var readers sync.WaitGroup
	readers.Go(func() {
		br := bufio.NewReader(io.LimitReader(out, 16<<20))
		line, _ := br.ReadString('\n')
		first <- line
		r.copy(&r.stdout, br)
	})
	readers.Go(func() { r.copy(&r.stderr, io.LimitReader(errs, 16<<20)) })
	go func() {
		readers.Wait()
		_ = r.cmd.Wait() // how it ended is no matter of ours
		close(r.exited)
	}()
	select {
	case r.line = <-first:
		r.parse()
	case <-time.After(startWithin):
		r.fault = fmt.Sprintf("no handshake within %s", startWithin)
	case <-ctx.Done():
		r.kill()
		return nil, fmt.Errorf("start %s: %w", binary, context.Cause(ctx))
	}
	return r, nil
}

func (r *raw) copy(to *bytes.Buffer, from io.Reader) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		r.mu.Lock()
		to.Write(buf[:n])
		r.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// parse reads core protocol | protocol | network | address | grpc | certificate.
func (r *raw) parse() {
	fields := strings.Split(strings.TrimSpace(r.line), "|")
	switch {
	case len(fields) < 5:
		r.fault = fmt.Sprintf("the first line of stdout is %q, not a handshake", r.line)
	case fields[0] != "1":
		r.fault = fmt.Sprintf("go-plugin's core protocol is %q, 1 is wanted", fields[0])
	case fields[1] != fmt.Sprint(wire.ProtocolMajor):
		r.fault = fmt.Sprintf("the protocol's major version is %q, %d is wanted", fields[1], wire.ProtocolMajor)
	case fields[2] != "unix" && fields[2] != "tcp":
		r.fault = fmt.Sprintf("the network is %q", fields[2])
	case fields[4] != "grpc":
		r.fault = fmt.Sprintf("the transport is %q, grpc is wanted", fields[4])
	}
	if r.fault == "" {
		r.network, r.address = fields[2], fields[3]
	}
}

// connect dials the process as a host without TLS would.
func (r *raw) connect(ctx context.Context) (*host.Plugin, error) {
	return host.Dial(ctx, func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, r.network, r.address)
	}, host.Config{Name: "plugin"})
}

// gone waits for the end of the process.
func (r *raw) gone(d time.Duration) bool {
	select {
	case <-r.exited:
		return true
	case <-time.After(d):
		return false
	}
}

func (r *raw) kill() {
	_ = r.cmd.Process.Kill() // it may have ended by itself
	r.gone(exitWithin)
	_ = os.RemoveAll(r.dir)
}

func (r *raw) output() (stdout, stderr string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stdout.String(), r.stderr.String()
}

// plainEnvironment is what a plugin inherits from its host.
func plainEnvironment() []string {
	var env []string
	for _, kv := range os.Environ() {
		key, _, _ := strings.Cut(kv, "=")
		if key == wire.CookieKey {
			continue
		}
		if key == "HOME" || key == "PATH" || key == "TMPDIR" || strings.HasPrefix(key, "ISLM_") {
			env = append(env, kv)
		}
	}
	return env
}

// started is the raw process of a check; the check ends if there is none.
func (p *probe) started() *raw {
	r, err := startRaw(p.ctx, p.subject.binary())
	if err != nil {
		p.stop("%v", err)
	}
	return r
}

// talk makes a raw process answer a few calls and closes the connection.
func (p *probe) talk(r *raw) {
	if r.fault != "" {
		p.skip("there is no handshake")
	}
	c, err := r.connect(p.ctx)
	if err != nil {
		p.stop("no connection: %v", err)
	}
	defer c.Close()
	d := c.Description()
	drain(c.Vocabulary(p.ctx))
	for _, s := range d.Datasets {
		if s.Embedded {
			drain(c.Read(p.ctx, sdk.ReadRequest{Dataset: s.Name, Limit: 10}))
		}
	}
}

func processChecks() []Check {
	return []Check{
		{ID: "process.concurrent-calls", Purpose: "calls at the same time get the answers that they get alone", run: func(p *probe) {
			d := p.describe()
			want := p.terms().items
			got := make([]*collected[sdk.Term], 4)
			descs := make([]*sdk.Description, len(got))
			var wg sync.WaitGroup
			for i := range got {
				wg.Go(func() { got[i] = drain(p.plugin.Vocabulary(p.ctx)) })
				wg.Go(func() {
					if d, err := p.plugin.Describe(p.ctx); err == nil {
						descs[i] = d
					}
				})
			}
			wg.Wait()
			for i := range got {
				if got[i].err != nil {
					p.fail("the vocabulary, asked for %d times at once: %v", len(got), got[i].err)
					continue
				}
				p.same("the vocabulary differs when asked for several times at once", want, got[i].items)
				if descs[i] == nil {
					p.fail("Describe fails among other calls")
					continue
				}
				p.same("Describe differs among other calls", d, descs[i])
			}
		}},
		{ID: "process.survives-errors", Purpose: "a call that fails leaves the plugin able to answer the next", run: func(p *probe) {
			d := p.describe()
			drain(p.plugin.Read(p.ctx, sdk.ReadRequest{Dataset: "no-such-dataset-xyz"}))
			drain(p.plugin.Augment(p.ctx, sdk.AugmentRequest{Augmenter: "no-such-augmenter-xyz"}, examples(sdk.Example{ID: "a", Text: "a"})))
			again, err := p.plugin.Describe(p.ctx)
			if err != nil {
				p.stop("Describe fails after failed calls: %v", err)
			}
			p.same("Describe differs after failed calls", d, again)
		}},
		{ID: "process.starts", Purpose: "the plugin starts and connects within ten seconds", Process: true, run: func(p *probe) {
			if p.launchErr != nil {
				p.stop("%v", p.launchErr)
			}
			start := time.Now()
			other, err := p.subject.launch(p.ctx)
			if err != nil {
				p.stop("it does not start a second time: %v", err)
			}
			other.Close()
			if took := time.Since(start); took > startWithin {
				p.fail("start and end took %s", took.Round(time.Millisecond))
			}
		}},
		{ID: "process.handshake", Purpose: "the first line on stdout is the handshake", Process: true, run: func(p *probe) {
			r := p.started()
			defer r.kill()
			if r.fault != "" {
				p.fail("%s", r.fault)
			}
		}},
		{ID: "process.refuses-hand-start", Purpose: "started by hand it says what it is on stderr and ends with an error", Process: true, run: func(p *probe) {
			ctx, cancel := context.WithTimeout(p.ctx, exitWithin)
			defer cancel()
			cmd := exec.CommandContext(ctx, p.subject.binary())
			cmd.Env = plainEnvironment()
			cmd.WaitDelay = time.Second
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			err := cmd.Run()
			switch {
			case ctx.Err() != nil:
				p.fail("it still runs after %s", exitWithin)
			case err == nil:
				p.fail("it ends without an error")
			case strings.TrimSpace(stderr.String()) == "":
				p.fail("it says nothing")
			}
		}},
		{ID: "describe.matches-binary-name", Purpose: "the binary is called islm-plugin-NAME", Process: true, run: func(p *probe) {
			d := p.describe()
			base := filepath.Base(p.subject.binary())
			if name := wire.NameOfBinary(base); name != d.Name || !strings.HasPrefix(base, wire.BinaryPrefix) {
				p.fail("the binary is called %s, the plugin calls itself %q", base, d.Name)
			}
		}},
		{ID: "describe.command-equals-rpc", Purpose: "BINARY describe prints one JSON document, equal to the answer of Describe", Process: true, run: func(p *probe) {
			want := p.describe()
			ctx, cancel := context.WithTimeout(p.ctx, startWithin)
			defer cancel()
			cmd := exec.CommandContext(ctx, p.subject.binary(), "describe")
			cmd.Env = plainEnvironment()
			cmd.WaitDelay = time.Second
			out, err := cmd.Output()
			if err != nil && !want.Diagnostics.HasErrors() {
				p.stop("it fails: %v", err)
			}
			var got sdk.Description
			if err := json.Unmarshal(out, &got); err != nil {
				p.stop("it does not print one JSON document: %v", err)
			}
			p.same("what `describe` prints differs from what Describe answers", want, got)
		}},
		{ID: "stdout.silent", Purpose: "nothing but the handshake is printed to stdout", Process: true, run: func(p *probe) {
			r := p.started()
			defer r.kill()
			p.talk(r)
			r.gone(exitWithin)
			if out, _ := r.output(); out != "" {
				p.fail("after the handshake stdout gets %q", beginning(out))
			}
			if q, ok := p.plugin.(interface{ Stdout() ([]string, int64) }); ok {
				if lines, n := q.Stdout(); n > 0 {
					p.fail("during the checks before this one %d bytes were printed, at the end %q", n, lines)
				}
			}
		}},
		{ID: "logs.json", Purpose: "every line on stderr is a JSON record with @level and @message", Process: true, run: func(p *probe) {
			r := p.started()
			defer r.kill()
			p.talk(r)
			r.gone(exitWithin)
			_, logged := r.output()
			for line := range strings.Lines(logged) {
				line = strings.TrimSpace(line)
				var record map[string]any
				if line == "" {
					continue
				}
				if err := json.Unmarshal([]byte(line), &record); err != nil || record["@level"] == nil || record["@message"] == nil {
					p.fail("stderr gets %q", beginning(line))
				}
			}
		}},
		{ID: "process.exits-with-host", Purpose: "the process ends within five seconds after its last connection", Process: true, run: func(p *probe) {
			r := p.started()
			defer r.kill()
			p.talk(r)
			if !r.gone(exitWithin) {
				p.fail("it still runs %s after its host was gone", exitWithin)
			}
		}},
		{ID: "process.leaves-no-socket", Purpose: "the process removes its socket when it ends", Process: true, run: func(p *probe) {
			r := p.started()
			defer r.kill()
			p.talk(r)
			if !r.gone(exitWithin) {
				p.skip("it does not end")
			}
			if r.network != "unix" {
				p.skip("its socket is no file")
			}
			if _, err := os.Lstat(r.address); err == nil {
				p.fail("its socket is still there: %s", filepath.Base(r.address))
			}
		}},
		{ID: "process.closes-fast", Purpose: "asked to end, the process does so by itself: a host that waits in vain kills it", Process: true, run: func(p *probe) {
			other, err := p.subject.launch(p.ctx)
			if err != nil {
				p.stop("it does not start: %v", err)
			}
			start := time.Now()
			other.Close()
			if took := time.Since(start); took > closeWithin {
				p.fail("it took %s", took.Round(time.Millisecond))
			}
		}},
	}
}

// beginning is the beginning of a text, for a message.
func beginning(s string) string {
	if len(s) > 200 {
		return strings.ToValidUTF8(s[:200], "") + " …"
	}
	return s
}
