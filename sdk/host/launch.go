package host

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/islm-dev/islm/sdk"
	"github.com/islm-dev/islm/sdk/internal/wire"
	"github.com/islm-dev/islm/sdk/internal/wire/pb"
)

// Config says which plugin to start and how.
type Config struct {
	// Path of the binary.
	Path string
	// Name under which people know the plugin; "" means the one in the file name.
	Name string
	// SHA256 that the binary must have, from the lock file. Without it Launch
	// refuses, unless Dev is set.
	SHA256 []byte
	// Dev leaves the checksum alone: for plugins under development.
	Dev bool
	// Logger receives the plugin's log; nil means none.
	Logger hclog.Logger
	// DataDir is a folder that the plugin may keep files in, or "".
	DataDir string
	// IdleTimeout bounds the wait for each answer and each message of a stream;
	// 0 means DefaultIdleTimeout, negative none.
	IdleTimeout time.Duration
	// StartTimeout bounds the start; 0 means DefaultStartTimeout.
	StartTimeout time.Duration
	// Args are arguments for the binary; plugins take none.
	Args []string
}

// Default timeouts.
const (
	DefaultIdleTimeout  = 60 * time.Second
	DefaultStartTimeout = 20 * time.Second
)

// Launch starts a plugin and has it describe itself. ctx bounds the start only:
// the plugin lives until Close, or until this process ends. Every failure leaves
// neither a process nor a socket behind.
func Launch(ctx context.Context, c Config) (*Plugin, error) {
	p := &Plugin{name: c.Name, path: c.Path, dataDir: c.DataDir, dev: c.Dev, idle: idleOf(c.IdleTimeout), logger: c.Logger}
	if p.name == "" {
		p.name = wire.NameOfBinary(c.Path)
	}
	if p.logger == nil {
		p.logger = hclog.NewNullLogger()
	}
	path, err := p.checkBinary(c)
	if err != nil {
		return nil, err
	}
	p.path = path
	p.sockets, err = socketFolder()
	if err != nil {
		return nil, fmt.Errorf("start plugin %s: %w", p.name, err)
	}
	started := false
	defer func() {
		if !started {
			p.Close()
		}
	}()

	// The process is bound to a context of ours, so that it can be killed at any
	// moment of go-plugin's start, which holds its own lock meanwhile.
	life, kill := context.WithCancel(context.Background())
	p.kill = kill
	cmd := exec.CommandContext(life, path, c.Args...)
	cmd.WaitDelay = time.Second
	cmd.Env = append(environment(os.Environ()), goplugin.EnvUnixSocketDir+"="+p.sockets)
	timeout := c.StartTimeout
	if timeout <= 0 {
		timeout = DefaultStartTimeout
	}
	config := &goplugin.ClientConfig{
		HandshakeConfig: goplugin.HandshakeConfig{
			ProtocolVersion: wire.ProtocolMajor, MagicCookieKey: wire.CookieKey, MagicCookieValue: wire.CookieValue,
		},
		Plugins:          goplugin.PluginSet{wire.PluginName: clientPlugin{}},
		Cmd:              cmd,
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		AutoMTLS:         true,
		SkipHostEnv:      true,
		StartTimeout:     timeout,
		Logger:           p.logger,
		Stderr:           &p.stderr,
		SyncStdout:       &p.stdout,
		SyncStderr:       &p.stderr,
		GRPCDialOptions:  dialOptions(),
	}
	if !c.Dev {
		config.SecureConfig = &goplugin.SecureConfig{Checksum: c.SHA256, Hash: sha256.New()}
	}
	p.client = goplugin.NewClient(config)
	if err := p.start(ctx, timeout); err != nil {
		return nil, err
	}
	if _, err := p.Describe(ctx); err != nil {
		return nil, err
	}
	started = true
	return p, nil
}

