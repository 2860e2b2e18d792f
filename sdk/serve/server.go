package serve

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/islm-dev/islm/sdk"
	"github.com/islm-dev/islm/sdk/internal/wire"
	"github.com/islm-dev/islm/sdk/internal/wire/pb"
)

// server answers the calls of the protocol from a domain.
type server struct {
	pb.UnimplementedDomainServer
	domain sdk.Domain
	logger hclog.Logger
	env    atomic.Pointer[sdk.Env]

	load     sync.Once
	content  *sdk.Content
	problems sdk.Diagnostics
}

func newServer(d sdk.Domain, logger hclog.Logger) *server {
	return &server{domain: d, logger: logger}
}

// loaded reads the domain's files, once.
func (s *server) loaded() (*sdk.Content, sdk.Diagnostics) {
	s.load.Do(func() { s.content, s.problems = sdk.Load(s.domain) })
	return s.content, s.problems
}

// hookContext gives hooks their logger, options and data folder.
func (s *server) hookContext(ctx context.Context) context.Context {
	env := sdk.Env{}
	if e := s.env.Load(); e != nil {
		env = *e
	} else {
		c, _ := s.loaded()
		env.Options, _ = sdk.ResolveOptions(c.Manifest.Options, nil)
	}
	env.Logger = s.logger
	return sdk.WithEnv(ctx, env)
}

// Describe answers from the manifest.
func (s *server) Describe(context.Context, *pb.DescribeRequest) (*pb.DescribeResponse, error) {
	c, problems := s.loaded()
	r, err := wire.FromDescription(c.Description(problems))
	return r, wire.ToStatus(err)
}

