package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/islm-dev/islm/sdk"
	"github.com/islm-dev/islm/sdk/internal/wire"
	"github.com/islm-dev/islm/sdk/internal/wire/pb"
)

// Plugin is a running plugin. Its methods may be called concurrently.
type Plugin struct {
	name    string
	path    string
	sockets string // folder, removed by Close
	dataDir string
	dev     bool
	idle    time.Duration
	logger  hclog.Logger

	client *goplugin.Client // nil after Dial
	conn   *grpc.ClientConn // nil after Launch
	kill   context.CancelFunc
	rpc    pb.DomainClient
	stdout tail
	stderr tail

	mu          sync.Mutex
	description *sdk.Description
	digest      string
	dead        error // what ended the plugin, once something did
	closed      bool
	closing     sync.Once
}

// Name returns the plugin's name: as it describes itself, else as it was asked
// for.
func (p *Plugin) Name() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.description != nil && p.description.Name != "" {
		return p.description.Name
	}
	return p.name
}

// Description returns the last answer of Describe; Launch has asked once.
func (p *Plugin) Description() *sdk.Description {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.description
}

// Dev reports whether the binary's checksum was left alone.
func (p *Plugin) Dev() bool { return p.dev }

// Digest returns what stands for the plugin's content and its effective options;
// it is "" before Configure.
func (p *Plugin) Digest() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.digest
}

// Stdout returns the end of what the plugin printed after its start, which it
// should not, and how many bytes it printed.
func (p *Plugin) Stdout() (lines []string, bytes int64) {
	lines = p.stdout.lines()
	p.stdout.mu.Lock()
	defer p.stdout.mu.Unlock()
	return lines, p.stdout.bytes
}

// Pid returns the process ID of the plugin, 0 if it has no process of its own.
func (p *Plugin) Pid() int {
	if p.client == nil {
		return 0
	}
	if r := p.client.ReattachConfig(); r != nil {
		return r.Pid
	}
	return 0
}

// Exited reports whether the plugin's process has ended.
func (p *Plugin) Exited() bool { return p.client != nil && p.client.Exited() }

// Describe asks what the plugin holds. Problems in the plugin's own files are
// part of the description.
func (p *Plugin) Describe(ctx context.Context) (*sdk.Description, error) {
	var d *sdk.Description
	err := p.unary(ctx, "Describe", "", func(ctx context.Context) error {
		r, err := p.rpc.Describe(ctx, &pb.DescribeRequest{})
		if err != nil {
			return err
		}
		d, err = wire.ToDescription(r)
		return err
	})
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.description = d
	p.mu.Unlock()
	return d, nil
}

// Configure gives the plugin its options, by name, for all later calls. The
// diagnostics are about the options; with errors among them the former options
// stay.
func (p *Plugin) Configure(ctx context.Context, options map[string]string) (sdk.Diagnostics, error) {
	var ds sdk.Diagnostics
	err := p.unary(ctx, "Configure", "", func(ctx context.Context) error {
		r, err := p.rpc.Configure(ctx, &pb.ConfigureRequest{Options: options, DataDir: p.dataDir})
		if err != nil {
			return err
		}
		ds = wire.ToDiagnostics(r.GetDiagnostics())
		p.mu.Lock()
		p.digest = r.GetDigest()
		p.mu.Unlock()
		return nil
	})
	return ds, err
}

// Vocabulary streams the terms of the domain.
func (p *Plugin) Vocabulary(ctx context.Context) iter.Seq2[sdk.Term, error] {
	return receive(ctx, p, "Vocabulary", "", func(ctx context.Context) (wire.Receiver[pb.VocabularyResponse], error) {
		return p.rpc.Vocabulary(ctx, &pb.VocabularyRequest{})
	}, func(m *pb.VocabularyResponse) ([]sdk.Term, []*pb.Diagnostic) {
		return convert(m.GetTerms(), wire.ToTerm), m.GetDiagnostics()
	})
}

