//go:build torch

package torch

import (
	"fmt"
	"runtime"
	"strings"
	"sync"

	"github.com/islm-dev/islm/core/torch/internal/shim"
)

// Do runs f on the one OS thread that owns libtorch and returns when f has
// returned. Calls from other goroutines wait their turn; a call from inside
// another Do runs at once. A failed operator ends f and comes back as an
// *Error; scopes that f left open are closed then. Any other panic of f
// continues in the caller.
func Do(f func()) error {
	if shim.OwnsThread() {
		return owner.guard(f)
	}
	owner.start.Do(owner.launch)
	j := job{f: f, done: make(chan outcome, 1)}
	owner.jobs <- j
	out := <-j.done
	if out.exit {
		runtime.Goexit()
	}
	if out.panicked != nil {
		panic(out.panicked)
	}
	return out.err
}

// Error is a failed operator.
type Error struct {
	Op       string   // operator, as in PyTorch ("matmul")
	Operands []string // shape, type and device of each operand, in order
	Text     string   // libtorch's reason, first line
}

// Error gives one line: op(operands): reason.
func (e *Error) Error() string {
	return fmt.Sprintf("torch: %s(%s): %s", e.Op, strings.Join(e.Operands, ", "), e.Text)
}

type job struct {
	f    func()
	done chan outcome
}

type outcome struct {
	err      error
	panicked any
	exit     bool
}

// process is the state of the owning thread; only that thread touches it,
// apart from start and jobs.
type process struct {
	start sync.Once
	jobs  chan job

	scopes []*Scope
	live   int
	lists  [4][]shim.Handle
}

var owner = process{jobs: make(chan job)}

func (p *process) launch() {
	shim.TuneMalloc()
	go p.serve()
}

func (p *process) serve() {
	runtime.LockOSThread()
	shim.ClaimThread(true)
	for j := range p.jobs {
		p.run(j)
	}
}

func (p *process) run(j job) {
	returned := false
	defer func() {
		if returned {
			return
		}
		// Not reached by a return: f panicked with something of its own, or
		// ended its goroutine (as testing.T.FailNow does), which takes this
		// thread along; then another one serves.
		p.unwind(0)
		if v := recover(); v != nil {
			j.done <- outcome{panicked: v}
			return
		}
		shim.ClaimThread(false)
		go p.serve()
		j.done <- outcome{exit: true}
	}()
	err := p.guard(j.f)
	returned = true
	j.done <- outcome{err: err}
}

func (p *process) guard(f func()) (err error) {
	depth := len(p.scopes)
	defer func() {
		if e, ok := recoverError(recover()); ok {
			p.unwind(depth)
			err = e
		}
	}()
	f()
	return nil
}

// recoverError passes every other panic on.
func recoverError(v any) (*Error, bool) {
	if v == nil {
		return nil, false
	}
	e, ok := v.(*Error)
	if !ok {
		panic(v)
	}
	return e, true
}

func (p *process) unwind(depth int) {
	for len(p.scopes) > depth {
		p.scopes[len(p.scopes)-1].Close()
	}
}

// fail panics with an *Error; text is cut to its first line.
func fail(op, text string, operands ...*Tensor) {
	text, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
	e := &Error{Op: op, Text: text}
	for _, t := range operands {
		e.Operands = append(e.Operands, t.describe())
	}
	panic(e)
}