// Configure checks the options; they hold for later calls if they have no errors.
func (s *server) Configure(_ context.Context, req *pb.ConfigureRequest) (*pb.ConfigureResponse, error) {
	c, _ := s.loaded()
	values, ds := sdk.ResolveOptions(c.Manifest.Options, req.GetOptions())
	for i := range ds {
		ds[i].Source = sdk.FromData
	}
	if !ds.HasErrors() {
		s.env.Store(&sdk.Env{Options: values, DataDir: req.GetDataDir()})
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s\n", c.Digest)
	for _, o := range c.Manifest.Options {
		fmt.Fprintf(h, "%q=%q\n", o.Name, values[o.Name])
	}
	return &pb.ConfigureResponse{Diagnostics: wire.FromDiagnostics(ds), Digest: hex.EncodeToString(h.Sum(nil))}, nil
}

// Vocabulary streams the terms of the files, then those of the hook.
func (s *server) Vocabulary(_ *pb.VocabularyRequest, out grpc.ServerStreamingServer[pb.VocabularyResponse]) (err error) {
	defer s.hook("the vocabulary hook", &err)
	ctx := s.hookContext(out.Context())
	b := &wire.Batcher[*pb.Term]{
		Name: func(t *pb.Term) string { return fmt.Sprintf("term %q", t.GetText()) },
		Send: func(items []*pb.Term, problems []*pb.Diagnostic, _ int) error {
			return out.Send(&pb.VocabularyResponse{Terms: items, Diagnostics: problems})
		},
	}
	c, _ := s.loaded()
	for _, t := range c.Terms {
		if err := b.Add(wire.FromTerm(t)); err != nil {
			return wire.ToStatus(err)
		}
	}
	if s.domain.Terms != nil {
		if err := pour(ctx, b, s.domain.Terms(ctx), wire.FromTerm, nil); err != nil {
			return wire.ToStatus(fmt.Errorf("vocabulary: %w", err))
		}
	}
	return wire.ToStatus(b.Flush())
}

// Rules streams the rule files.
func (s *server) Rules(_ *pb.RulesRequest, out grpc.ServerStreamingServer[pb.RulesResponse]) error {
	b := &wire.Batcher[*pb.RuleFile]{
		Name: func(f *pb.RuleFile) string { return "rule file " + f.GetPath() },
		Send: func(items []*pb.RuleFile, problems []*pb.Diagnostic, _ int) error {
			return out.Send(&pb.RulesResponse{Files: items, Diagnostics: problems})
		},
	}
	c, _ := s.loaded()
	for _, f := range c.Rules {
		if err := b.Add(wire.FromRuleFile(f)); err != nil {
			return wire.ToStatus(err)
		}
	}
	return wire.ToStatus(b.Flush())
}

// Facts streams the entities of the files and of the hook, then the facts of
// both.
func (s *server) Facts(_ *pb.FactsRequest, out grpc.ServerStreamingServer[pb.FactsResponse]) (err error) {
	defer s.hook("the facts hook", &err)
	ctx := s.hookContext(out.Context())
	b := &wire.Batcher[*pb.FactItem]{
		Name: func(it *pb.FactItem) string {
			if e := it.GetEntity(); e != nil {
				return fmt.Sprintf("entity %q", e.GetId())
			}
			return fmt.Sprintf("fact of %q", it.GetFact().GetSubject())
		},
		Send: func(items []*pb.FactItem, problems []*pb.Diagnostic, _ int) error {
			return out.Send(&pb.FactsResponse{Items: items, Diagnostics: problems})
		},
	}
	c, _ := s.loaded()
	for _, e := range c.Entities {
		if err := b.Add(wire.FromFactItem(sdk.FactItem{Entity: &e})); err != nil {
			return wire.ToStatus(err)
		}
	}
	fromFiles := func() error {
		for _, f := range c.Facts {
			if err := b.Add(wire.FromFactItem(sdk.FactItem{Fact: &f})); err != nil {
				return err
			}
		}
		return nil
	}
	if s.domain.Facts == nil {
		if err := fromFiles(); err != nil {
			return wire.ToStatus(err)
		}
		return wire.ToStatus(b.Flush())
	}
	facts := false
	check := func(it sdk.FactItem) (sdk.Diagnostics, error) {
		switch {
		case (it.Entity == nil) == (it.Fact == nil):
			return nil, errors.New("the hook gave an item that is neither an entity nor a fact")
		case it.Entity != nil && facts:
			return nil, fmt.Errorf("the hook gave entity %q after its first fact", it.Entity.ID)
		case it.Fact != nil && !facts:
			facts = true
			return nil, fromFiles()
		}
		return nil, nil
	}
	if err := pour(ctx, b, s.domain.Facts(ctx), wire.FromFactItem, check); err != nil {
		return wire.ToStatus(fmt.Errorf("facts: %w", err))
	}
	if !facts {
		if err := fromFiles(); err != nil {
			return wire.ToStatus(err)
		}
	}
	return wire.ToStatus(b.Flush())
}

// Read streams a dataset, embedded or read by a hook.
func (s *server) Read(req *pb.ReadRequest, out grpc.ServerStreamingServer[pb.ReadResponse]) (err error) {
	r := sdk.ReadRequest{Dataset: req.GetDataset(), Split: req.GetSplit(), Limit: int(req.GetLimit()), Path: req.GetPath()}
	c, _ := s.loaded()
	d, ds := findDataset(c.Manifest, r)
	if ds.HasErrors() {
		return wire.ToStatus(ds.Err())
	}
	what := "dataset " + d.Name
	if r.Split != "" {
		what += ", split " + r.Split
	}
	b := &wire.Batcher[*pb.Example]{
		Name: func(e *pb.Example) string { return fmt.Sprintf("example %q of %s", e.GetId(), what) },
		Send: func(items []*pb.Example, problems []*pb.Diagnostic, _ int) error {
			return out.Send(&pb.ReadResponse{Examples: items, Diagnostics: problems})
		},
	}
	ctx := s.hookContext(out.Context())
	var rows iter.Seq2[sdk.Example, error]
	if d.Hook == "" {
		rows = sdk.ReadEmbedded(ctx, s.domain.FS, c.Manifest, r)
	} else {
		defer s.hook(fmt.Sprintf("reader %q", d.Hook), &err)
		reader := s.domain.Readers[d.Hook]
		if reader == nil {
			return wire.ToStatus(fmt.Errorf("read %s: the domain has no reader %q", what, d.Hook))
		}
		rows = complete(reader(ctx, r), d, r)
	}
	check := func(e sdk.Example) (sdk.Diagnostics, error) { return e.Check(), nil }
	if err := pour(ctx, b, rows, wire.FromExample, check); err != nil {
		return wire.ToStatus(fmt.Errorf("read %s: %w", what, err))
	}
	return wire.ToStatus(b.Flush())
}

// findDataset checks a request against the manifest.
func findDataset(m *sdk.Manifest, r sdk.ReadRequest) (sdk.Dataset, sdk.Diagnostics) {
	var ds sdk.Diagnostics
	var names []string
	for _, d := range m.Datasets {
		names = append(names, d.Name)
	}
	suggest := func(word string, known []string) string {
		if near := sdk.Nearest(word, known); near != "" {
			return fmt.Sprintf("did you mean %q?", near)
		}
		return "known: " + strings.Join(known, ", ")
	}
	d, ok := m.Dataset(r.Dataset)
	if !ok {
		ds.Add(sdk.Diagnostic{Code: "dataset.unknown", Summary: fmt.Sprintf("domain %s has no dataset %q", m.Name, r.Dataset), Remedy: suggest(r.Dataset, names)})
		return d, ds
	}
	if r.Split != "" && !slices.Contains(d.Splits, r.Split) {
		ds.Add(sdk.Diagnostic{Code: "dataset.split", Summary: fmt.Sprintf("dataset %q has no split %q", d.Name, r.Split), Remedy: suggest(r.Split, d.Splits)})
	}
	return d, ds
}

// complete gives the examples of a hook an ID, the head of a bare label, and the
// limit asked for.
func complete(rows iter.Seq2[sdk.Example, error], d sdk.Dataset, r sdk.ReadRequest) iter.Seq2[sdk.Example, error] {
	prefix := d.Name
	if r.Split != "" {
		prefix += "." + r.Split
	}
	return func(yield func(sdk.Example, error) bool) {
		if rows == nil {
			yield(sdk.Example{}, errors.New("the reader returned nil"))
			return
		}
		n := 0
		for ex, err := range rows {
			if err == nil {
				if r.Limit > 0 && n >= r.Limit {
					return
				}
				n++
				if ex.ID == "" {
					ex.ID = fmt.Sprintf("%s:%d", prefix, n)
				}
				if l, bare := ex.Labels[""]; bare && d.Task != "" {
					if _, taken := ex.Labels[d.Task]; !taken {
						ex = ex.Clone()
						delete(ex.Labels, "")
						ex.Labels[d.Task] = l
					}
				}
			}
			if !yield(ex, err) {
				return
			}
		}
	}
}

// pour sends a stream of a hook. Problems of the data are reported and the stream
// goes on; any other error ends it, after what came before.
func pour[T any, M proto.Message](ctx context.Context, b *wire.Batcher[M], seq iter.Seq2[T, error], convert func(T) M, check func(T) (sdk.Diagnostics, error)) (err error) {
	if seq == nil {
		return errors.New("the hook returned nil")
	}
	defer func() {
		if err != nil && ctx.Err() == nil {
			if flushErr := b.Flush(); flushErr != nil {
				err = errors.Join(err, flushErr)
			}
		}
	}()
	for x, err := range seq {
		if ctxErr := ctx.Err(); ctxErr != nil {
			return ctxErr
		}
		if err != nil {
			problems, fatal, ok := sdk.DiagnosticsOf(err)
			if !ok || fatal {
				return err
			}
			if err := b.Report(problems); err != nil {
				return err
			}
			continue
		}
		if check != nil {
			problems, err := check(x)
			if err != nil {
				return err
			}
			if problems.HasErrors() {
				if err := b.Report(problems); err != nil {
					return err
				}
				continue
			}
		}
		if err := b.Add(convert(x)); err != nil {
			return err
		}
	}
	return nil
}

// Augment runs an augmenter over batches of examples, in parallel within a batch
// and in the order in which they came.
func (s *server) Augment(stream grpc.BidiStreamingServer[pb.AugmentRequest, pb.AugmentResponse]) (err error) {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	start := first.GetStart()
	if start == nil {
		return wire.ToStatus(errors.New("augment: the first message must be a start"))
	}
	name := start.GetAugmenter()
	augment := s.domain.Augmenters[name]
	if augment == nil {
		known := slices.Sorted(func(yield func(string) bool) {
			for k := range s.domain.Augmenters {
				if !yield(k) {
					return
				}
			}
		})
		d := sdk.Diagnostic{Code: "augment.unknown", Summary: fmt.Sprintf("the domain has no augmenter %q", name)}
		if near := sdk.Nearest(name, known); near != "" {
			d.Remedy = fmt.Sprintf("did you mean %q?", near)
		} else if len(known) > 0 {
			d.Remedy = "known: " + strings.Join(known, ", ")
		}
		var ds sdk.Diagnostics
		ds.Add(d)
		return wire.ToStatus(ds.Err())
	}
	ctx := s.hookContext(stream.Context())
	env := sdk.EnvOf(ctx)
	env.Params = start.GetParams()
	ctx = sdk.WithEnv(ctx, env)
	one := func(ctx context.Context, ex sdk.Example) (_ []sdk.Example, err error) {
		defer s.hook(fmt.Sprintf("augmenter %q", name), &err)
		made, err := augment(ctx, ex.Clone(), sdk.AugmentRand(start.GetSeed(), name, ex.ID))
		if err != nil {
			return nil, fmt.Errorf("augmenter %q, example %q: %w", name, ex.ID, err)
		}
		for i := range made {
			made[i].Parent = ex.ID
			if made[i].ID == "" || made[i].ID == ex.ID {
				made[i].ID = fmt.Sprintf("%s#%s.%d", ex.ID, name, i)
			}
		}
		return made, nil
	}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		batch := m.GetBatch().GetExamples()
		b := &wire.Batcher[*pb.Example]{
			Name: func(e *pb.Example) string { return fmt.Sprintf("example %q made by augmenter %q", e.GetId(), name) },
			Send: func(items []*pb.Example, problems []*pb.Diagnostic, done int) error {
				return stream.Send(&pb.AugmentResponse{Examples: items, Diagnostics: problems, Done: uint32(done)})
			},
		}
		for r := range inOrder(ctx, batch, one) {
			if r.err != nil {
				problems, fatal, ok := sdk.DiagnosticsOf(r.err)
				if !ok || fatal {
					return wire.ToStatus(r.err)
				}
				if err := b.Report(problems); err != nil {
					return wire.ToStatus(err)
				}
			}
			for _, ex := range r.made {
				if problems := ex.Check(); problems.HasErrors() {
					if err := b.Report(problems); err != nil {
						return wire.ToStatus(err)
					}
					continue
				}
				if err := b.Add(wire.FromExample(ex)); err != nil {
					return wire.ToStatus(err)
				}
			}
			if err := b.Done(1); err != nil {
				return wire.ToStatus(err)
			}
		}
		if err := ctx.Err(); err != nil {
			return wire.ToStatus(err)
		}
		if err := b.Flush(); err != nil {
			return wire.ToStatus(err)
		}
	}
}