// Rules streams the rule files of the domain and its packs.
func (p *Plugin) Rules(ctx context.Context) iter.Seq2[sdk.RuleFile, error] {
	return receive(ctx, p, "Rules", "", func(ctx context.Context) (wire.Receiver[pb.RulesResponse], error) {
		return p.rpc.Rules(ctx, &pb.RulesRequest{})
	}, func(m *pb.RulesResponse) ([]sdk.RuleFile, []*pb.Diagnostic) {
		return convert(m.GetFiles(), wire.ToRuleFile), m.GetDiagnostics()
	})
}

// Facts streams the entities of the domain, then its facts.
func (p *Plugin) Facts(ctx context.Context) iter.Seq2[sdk.FactItem, error] {
	return receive(ctx, p, "Facts", "", func(ctx context.Context) (wire.Receiver[pb.FactsResponse], error) {
		return p.rpc.Facts(ctx, &pb.FactsRequest{})
	}, func(m *pb.FactsResponse) ([]sdk.FactItem, []*pb.Diagnostic) {
		return convert(m.GetItems(), wire.ToFactItem), m.GetDiagnostics()
	})
}

// Read streams examples of a dataset. An example whose offsets do not fit its
// text is reported in its place.
func (p *Plugin) Read(ctx context.Context, req sdk.ReadRequest) iter.Seq2[sdk.Example, error] {
	what := "dataset " + req.Dataset
	if req.Split != "" {
		what += ", split " + req.Split
	}
	return checked(receive(ctx, p, "Read", what, func(ctx context.Context) (wire.Receiver[pb.ReadResponse], error) {
		return p.rpc.Read(ctx, &pb.ReadRequest{Dataset: req.Dataset, Split: req.Split, Limit: int64(req.Limit), Path: req.Path})
	}, func(m *pb.ReadResponse) ([]sdk.Example, []*pb.Diagnostic) {
		return convert(m.GetExamples(), wire.ToExample), m.GetDiagnostics()
	}))
}

// Augment runs one of the plugin's augmenters over a stream of examples and
// yields what it makes of them, in their order; Parent names the example that
// each was made from. In is consumed on the caller's goroutine, some hundred
// examples ahead.
func (p *Plugin) Augment(ctx context.Context, req sdk.AugmentRequest, in iter.Seq2[sdk.Example, error]) iter.Seq2[sdk.Example, error] {
	what := fmt.Sprintf("augmenter %q", req.Augmenter)
	if err := p.gone(); err != nil {
		return failed[sdk.Example](err)
	}
	return checked(wire.Exchange(ctx, p.idle, func(ctx context.Context) (wire.BidiStream, error) { return p.rpc.Augment(ctx) },
		&pb.AugmentRequest_Start{Augmenter: req.Augmenter, Params: req.Params, Seed: req.Seed}, in,
		func(err error) error { return p.failure(ctx, "Augment", what, err) }))
}

// receive is a server stream under the plugin's idle timeout.
func receive[M, T any](ctx context.Context, p *Plugin, rpc, what string, open func(context.Context) (wire.Receiver[M], error),
	unpack func(*M) ([]T, []*pb.Diagnostic)) iter.Seq2[T, error] {
	if err := p.gone(); err != nil {
		return failed[T](err)
	}
	return wire.Receive(ctx, p.idle, open, unpack, func(err error) error { return p.failure(ctx, rpc, what, err) })
}

func failed[T any](err error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		yield(zero, err)
	}
}

// checked replaces examples with bad offsets by what is wrong with them: a plugin
// in another language may not have checked.
func checked(seq iter.Seq2[sdk.Example, error]) iter.Seq2[sdk.Example, error] {
	return func(yield func(sdk.Example, error) bool) {
		for ex, err := range seq {
			if err == nil {
				if ds := ex.Check(); ds.HasErrors() {
					ex, err = sdk.Example{}, ds.Err()
				}
			}
			if !yield(ex, err) {
				return
			}
		}
	}
}

