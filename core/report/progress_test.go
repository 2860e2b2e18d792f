package report

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPlainProgress(t *testing.T) {
	var b bytes.Buffer
	p := NewProgress(&b, false)
	now := time.Unix(0, 0)
	p.now = func() time.Time { return now }
	p.Begin("train", "step", 100, 400)
	for step := 101; step <= 400; step++ {
		now = now.Add(100 * time.Millisecond)
		p.Step(Step{Done: step, Epoch: (step-1)/200 + 1, Epochs: 2, Loss: 0.5, LR: 2e-5})
		if step%200 == 0 {
			p.Epoch(step/200, 0.4119)
		}
	}
	p.Done()
	p.Begin("predict", "text", 0, 3)
	p.Done()
	p.Begin("short", "text", 0, 3)
	now = now.Add(900 * time.Millisecond)
	p.Step(Step{Done: 3})
	p.Done()
	require.Equal(t, strings.TrimPrefix(`
train 200/400 (50%) epoch 1/2, loss 0.500, lr 2e-05, 10.0 steps/s, 0:20 left
Epoch 1, train loss: 0.412
train 300/400 (75%) epoch 2/2, loss 0.500, lr 2e-05, 10.0 steps/s, 0:10 left
train 400/400 (100%) epoch 2/2, loss 0.500, lr 2e-05, 10.0 steps/s, 0:00 left
Epoch 2, train loss: 0.412
`, "\n"), b.String())
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func TestBarOnATerminal(t *testing.T) {
	var b safeBuffer
	p := NewProgress(&b, true)
	require.False(t, p.tty)
	p.tty, p.force = true, true
	p.Begin("train", "step", 0, 4)
	for step := 1; step <= 4; step++ {
		p.Step(Step{Done: step, Epoch: 1, Epochs: 1, Loss: 0.25})
	}
	p.Epoch(1, 0.25)
	p.Print("a table\nof two lines\n")
	p.Done()
	p.Print("after")
	p.Begin("predict", "text", 0, 10)
	p.Step(Step{Done: 2})
	p.Begin("again", "step", 0, 1) // closes the one before
	p.Step(Step{Done: 1})
	p.Done()
	p.Done()
	out := b.b.String()
	for _, want := range []string{"train epoch 1/1 100%", "4/4", "loss 0.250", "Epoch 1, train loss: 0.250\n", "a table\nof two lines\n", "after\n", "predict  20%", "again 100%"} {
		require.Contains(t, out, want)
	}
	require.NotContains(t, out, "NaN")
}

func TestClock(t *testing.T) {
	require.Equal(t, "0:00", clock(0))
	require.Equal(t, "59:59", clock(3599*time.Second))
	require.Equal(t, "1:00:01", clock(3601*time.Second))
	require.Equal(t, "2.5 s/step", rate(2500*time.Millisecond, "step"))
	require.Equal(t, "20.0 steps/s", rate(50*time.Millisecond, "step"))
}
