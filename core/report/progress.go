package report

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// Progress shows how far a run is: on a terminal one moving line with rate and
// time left, elsewhere a plain line now and then and one per epoch.
//
//	p := report.NewProgress(os.Stderr, isTerminal)
//	p.Begin("train", "step", 0, steps)
//	p.Step(report.Step{Done: 1, Epoch: 1, Epochs: 3, Loss: 0.7, LR: 2e-5})
//	p.Epoch(1, 0.412) // Epoch 1, train loss: 0.412
//	p.Done()
//
// Its methods are safe for several goroutines.
type Progress struct {
	w     io.Writer
	tty   bool
	every time.Duration // between plain lines
	now   func() time.Time
	force bool // draw the bar even though w is no terminal

	mu    sync.Mutex
	task  string
	unit  string
	from  int
	total int
	last  Step
	pace  time.Duration // smoothed time per step
	begun time.Time
	at    time.Time // of the last step
	shown time.Time // of the last plain line
	bars  *mpb.Progress
	bar   *mpb.Bar
}

// Step is where a task stands. Only Done is needed; zero values are not shown.
type Step struct {
	Done          int // steps done since the run began, also before a resume
	Epoch, Epochs int
	Loss, LR      float64
}

// NewProgress writes to w; tty says that w is a terminal. A bar is drawn only on
// a file, whose width can be asked for.
func NewProgress(w io.Writer, tty bool) *Progress {
	if _, ok := w.(*os.File); !ok {
		tty = false
	}
	return &Progress{w: w, tty: tty, every: 10 * time.Second, now: time.Now}
}

// Begin starts a task of total units ("step", "text"), from of which are done. A
// task that was still open is closed.
func (p *Progress) Begin(task, unit string, from, total int) {
	p.Done()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.task, p.unit, p.from, p.total, p.last, p.pace = Clean(task), unit, from, total, Step{Done: from}, 0
	p.begun = p.now()
	p.at, p.shown = p.begun, p.begun
	if !p.tty {
		return
	}
	p.bars = mpb.New(mpb.WithOutput(p.w), mpb.WithRefreshRate(120*time.Millisecond),
		mpb.ContainerOptional(mpb.WithAutoRefresh(), p.force))
	// Made without a total, the bar is not complete before Done says so: a
	// complete bar draws no more, and lines printed above it would be lost.
	p.bar = p.bars.New(0, mpb.BarStyle().Lbound("|").Filler("█").Tip("█").Padding(" ").Rbound("|"),
		mpb.PrependDecorators(decor.Any(func(decor.Statistics) string { return p.before() })),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return p.after() })))
	p.bar.SetTotal(int64(total), false)
	p.bar.SetCurrent(int64(from))
}

// Step notes that steps are done.
func (p *Progress) Step(s Step) {
	p.mu.Lock()
	now := p.now()
	if n := s.Done - p.last.Done; n > 0 {
		took := now.Sub(p.at) / time.Duration(n)
		if p.pace == 0 {
			p.pace = took
		}
		p.pace = (7*p.pace + 3*took) / 10
	}
	p.last, p.at = s, now
	bar := p.bar
	line := ""
	// A task of less than a second needs no plain line.
	if !p.tty && (now.Sub(p.shown) >= p.every || s.Done == p.total && now.Sub(p.begun) >= time.Second) {
		p.shown = now
		line = p.line()
	}
	p.mu.Unlock()
	if bar != nil {
		bar.SetCurrent(int64(s.Done))
	}
	if line != "" {
		_, _ = fmt.Fprintln(p.w, line)
	}
}

// Epoch writes the line that ends an epoch, counted from 1.
func (p *Progress) Epoch(epoch int, loss float64) {
	p.Print(fmt.Sprintf("Epoch %d, train loss: %.3f", epoch, loss))
}

// Print writes text on lines of its own; on a terminal above the bar.
func (p *Progress) Print(text string) {
	text = strings.TrimRight(text, "\n") + "\n"
	p.mu.Lock()
	bars := p.bars
	p.mu.Unlock()
	if bars != nil {
		if _, err := bars.Write([]byte(text)); err == nil {
			return
		}
	}
	_, _ = io.WriteString(p.w, text)
}

// Done ends the task; an unfinished bar stays where it is.
func (p *Progress) Done() {
	p.mu.Lock()
	bars, bar, complete := p.bars, p.bar, p.last.Done >= p.total
	p.bars, p.bar = nil, nil
	p.mu.Unlock()
	if bars == nil {
		return
	}
	if complete {
		bar.SetTotal(-1, true)
	} else {
		bar.Abort(false)
	}
	bars.Wait()
}

func (p *Progress) before() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.task
	if p.last.Epochs > 0 {
		s += fmt.Sprintf(" epoch %d/%d", p.last.Epoch, p.last.Epochs)
	}
	return s + fmt.Sprintf(" %3d%% ", p.share())
}

func (p *Progress) after() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := fmt.Sprintf(" %d/%d", p.last.Done, p.total)
	if p.pace > 0 {
		s += fmt.Sprintf(" [%s left, %s]", clock(p.left()), rate(p.pace, p.unit))
	}
	if p.last.Loss != 0 {
		s += fmt.Sprintf(" loss %.3f", p.last.Loss)
	}
	return s
}

func (p *Progress) line() string {
	s := fmt.Sprintf("%s %d/%d (%d%%)", p.task, p.last.Done, p.total, p.share())
	if p.last.Epochs > 0 {
		s += fmt.Sprintf(" epoch %d/%d", p.last.Epoch, p.last.Epochs)
	}
	if p.last.Loss != 0 {
		s += fmt.Sprintf(", loss %.3f", p.last.Loss)
	}
	if p.last.LR != 0 {
		s += fmt.Sprintf(", lr %.3g", p.last.LR)
	}
	if p.pace > 0 {
		s += fmt.Sprintf(", %s, %s left", rate(p.pace, p.unit), clock(p.left()))
	}
	return s
}

func (p *Progress) share() int {
	if p.total <= 0 {
		return 0
	}
	return min(100, 100*p.last.Done/p.total)
}

func (p *Progress) left() time.Duration {
	return time.Duration(max(0, p.total-p.last.Done)) * p.pace
}

// rate is units per second, or seconds per unit where that is slower.
func rate(pace time.Duration, unit string) string {
	if pace > time.Second {
		return fmt.Sprintf("%.1f s/%s", pace.Seconds(), unit)
	}
	return fmt.Sprintf("%.1f %ss/s", float64(time.Second)/float64(pace), unit)
}

// clock writes m:ss or h:mm:ss.
func clock(d time.Duration) string {
	s := int(d.Round(time.Second).Seconds())
	if s >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}