func convert[A, B any](in []A, f func(A) B) []B {
	out := make([]B, len(in))
	for i, x := range in {
		out[i] = f(x)
	}
	return out
}

// unary runs a call of one answer under the idle timeout.
func (p *Plugin) unary(ctx context.Context, rpc, what string, call func(context.Context) error) error {
	if err := p.gone(); err != nil {
		return err
	}
	inner := ctx
	if p.idle > 0 {
		var cancel context.CancelFunc
		inner, cancel = context.WithTimeoutCause(ctx, p.idle, wire.ErrSilent)
		defer cancel()
	}
	err := call(inner)
	if err == nil {
		return nil
	}
	if ctx.Err() == nil && inner.Err() != nil {
		err = wire.ErrSilent
	}
	return p.failure(ctx, rpc, what, err)
}

// gone returns why the plugin can no longer be called, or nil.
func (p *Plugin) gone() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead != nil {
		return p.dead
	}
	if p.closed {
		return fmt.Errorf("plugin %s is closed", p.name)
	}
	return nil
}

// failure turns what a call returned into what a person can use. A plugin that
// died or hung is ended here, with one diagnostic.
func (p *Plugin) failure(ctx context.Context, rpc, what string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("plugin %s: %s: %w", p.label(), strings.ToLower(rpc), context.Cause(ctx))
	}
	if dead := p.gone(); dead != nil {
		return dead
	}
	during := rpc
	if what != "" {
		during += " (" + what + ")"
	}
	if errors.Is(err, wire.ErrSilent) {
		return p.die(sdk.Diagnostic{Code: "plugin.silent", File: p.path, Source: sdk.FromPlugin,
			Summary: fmt.Sprintf("plugin %s sent nothing for %s during %s", p.label(), p.idle, during),
			Detail:  p.lastLines(), Remedy: "it was ended; if its work takes that long, raise the idle timeout, else " + p.report()})
	}
	var large *wire.TooLargeError
	if errors.As(err, &large) {
		return fatal(sdk.Diagnostic{Code: "plugin.too-large", Source: sdk.FromData, Summary: large.Error(), Remedy: "split the text"})
	}
	st, ok := status.FromError(err)
	if !ok {
		var de *sdk.DiagnosticsError
		if errors.As(err, &de) {
			return err
		}
		return fmt.Errorf("plugin %s: %s: %w", p.label(), strings.ToLower(rpc), err)
	}
	if ds, isFatal := wire.DiagnosticsOfStatus(err); len(ds) > 0 {
		for i := range ds {
			if ds[i].Code == "plugin.panic" && ds[i].Remedy == "" {
				ds[i].Remedy = p.report()
			}
		}
		return &sdk.DiagnosticsError{Diagnostics: ds, Fatal: isFatal}
	}
	switch {
	case st.Code() == codes.OutOfRange:
		return fatal(sdk.Diagnostic{Code: "plugin.too-large", File: p.path, Source: sdk.FromPlugin,
			Summary: st.Message(), Remedy: "split the text. " + p.report()})
	case st.Code() == codes.ResourceExhausted && strings.Contains(st.Message(), "larger than max"):
		return fatal(sdk.Diagnostic{Code: "plugin.too-large", File: p.path, Source: sdk.FromPlugin,
			Summary: fmt.Sprintf("plugin %s sent a message larger than %d bytes during %s", p.label(), wire.HardBytes, during),
			Detail:  st.Message(), Remedy: p.report()})
	case st.Code() == codes.Unimplemented:
		return fatal(sdk.Diagnostic{Code: "plugin.protocol", File: p.path, Source: sdk.FromPlugin,
			Summary: fmt.Sprintf("plugin %s does not know the call %s", p.label(), rpc), Remedy: "build it again with this version of the SDK"})
	case st.Code() == codes.Unavailable || p.awaitExit(100*time.Millisecond):
		p.awaitExit(2 * time.Second)
		return p.die(sdk.Diagnostic{Code: "plugin.crashed", File: p.path, Source: sdk.FromPlugin,
			Summary: fmt.Sprintf("plugin %s died during %s", p.label(), during), Detail: p.lastLines(), Remedy: p.report()})
	}
	return fmt.Errorf("plugin %s: %s", p.label(), st.Message())
}

