package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"

	"github.com/islm-dev/islm/sdk"
	"github.com/islm-dev/islm/sdk/internal/wire/pb"
)

// Limits of the protocol. A message never exceeds HardBytes; a batch is sent when
// it reaches SoftBytes or SoftRows or has waited for flushAfter.
const (
	HardBytes = 16 << 20
	SoftBytes = 1 << 20
	SoftRows  = 512

	flushAfter = time.Second
	// itemBytes is what one element of a batch may have: the rest is for the
	// message around it.
	itemBytes = HardBytes - 4096
	// maxProblems ends a stream of data that is wrong throughout.
	maxProblems = 1000
)

// TooLargeError says that one element alone exceeds the limit of a message.
type TooLargeError struct {
	What  string // "example \"a1\" of dataset tickets"
	Bytes int
}

// Error names the element and the limit.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("%s has %d bytes, a message may have %d", e.What, e.Bytes, HardBytes)
}

// ErrSilent is the cause of a stream that was given up because nothing came for
// longer than the idle time.
var ErrSilent = errors.New("no message within the idle time")

// Batcher collects elements into messages and sends each in time.
type Batcher[T proto.Message] struct {
	// Send sends one message with the elements and diagnostics collected. done is
	// the sum of what was given to Done.
	Send func(items []T, problems []*pb.Diagnostic, done int) error
	// Name names an element for an error: example "a1" of dataset tickets.
	Name func(T) string

	items    []T
	problems []*pb.Diagnostic
	bytes    int
	done     int
	total    int // problems of the whole stream
	last     time.Time
}

// Add appends one element, sending a batch if it is full.
func (b *Batcher[T]) Add(item T) error {
	size := proto.Size(item)
	if size > itemBytes {
		return &TooLargeError{What: cut(b.Name(item), 256), Bytes: size} // the name may be what is too large
	}
	if b.bytes+size > SoftBytes && b.bytes > 0 {
		if err := b.Flush(); err != nil {
			return err
		}
	}
	b.items = append(b.items, item)
	b.bytes += size + 8
	return b.maybeFlush()
}