// Dial talks to a domain that is served elsewhere, without starting or owning a
// process: dial opens a connection to what serve.On listens on. Of the
// configuration only Name, Logger, DataDir and IdleTimeout count.
func Dial(ctx context.Context, dial func(context.Context) (net.Conn, error), c Config) (*Plugin, error) {
	p := &Plugin{name: c.Name, dataDir: c.DataDir, idle: idleOf(c.IdleTimeout), logger: c.Logger}
	if p.logger == nil {
		p.logger = hclog.NewNullLogger()
	}
	conn, err := grpc.NewClient("passthrough:///plugin", append(dialOptions(),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		return nil, fmt.Errorf("connect to plugin %s: %w", p.name, err)
	}
	p.conn = conn
	p.rpc = pb.NewDomainClient(conn)
	if _, err := p.Describe(ctx); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

func idleOf(d time.Duration) time.Duration {
	switch {
	case d == 0:
		return DefaultIdleTimeout
	case d < 0:
		return 0
	}
	return d
}

func dialOptions() []grpc.DialOption {
	return []grpc.DialOption{grpc.WithDefaultCallOptions(
		grpc.MaxCallRecvMsgSize(wire.HardBytes), grpc.MaxCallSendMsgSize(wire.HardBytes))}
}

// checkBinary finds out what can be known before anything is started.
func (p *Plugin) checkBinary(c Config) (string, error) {
	install := "islm plugin install " + p.name
	refuse := func(code, summary, remedy string) error {
		return fatal(sdk.Diagnostic{Code: code, File: c.Path, Summary: summary, Remedy: remedy, Source: sdk.FromHost})
	}
	path, err := filepath.Abs(c.Path)
	if err != nil {
		return "", fmt.Errorf("start plugin %s: %w", p.name, err)
	}
	info, err := os.Stat(path)
	switch {
	case c.Path == "":
		return "", refuse("plugin.missing", fmt.Sprintf("plugin %s has no binary", p.name), install)
	case errors.Is(err, fs.ErrNotExist):
		return "", refuse("plugin.missing", fmt.Sprintf("the binary of plugin %s is not there", p.name), "install it again: "+install)
	case err != nil:
		return "", refuse("plugin.missing", fmt.Sprintf("the binary of plugin %s cannot be read: %v", p.name, err), "")
	case info.IsDir():
		return "", refuse("plugin.not-executable", "this is a folder, a plugin's binary is wanted", "build it first: islm plugin install "+c.Path)
	case runtime.GOOS != "windows" && info.Mode()&0o111 == 0:
		return "", refuse("plugin.not-executable", fmt.Sprintf("the binary of plugin %s is not executable", p.name), "chmod +x "+c.Path+", or install it again: "+install)
	}
	if c.Dev {
		return path, nil
	}
	if len(c.SHA256) == 0 {
		return "", refuse("plugin.unlocked", fmt.Sprintf("plugin %s is in no lock file, so its binary cannot be trusted", p.name), install+"   (or --dev "+c.Path+" while you work on it)")
	}
	if len(c.SHA256) != sha256.Size {
		return "", refuse("plugin.checksum", fmt.Sprintf("the lock file gives plugin %s a checksum of %d bytes, a sha256 has %d", p.name, len(c.SHA256), sha256.Size), install)
	}
	return path, nil
}

// start runs go-plugin's start under ctx.
func (p *Plugin) start(ctx context.Context, timeout time.Duration) error {
	done := make(chan error, 1)
	go func() {
		proto, err := p.client.Client()
		if err != nil {
			done <- err
			return
		}
		raw, err := proto.Dispense(wire.PluginName)
		if err != nil {
			done <- err
			return
		}
		rpc, ok := raw.(pb.DomainClient)
		if !ok {
			done <- fmt.Errorf("unexpected client %T", raw)
			return
		}
		p.rpc = rpc
		done <- nil
	}()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		p.kill()
		<-done //nolint:errcheck // at once: the process is gone, which is all that counts
		return fmt.Errorf("start plugin %s: %w", p.name, context.Cause(ctx))
	}
	if err == nil {
		return nil
	}
	return p.startFailure(err, timeout)
}

// startFailure says why a plugin did not start. Of go-plugin's own errors only
// one has a type; the others are known by their text.
func (p *Plugin) startFailure(err error, timeout time.Duration) error {
	text := err.Error()
	install := "islm plugin install " + p.name
	switch {
	case errors.Is(err, goplugin.ErrChecksumsDoNotMatch):
		d := sdk.Diagnostic{Code: "plugin.checksum", File: p.path, Source: sdk.FromHost,
			Summary: fmt.Sprintf("the binary of plugin %s has changed since it was locked", p.name),
			Remedy:  "if you changed it, lock it again: " + install}
		if sum, e := Checksum(p.path); e == nil {
			d.Detail = "sha256 of the binary: " + hex.EncodeToString(sum)
		}
		return p.die(d)
	case strings.Contains(text, "timeout while waiting for plugin to start"):
		return p.die(sdk.Diagnostic{Code: "plugin.silent", File: p.path, Source: sdk.FromPlugin,
			Summary: fmt.Sprintf("plugin %s did not start within %s", p.name, timeout), Detail: p.lastLines(), Remedy: p.report()})
	case strings.Contains(text, "Failed to read any lines from plugin's stdout"),
		strings.Contains(text, "plugin exited before we could connect"):
		p.awaitExit(time.Second) // its last lines come until then
		return p.die(sdk.Diagnostic{Code: "plugin.crashed", File: p.path, Source: sdk.FromPlugin,
			Summary: fmt.Sprintf("plugin %s ended while it started", p.name), Detail: p.lastLines(), Remedy: p.report()})
	case strings.Contains(text, "incompatible API version"):
		return p.die(sdk.Diagnostic{Code: "plugin.protocol", File: p.path, Source: sdk.FromPlugin,
			Summary: fmt.Sprintf("plugin %s speaks another version of the protocol than islm %s (%d)", p.name, sdk.Version, sdk.ProtocolMajor),
			Detail:  text, Remedy: "build it again with this version of the SDK: " + install})
	case strings.Contains(text, "Unrecognized remote plugin message"), strings.Contains(text, "core protocol version"),
		strings.Contains(text, "parsing protocol version"), strings.Contains(text, "unknown address type"),
		strings.Contains(text, "unsupported plugin protocol"), strings.Contains(text, "incompatible core API version"):
		line := text
		if _, after, ok := strings.Cut(text, "Unrecognized remote plugin message: "); ok {
			line, _, _ = strings.Cut(after, "\n")
		}
		return p.die(sdk.Diagnostic{Code: "plugin.stdout", File: p.path, Source: sdk.FromPlugin,
			Summary: fmt.Sprintf("plugin %s printed to stdout, which belongs to the protocol", p.name),
			Detail:  "first line: " + strings.TrimSpace(line), Remedy: "in the plugin: log with sdk.Logger(ctx), print nothing before serve.Main. " + p.report()})
	case errors.Is(err, fs.ErrPermission), strings.Contains(text, "exec format error"):
		return p.die(sdk.Diagnostic{Code: "plugin.not-executable", File: p.path, Source: sdk.FromHost,
			Summary: fmt.Sprintf("the binary of plugin %s cannot be run here: %s", p.name, plain(err)),
			Remedy:  fmt.Sprintf("build it for %s/%s: %s", runtime.GOOS, runtime.GOARCH, install)})
	}
	if p.client.Exited() {
		return p.die(sdk.Diagnostic{Code: "plugin.crashed", File: p.path, Source: sdk.FromPlugin,
			Summary: fmt.Sprintf("plugin %s ended while it started", p.name), Detail: strings.TrimSpace(text + "\n" + p.lastLines()), Remedy: p.report()})
	}
	return fmt.Errorf("start plugin %s: %w", p.name, err)
}

func plain(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}

// clientPlugin is what go-plugin wants to know of our client.
type clientPlugin struct {
	goplugin.NetRPCUnsupportedPlugin
}

func (clientPlugin) GRPCServer(*goplugin.GRPCBroker, *grpc.Server) error {
	return errors.New("the host has no server side")
}

func (clientPlugin) GRPCClient(_ context.Context, _ *goplugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return pb.NewDomainClient(conn), nil
}

// Checksum returns the sha256 of a plugin's binary, as Config.SHA256 wants it.
func Checksum(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("checksum: %w", err)
	}
	h := sha256.New()
	_, err = io.Copy(h, f)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("checksum of %s: %w", path, err)
	}
	return h.Sum(nil), nil
}