// awaitExit waits until the process has ended; it reports whether it has.
func (p *Plugin) awaitExit(d time.Duration) bool {
	if p.client == nil {
		return false
	}
	for deadline := time.Now().Add(d); ; time.Sleep(5 * time.Millisecond) {
		if p.client.Exited() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}

// die ends the plugin for good. The first cause is the one that every later call
// returns.
func (p *Plugin) die(d sdk.Diagnostic) error {
	p.mu.Lock()
	if p.dead == nil {
		p.dead = fatal(d)
	}
	dead := p.dead
	p.mu.Unlock()
	if p.kill != nil {
		p.kill()
	}
	return dead
}

func fatal(d sdk.Diagnostic) error {
	var ds sdk.Diagnostics
	ds.Add(d)
	return &sdk.DiagnosticsError{Diagnostics: ds, Fatal: true}
}

// label is name and version as far as known.
func (p *Plugin) label() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d := p.description; d != nil && d.Name != "" {
		return strings.TrimSpace(d.Name + " " + d.Version)
	}
	return p.name
}

// report is the remedy for what only the plugin's author can mend.
func (p *Plugin) report() string {
	s := "this is a bug in " + p.label()
	if d := p.Description(); d != nil && d.Homepage != "" {
		s += ": report it at " + d.Homepage
	}
	return s
}

// lastLines is what the plugin wrote last.
func (p *Plugin) lastLines() string {
	lines := p.stderr.lines()
	if len(lines) == 0 {
		return ""
	}
	return "last lines of its log:\n" + strings.Join(lines, "\n")
}

// readable turns a log record in JSON into a line; other text stays.
func readable(line string) string {
	if !strings.HasPrefix(line, "{") {
		return line
	}
	var record map[string]any
	if json.Unmarshal([]byte(line), &record) != nil {
		return line
	}
	message, ok := record["@message"].(string)
	if !ok {
		return line
	}
	level, _ := record["@level"].(string)
	var b strings.Builder
	fmt.Fprintf(&b, "[%s] %s", strings.ToUpper(level), message)
	keys := make([]string, 0, len(record))
	for k := range record {
		if !strings.HasPrefix(k, "@") {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		if s, ok := record[k].(string); ok && strings.Contains(s, "\n") {
			fmt.Fprintf(&b, "\n%s:\n%s", k, s)
			continue
		}
		fmt.Fprintf(&b, " %s=%v", k, record[k])
	}
	return b.String()
}

// How long Close waits for a plugin to end by itself, and then for the system to
// end it.
const (
	closeGently = 3 * time.Second
	closeHard   = 2 * time.Second
)

// Close ends the plugin and removes its socket. It may be called more than once.
func (p *Plugin) Close() {
	p.closing.Do(func() {
		p.mu.Lock()
		p.closed = true
		dead := p.dead != nil
		p.mu.Unlock()
		if p.conn != nil {
			if err := p.conn.Close(); err != nil {
				p.logger.Debug("close connection", "error", err)
			}
		}
		if p.client != nil {
			if dead {
				p.kill()
			}
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				p.client.Kill()
			}()
			select {
			case <-ended:
			case <-time.After(closeGently):
				p.kill()
				select {
				case <-ended:
				case <-time.After(closeHard): // a process of the plugin's own holds its pipes
					p.logger.Warn("plugin left processes of its own behind", "plugin", p.name)
				}
			}
		}
		if p.kill != nil {
			p.kill()
		}
		if p.sockets != "" {
			if err := os.RemoveAll(p.sockets); err != nil {
				p.logger.Warn("remove socket folder", "error", err)
			}
		}
	})
}