// Report appends diagnostics to the stream, in the order of the elements.
func (b *Batcher[T]) Report(ds sdk.Diagnostics) error {
	for _, m := range FromDiagnostics(ds) {
		if b.total++; b.total > maxProblems {
			return &sdk.DiagnosticsError{Diagnostics: sdk.Diagnostics{{Severity: sdk.Error, Code: "data.too-many", Source: sdk.FromData,
				Summary: fmt.Sprintf("more than %d problems, the rest is not read", maxProblems)}}}
		}
		// Elements and diagnostics of one message have no order between them:
		// what came before goes first.
		if len(b.items) > 0 {
			if err := b.Flush(); err != nil {
				return err
			}
		}
		b.problems = append(b.problems, m)
		b.bytes += proto.Size(m) + 8
		if b.bytes >= SoftBytes {
			if err := b.Flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// Done counts n inputs as answered by what was added so far.
func (b *Batcher[T]) Done(n int) error {
	b.done += n
	return b.maybeFlush()
}

func (b *Batcher[T]) maybeFlush() error {
	if b.last.IsZero() {
		b.last = time.Now()
	}
	if b.bytes >= SoftBytes || len(b.items) >= SoftRows || time.Since(b.last) > flushAfter {
		return b.Flush()
	}
	return nil
}

// Flush sends what is there.
func (b *Batcher[T]) Flush() error {
	b.last = time.Now()
	if len(b.items) == 0 && len(b.problems) == 0 && b.done == 0 {
		return nil
	}
	err := b.Send(b.items, b.problems, b.done)
	if err != nil {
		if culprit := b.unsendable(); culprit != nil {
			err = culprit
		}
	}
	b.items, b.problems, b.bytes, b.done = nil, nil, 0, 0
	return err
}

// unsendable finds the element that cannot be encoded, if that is why a message
// could not be sent.
func (b *Batcher[T]) unsendable() error {
	for _, it := range b.items {
		if _, err := proto.Marshal(it); err != nil {
			return fmt.Errorf("%s cannot be sent: %w", b.Name(it), err)
		}
	}
	return nil
}

// Receiver is the receiving side of a stream of messages.
type Receiver[M any] interface{ Recv() (*M, error) }

// Receive opens a stream and returns its elements. It ends with one error if the
// stream cannot be opened or breaks, if ctx is cancelled, or with ErrSilent if no
// message comes within idle; time spent by the consumer does not count. Fail, if
// given, translates such an error. Diagnostics are yielded as
// *sdk.DiagnosticsError, after which the stream goes on.
func Receive[M, T any](ctx context.Context, idle time.Duration, open func(context.Context) (Receiver[M], error),
	unpack func(*M) ([]T, []*pb.Diagnostic), fail func(error) error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(context.Canceled)
		w := newWatch(idle, cancel)
		defer w.stop()
		end := func(err error) {
			var zero T
			yield(zero, fail(cause(ctx, err)))
		}
		w.start()
		stream, err := open(ctx)
		if err != nil {
			end(err)
			return
		}
		for {
			w.start()
			m, err := stream.Recv()
			w.stop()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				end(err)
				return
			}
			items, problems := unpack(m)
			if !deliver(yield, items, problems) {
				return
			}
			if ctx.Err() != nil {
				end(ctx.Err())
				return
			}
		}
	}
}

func deliver[T any](yield func(T, error) bool, items []T, problems []*pb.Diagnostic) bool {
	for _, it := range items {
		if !yield(it, nil) {
			return false
		}
	}
	if len(problems) > 0 {
		var zero T
		return yield(zero, &sdk.DiagnosticsError{Diagnostics: ToDiagnostics(problems)})
	}
	return true
}

// BidiStream is the client's side of Augment.
type BidiStream interface {
	Send(*pb.AugmentRequest) error
	Recv() (*pb.AugmentResponse, error)
	CloseSend() error
}

// Exchange runs the client's side of Augment: one batch out, then its answers
// back, then the next batch, so that neither side waits for the other with full
// buffers. It yields the new examples in the order of their parents. In is
// consumed on the caller's goroutine; an error in it ends the exchange.
func Exchange(ctx context.Context, idle time.Duration, open func(context.Context) (BidiStream, error), start *pb.AugmentRequest_Start,
	in iter.Seq2[sdk.Example, error], fail func(error) error) iter.Seq2[sdk.Example, error] {
	return func(yield func(sdk.Example, error) bool) {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(context.Canceled)
		w := newWatch(idle, cancel)
		defer w.stop()
		end := func(err error) { yield(sdk.Example{}, fail(cause(ctx, err))) }

		w.start()
		stream, err := open(ctx)
		if err == nil {
			err = stream.Send(&pb.AugmentRequest{Message: &pb.AugmentRequest_Start_{Start: start}})
		}
		w.stop()
		if err != nil {
			end(recvError(stream, err))
			return
		}
		stopped := errors.New("stopped by the consumer")
		b := &Batcher[*pb.Example]{
			Name: func(m *pb.Example) string { return fmt.Sprintf("example %q", m.GetId()) },
			Send: func(items []*pb.Example, _ []*pb.Diagnostic, _ int) error {
				w.start()
				defer w.stop()
				if err := stream.Send(&pb.AugmentRequest{Message: &pb.AugmentRequest_Batch_{Batch: &pb.AugmentRequest_Batch{Examples: items}}}); err != nil {
					return recvError(stream, err)
				}
				for open := len(items); open > 0; {
					w.start()
					m, err := stream.Recv()
					w.stop()
					if errors.Is(err, io.EOF) {
						return fmt.Errorf("the plugin ended the stream with %d of %d examples unanswered", open, len(items))
					}
					if err != nil {
						return err
					}
					if open -= int(m.GetDone()); open < 0 {
						return errors.New("the plugin answered more examples than it was given")
					}
					if !deliver(yield, each(m.GetExamples(), ToExample), m.GetDiagnostics()) {
						return stopped
					}
				}
				return nil
			},
		}
		for ex, err := range in {
			if err != nil {
				yield(sdk.Example{}, err)
				return
			}
			if ctx.Err() != nil {
				end(ctx.Err())
				return
			}
			if problems := ex.Check(); problems.HasErrors() {
				yield(sdk.Example{}, problems.Err())
				return
			}
			if err := b.Add(FromExample(ex)); err != nil {
				if !errors.Is(err, stopped) {
					end(err)
				}
				return
			}
		}
		if err := b.Flush(); err != nil {
			if !errors.Is(err, stopped) {
				end(err)
			}
			return
		}
		w.start()
		if err := stream.CloseSend(); err != nil {
			end(err)
			return
		}
		if _, err := stream.Recv(); err != nil && !errors.Is(err, io.EOF) {
			end(err)
		}
	}
}

// recvError returns why a stream broke: Send only says io.EOF.
func recvError(stream BidiStream, err error) error {
	if !errors.Is(err, io.EOF) || stream == nil {
		return err
	}
	if _, why := stream.Recv(); why != nil && !errors.Is(why, io.EOF) {
		return why
	}
	return err
}

// cause replaces the error of a cancelled stream by the reason for which it was
// cancelled.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		if c := context.Cause(ctx); c != nil {
			return c
		}
	}
	return err
}