// environment is what of the host's environment a plugin gets to see.
func environment(env []string) []string {
	allowed := []string{"HOME", "PATH", "TMPDIR"}
	if runtime.GOOS == "windows" {
		allowed = append(allowed, "SYSTEMROOT", "TEMP", "TMP", "USERPROFILE", "LOCALAPPDATA")
	}
	return slices.DeleteFunc(slices.Clone(env), func(kv string) bool {
		key, _, _ := strings.Cut(kv, "=")
		if runtime.GOOS == "windows" {
			key = strings.ToUpper(key)
		}
		if key == wire.CookieKey {
			return true
		}
		return !slices.Contains(allowed, key) && !strings.HasPrefix(key, "ISLM_")
	})
}

// socketFolder makes the folder for one plugin's socket. The paths of unix
// sockets end at about 100 bytes, so a long TMPDIR is passed by.
func socketFolder() (string, error) {
	const rest = len("/islm-4294967295") + len("/plugin4294967295") + 1
	base := os.TempDir()
	if runtime.GOOS != "windows" && len(base)+rest > 100 {
		base = "/tmp"
	}
	dir, err := os.MkdirTemp(base, wire.SocketPrefix)
	if err != nil {
		return "", fmt.Errorf("make the socket folder: %w", err)
	}
	return dir, nil
}

// tail keeps the end of what a plugin wrote to a stream of its own, and the
// beginning of its last panic.
type tail struct {
	mu      sync.Mutex
	partial []byte
	last    []string // up to tailLines
	crash   []string // up to tailLines from the line that begins a panic
	bytes   int64    // all that came
	log     func(line string)
}

const (
	tailLines = 20
	tailWidth = 2000 // bytes kept of one line
)

// Write takes any piece of the stream.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.bytes += int64(len(b))
	n := len(b)
	for {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			t.keep(b)
			return n, nil
		}
		t.keep(b[:i])
		t.line(string(t.partial))
		t.partial = t.partial[:0]
		b = b[i+1:]
	}
}

func (t *tail) keep(b []byte) {
	if room := tailWidth - len(t.partial); len(b) > room {
		b = b[:max(room, 0)]
	}
	t.partial = append(t.partial, b...)
}

func (t *tail) line(s string) {
	s = readable(s)
	if t.log != nil {
		t.log(s)
	}
	if strings.HasPrefix(s, "panic: ") || strings.HasPrefix(s, "fatal error: ") {
		t.crash = []string{s}
	} else if t.crash != nil && len(t.crash) < tailLines {
		t.crash = append(t.crash, s)
	}
	t.last = append(t.last, s)
	if len(t.last) > tailLines {
		t.last = t.last[len(t.last)-tailLines:]
	}
}

// lines returns what best tells why the plugin ended.
func (t *tail) lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.crash != nil {
		return slices.Clone(t.crash)
	}
	lines := slices.Clone(t.last)
	if len(t.partial) > 0 {
		lines = append(lines, readable(string(t.partial)))
	}
	return lines
}