type augmented struct {
	made []sdk.Example
	err  error
}

// inOrder runs f over a batch on as many goroutines as there are processors and
// yields the results in the order of the batch. All goroutines have ended when it
// returns.
func inOrder(ctx context.Context, batch []*pb.Example, f func(context.Context, sdk.Example) ([]sdk.Example, error)) iter.Seq[augmented] {
	return func(yield func(augmented) bool) {
		ctx, cancel := context.WithCancel(ctx)
		workers := min(runtime.GOMAXPROCS(0), len(batch))
		results := make([]chan augmented, len(batch))
		for i := range results {
			results[i] = make(chan augmented, 1)
		}
		var next atomic.Int64
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() {
				for {
					i := int(next.Add(1)) - 1
					if i >= len(batch) || ctx.Err() != nil {
						return
					}
					made, err := f(ctx, wire.ToExample(batch[i]))
					results[i] <- augmented{made, err}
				}
			})
		}
		defer wg.Wait()
		defer cancel()
		for i := range results {
			select {
			case r := <-results[i]:
				if !yield(r) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}

// hook turns a panic into an error that names the hook, with the stack as one
// record in the log. It is deferred.
func (s *server) hook(name string, err *error) {
	r := recover()
	if r == nil {
		return
	}
	*err = s.panicked(name, r)
}

func (s *server) panicked(name string, r any) error {
	stack := debug.Stack()
	if len(stack) > 32<<10 {
		stack = stack[:32<<10]
	}
	s.logger.Error("panic in "+name, "panic", fmt.Sprint(r), "stack", string(stack))
	var ds sdk.Diagnostics
	ds.Add(sdk.Diagnostic{Code: "plugin.panic", Summary: fmt.Sprintf("%s panicked: %v", name, r), Detail: "the stack is in the log", Source: sdk.FromPlugin})
	return wire.ToStatus(&sdk.DiagnosticsError{Diagnostics: ds, Fatal: true})
}

// serverOptions raises gRPC's limits and nets what panics outside hooks.
func serverOptions(s *server) []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(wire.HardBytes),
		grpc.MaxSendMsgSize(wire.HardBytes),
		grpc.ChainUnaryInterceptor(func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (_ any, err error) {
			defer s.hook(info.FullMethod, &err)
			return next(ctx, req)
		}),
		grpc.ChainStreamInterceptor(func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
			defer s.hook(info.FullMethod, &err)
			return next(srv, ss)
		}),
	}
}
