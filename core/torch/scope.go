//go:build torch

package torch

import (
	"github.com/islm-dev/islm/core/torch/internal/shim"
)

// Scope owns tensors. Scopes nest: the innermost open one owns what is made.
type Scope struct {
	parent  *Scope
	tensors []*Tensor
	open    bool
}

// Open opens a scope inside the current one. Close it with defer.
func Open() *Scope {
	if !shim.OwnsThread() {
		fail("open", "called outside torch.Do")
	}
	s := &Scope{open: true, parent: current()}
	owner.scopes = append(owner.scopes, s)
	return s
}

// Close frees the scope's tensors, and those of scopes still open inside it.
// A second Close does nothing.
func (s *Scope) Close() {
	if !s.open {
		return
	}
	for {
		top := owner.scopes[len(owner.scopes)-1]
		owner.scopes = owner.scopes[:len(owner.scopes)-1]
		top.release()
		if top == s {
			return
		}
	}
}

// Keep moves t to the enclosing scope, or, when there is none, to nobody: then
// Free ends it. It returns t.
func (s *Scope) Keep(t *Tensor) *Tensor {
	if t.scope == s {
		s.remove(t)
		s.parent.adopt(t)
	}
	return t
}

// Scoped runs f in a scope of its own and keeps its result: what f needed on
// the way is freed when it returns.
func Scoped(f func() *Tensor) *Tensor {
	s := Open()
	defer s.Close()
	return s.Keep(f())
}

// Live is the number of tensor handles that exist.
func Live() int { return owner.live }

func current() *Scope {
	if n := len(owner.scopes); n > 0 {
		return owner.scopes[n-1]
	}
	return nil
}

func (s *Scope) adopt(t *Tensor) {
	t.scope = s
	if s == nil {
		return
	}
	t.slot = len(s.tensors)
	s.tensors = append(s.tensors, t)
}

func (s *Scope) remove(t *Tensor) {
	last := s.tensors[len(s.tensors)-1]
	s.tensors[t.slot] = last
	last.slot = t.slot
	s.tensors = s.tensors[:len(s.tensors)-1]
	t.scope = nil
}

func (s *Scope) release() {
	s.open = false
	hs := make([]shim.Handle, 0, len(s.tensors))
	for _, t := range s.tensors {
		hs = append(hs, t.c)
		t.c, t.scope = nil, nil
	}
	shim.FreeMany(hs)
	owner.live -= len(hs)
	s.tensors = nil
}
