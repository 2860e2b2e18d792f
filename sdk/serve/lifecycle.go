package serve

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/stats"

	"github.com/islm-dev/islm/sdk/internal/wire"
)

// How long a plugin lives on its own.
const (
	// lingerAfter is the time between the end of the last connection and the end
	// of the process; a host that reconnects at once is not cut off.
	lingerAfter = 200 * time.Millisecond
	// waitForHost is the time in which the first connection has to come.
	waitForHost = 30 * time.Second
	// parentEvery is how often a plugin that waits for its first connection looks
	// whether the process that started it still lives.
	parentEvery = 250 * time.Millisecond
)

// lifecycle stops the server when nobody is there to use it: when the last
// connection has ended, when none ever comes, and when the process that started
// the plugin dies before it connects. Nothing else tells a plugin that its host
// was killed.
type lifecycle struct {
	mu      sync.Mutex
	open    int
	started bool // a connection has come
	timer   *time.Timer
	stop    func()
}

func newLifecycle() *lifecycle { return &lifecycle{} }

// begin starts the wait for the first connection; stop ends the server.
func (l *lifecycle) begin(stop func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stop = stop
	l.timer = time.AfterFunc(waitForHost, l.stopIfAlone)
	parent := os.Getppid()
	var look func()
	look = func() {
		l.mu.Lock()
		started := l.started
		l.mu.Unlock()
		switch {
		case started:
		case os.Getppid() != parent:
			l.stopIfAlone()
		default:
			time.AfterFunc(parentEvery, look)
		}
	}
	time.AfterFunc(parentEvery, look)
}

// stopIfAlone stops the server unless a connection is open.
func (l *lifecycle) stopIfAlone() {
	l.mu.Lock()
	alone, stop := l.open == 0, l.stop
	l.mu.Unlock()
	if alone && stop != nil {
		stop()
	}
}

// TagConn is part of stats.Handler.
func (l *lifecycle) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn counts connections.
func (l *lifecycle) HandleConn(_ context.Context, s stats.ConnStats) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch s.(type) {
	case *stats.ConnBegin:
		l.open++
		l.started = true
		if l.timer != nil {
			l.timer.Stop()
		}
	case *stats.ConnEnd:
		l.open--
		if l.open == 0 {
			l.timer = time.AfterFunc(lingerAfter, l.stopIfAlone)
		}
	}
}

// TagRPC is part of stats.Handler.
func (l *lifecycle) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// HandleRPC is part of stats.Handler.
func (l *lifecycle) HandleRPC(context.Context, stats.RPCStats) {}

// removeSocketFolder removes the folder that the host made for the socket, if it
// is one and empty: a host that was killed cannot.
func removeSocketFolder(dir string) {
	if strings.HasPrefix(filepath.Base(dir), wire.SocketPrefix) {
		_ = os.Remove(dir) // the host may have been first
	}
}