// watch cancels a stream when a wait takes too long.
type watch struct {
	idle  time.Duration
	timer *time.Timer
	over  context.CancelCauseFunc
}

func newWatch(idle time.Duration, over context.CancelCauseFunc) *watch {
	return &watch{idle: idle, over: over}
}

func (w *watch) start() {
	if w.idle <= 0 {
		return
	}
	if w.timer == nil {
		w.timer = time.AfterFunc(w.idle, func() { w.over(ErrSilent) })
		return
	}
	w.timer.Reset(w.idle)
}

func (w *watch) stop() {
	if w.timer != nil {
		w.timer.Stop()
	}
}

// ToStatus makes the status of a failed call. Diagnostics travel as its details.
func ToStatus(err error) error {
	if err == nil {
		return nil
	}
	if ds, fatal, ok := sdk.DiagnosticsOf(err); ok {
		code := codes.InvalidArgument
		if fatal {
			code = codes.Internal
		}
		st := status.New(code, valid(err.Error()))
		var details []protoadapt.MessageV1
		for i, m := range FromDiagnostics(ds) {
			if i == 50 { // a status travels in a header, which is small
				break
			}
			m.Detail = cut(m.GetDetail(), 512)
			m.Summary = cut(m.GetSummary(), 512)
			details = append(details, protoadapt.MessageV1Of(m))
		}
		if s, e := st.WithDetails(details...); e == nil {
			st = s
		}
		st = shorten(st)
		return st.Err()
	}
	var large *TooLargeError
	switch {
	case errors.As(err, &large):
		return status.Error(codes.OutOfRange, valid(err.Error()))
	case errors.Is(err, context.Canceled):
		return status.Error(codes.Canceled, err.Error())
	case errors.Is(err, context.DeadlineExceeded):
		return status.Error(codes.DeadlineExceeded, err.Error())
	}
	if st, ok := status.FromError(err); ok {
		return st.Err()
	}
	return status.Error(codes.Unknown, cut(valid(err.Error()), 4096))
}

// shorten bounds the text of a status; the details say it all.
func shorten(st *status.Status) *status.Status {
	p := st.Proto()
	p.Message = cut(p.GetMessage(), 2048)
	return status.FromProto(p)
}

func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return valid(s[:n]) + " …"
}

// DiagnosticsOfStatus returns the diagnostics that travel with a failed call.
// fatal says that the call failed for another reason than its input.
func DiagnosticsOfStatus(err error) (ds sdk.Diagnostics, fatal bool) {
	st, ok := status.FromError(err)
	if !ok {
		return nil, false
	}
	for _, d := range st.Details() {
		if m, ok := d.(*pb.Diagnostic); ok {
			ds.Add(ToDiagnostics([]*pb.Diagnostic{m})...)
		}
	}
	return ds, st.Code() != codes.InvalidArgument
}
