package sdktest

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/test/bufconn"

	"github.com/islm-dev/islm/sdk"
	"github.com/islm-dev/islm/sdk/host"
	"github.com/islm-dev/islm/sdk/serve"
)

// Conform runs the checks that need no process of the plugin's own, each as a
// subtest. The domain is served and called as in a run, over a connection in
// memory, so that messages, batches and limits are those of the protocol.
func Conform(t *testing.T, d sdk.Domain, skip ...Skip) {
	t.Helper()
	o := Options{Skip: skip}
	o.Done = func(r Result) {
		t.Run(r.ID, func(t *testing.T) {
			switch r.Status {
			case Skipped:
				t.Skip(r.Reason)
			case Failed:
				t.Errorf("%s\n%s", r.Purpose, r.Diagnostics)
			}
		})
	}
	if _, err := conform(t.Context(), d, o); err != nil {
		t.Fatal(err)
	}
}

func conform(ctx context.Context, d sdk.Domain, o Options) (*Report, error) {
	s := &domain{}
	s.domain = s.watched(d)
	return run(ctx, s, o, func(c Check) bool { return !c.Process })
}

// domain is a plugin without a process.
type domain struct {
	domain  sdk.Domain
	running atomic.Int64 // hooks that have not returned
}

func (s *domain) binary() string { return "" }

func (s *domain) launch(ctx context.Context) (Plugin, error) {
	lis := bufconn.Listen(1 << 20)
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	var serveErr error
	go func() {
		defer close(ended)
		serveErr = serve.On(ctx, s.domain, lis, nil)
	}()
	p, err := host.Dial(ctx, func(ctx context.Context) (net.Conn, error) { return lis.DialContext(ctx) }, host.Config{Name: "domain"})
	if err != nil {
		cancel()
		<-ended
		if serveErr != nil {
			return nil, fmt.Errorf("serve the domain: %w", serveErr)
		}
		return nil, err
	}
	return &inProcess{Plugin: p, stop: func() { cancel(); <-ended }}, nil
}

// idle waits until no hook runs.
func (s *domain) idle(d time.Duration) bool {
	for deadline := time.Now().Add(d); s.running.Load() > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// inProcess ends the server with the connection.
type inProcess struct {
	*host.Plugin
	stop func()
	once sync.Once
}

// Close ends the connection, then the server.
func (p *inProcess) Close() {
	p.once.Do(func() {
		p.Plugin.Close()
		p.stop()
	})
}

// watched counts the hooks of a domain that are running.
func (s *domain) watched(d sdk.Domain) sdk.Domain {
	if d.Terms != nil {
		hook := d.Terms
		d.Terms = func(ctx context.Context) iter.Seq2[sdk.Term, error] { return watch(&s.running, hook(ctx)) }
	}
	if d.Facts != nil {
		hook := d.Facts
		d.Facts = func(ctx context.Context) iter.Seq2[sdk.FactItem, error] { return watch(&s.running, hook(ctx)) }
	}
	readers := make(map[string]sdk.Reader, len(d.Readers))
	for name, hook := range d.Readers {
		if hook != nil {
			hook := hook
			readers[name] = func(ctx context.Context, req sdk.ReadRequest) iter.Seq2[sdk.Example, error] {
				return watch(&s.running, hook(ctx, req))
			}
			continue
		}
		readers[name] = nil
	}
	augmenters := make(map[string]sdk.Augmenter, len(d.Augmenters))
	for name, hook := range d.Augmenters {
		if hook != nil {
			hook := hook
			augmenters[name] = func(ctx context.Context, ex sdk.Example, rng *rand.Rand) ([]sdk.Example, error) {
				s.running.Add(1)
				defer s.running.Add(-1)
				return hook(ctx, ex, rng)
			}
			continue
		}
		augmenters[name] = nil
	}
	d.Readers, d.Augmenters = readers, augmenters
	return d
}

func watch[T any](running *atomic.Int64, seq iter.Seq2[T, error]) iter.Seq2[T, error] {
	if seq == nil {
		return nil
	}
	return func(yield func(T, error) bool) {
		running.Add(1)
		defer running.Add(-1)
		for x, err := range seq {
			if !yield(x, err) {
				return
			}
		}
	}
}
