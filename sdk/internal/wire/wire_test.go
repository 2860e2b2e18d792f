package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/islm-dev/islm/sdk"
	"github.com/islm-dev/islm/sdk/internal/wire/pb"
)

// TestVersion: the version in the comment of the protocol is the one in the code.
func TestVersion(t *testing.T) {
	source, err := os.ReadFile("pb/islm_plugin_v1.proto")
	require.NoError(t, err)
	m := regexp.MustCompile(`(?m)^// Version (\d+)\.(\d+)$`).FindSubmatch(source)
	require.NotNil(t, m)
	require.Equal(t, fmt.Sprintf("%d.%d", ProtocolMajor, ProtocolMinor), fmt.Sprintf("%s.%s", m[1], m[2]))
	require.Contains(t, string(source), fmt.Sprintf("package islm.plugin.v%d;", ProtocolMajor))
	for _, generated := range []string{"pb/islm_plugin_v1.pb.go", "pb/islm_plugin_v1_grpc.pb.go"} {
		code, err := os.ReadFile(generated)
		require.NoError(t, err)
		require.Contains(t, string(code), string(m[0]), "%s is not up to date: run scripts/protoc", generated)
	}
	// The file descriptor in the generated code names every message of the source.
	messages := pb.File_islm_plugin_v1_proto.Messages()
	require.Equal(t, len(regexp.MustCompile(`(?m)^message `).FindAll(source, -1)), messages.Len())
	require.Equal(t, len(regexp.MustCompile(`(?m)^  rpc `).FindAll(source, -1)), pb.File_islm_plugin_v1_proto.Services().Get(0).Methods().Len())
}

func TestNameOfBinary(t *testing.T) {
	for path, want := range map[string]string{
		"/x/islm-plugin-oil-gas": "oil-gas", `C:\p\islm-plugin-energy.exe`: "energy", "energy": "energy", "": "",
	} {
		require.Equal(t, want, NameOfBinary(path))
	}
}

var (
	genText = rapid.StringMatching(`[a-zA-Zäöü你好 ]{0,12}`)
	genList = rapid.SliceOfN(genText, 0, 3)
	genMap  = rapid.MapOfN(genText, genText, 0, 3)
)

// send puts a message through its encoding.
func send[M proto.Message](t *rapid.T, m, empty M) M {
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if err := proto.Unmarshal(b, empty); err != nil {
		t.Fatal(err)
	}
	return empty
}

func same(t *rapid.T, want, got any, opts ...cmp.Option) {
	if d := cmp.Diff(want, got, opts...); d != "" {
		t.Fatal(d)
	}
}

func TestExampleRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := sdk.Example{ID: genText.Draw(t, "id"), Text: genText.Draw(t, "text"), TextB: genText.Draw(t, "b"),
			Parent: genText.Draw(t, "parent"), File: genText.Draw(t, "file"), Line: rapid.IntRange(0, 1<<20).Draw(t, "line")}
		for range rapid.IntRange(0, 3).Draw(t, "tokens") {
			e.Tokens = append(e.Tokens, sdk.Token{Start: rapid.IntRange(0, 99).Draw(t, "start"), End: rapid.IntRange(0, 99).Draw(t, "end")})
		}
		if m := genMap.Draw(t, "meta"); len(m) > 0 {
			e.Meta = m
		}
		for range rapid.IntRange(0, 3).Draw(t, "labels") {
			var l sdk.Label
			if rapid.Bool().Draw(t, "values") {
				l.Values = genList.Draw(t, "values")
			}
			if rapid.Bool().Draw(t, "tags") {
				l.Tags = genList.Draw(t, "tags")
			}
			if rapid.Bool().Draw(t, "number") {
				n := rapid.Float64().Draw(t, "number")
				l.Number = &n
			}
			if rapid.Bool().Draw(t, "spans") {
				l.Spans = []sdk.Span{}
				for range rapid.IntRange(0, 2).Draw(t, "spans") {
					l.Spans = append(l.Spans, sdk.Span{Start: 1, End: rapid.IntRange(2, 9).Draw(t, "end"), Label: genText.Draw(t, "label"), EntityID: genText.Draw(t, "entity")})
				}
			}
			if e.Labels == nil {
				e.Labels = map[string]sdk.Label{}
			}
			e.Labels[genText.Draw(t, "head")] = l
		}
		// Exactly the same: an empty list of values is not "no values".
		same(t, e, ToExample(send(t, FromExample(e), &pb.Example{})))
	})
}

func TestKnowledgeRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		term := sdk.Term{Text: genText.Draw(t, "text"), Kind: genText.Draw(t, "kind"), Canonical: genText.Draw(t, "canonical"), Synonyms: genList.Draw(t, "synonyms"),
			EntityID: genText.Draw(t, "entity"), Weight: rapid.Float64Range(0, 10).Draw(t, "weight"), Lang: genText.Draw(t, "lang")}
		same(t, term, ToTerm(send(t, FromTerm(term), &pb.Term{})), cmpopts.EquateEmpty())
		fact := sdk.FactItem{Fact: &sdk.Fact{Subject: genText.Draw(t, "s"), Relation: genText.Draw(t, "r"), Source: genText.Draw(t, "source"), Weight: 1}}
		if rapid.Bool().Draw(t, "literal") {
			fact.Fact.Literal = genText.Draw(t, "l")
		} else {
			fact.Fact.Object = genText.Draw(t, "o")
		}
		same(t, fact, ToFactItem(send(t, FromFactItem(fact), &pb.FactItem{})))
		entity := sdk.FactItem{Entity: &sdk.Entity{ID: genText.Draw(t, "id"), Type: genText.Draw(t, "type"), Names: genList.Draw(t, "names"), Props: genMap.Draw(t, "props")}}
		same(t, entity, ToFactItem(send(t, FromFactItem(entity), &pb.FactItem{})), cmpopts.EquateEmpty())
		rule := sdk.RuleFile{Path: genText.Draw(t, "path"), Data: []byte(genText.Draw(t, "data")), SHA256: genText.Draw(t, "sum")}
		same(t, rule, ToRuleFile(send(t, FromRuleFile(rule), &pb.RuleFile{})), cmpopts.EquateEmpty())
	})
	require.Equal(t, sdk.FactItem{}, ToFactItem(FromFactItem(sdk.FactItem{})))
}

func TestDescriptionRoundTrip(t *testing.T) {
	dropout := 0.0
	d := &sdk.Description{
		Name: "energy", Version: "0.1.0", SDKVersion: "0.1.0", ProtocolMinor: 3, Summary: "s", Homepage: "https://x",
		Licences: []sdk.Licence{{Data: "*", SPDX: "CC0-1.0", Source: "own", Note: "n"}},
		Options:  []sdk.Option{{Name: "o", Type: "enum", Default: "a", Help: "h", Required: true, Secret: true, Values: []string{"a"}, Graph: "obo"}},
		Datasets: []sdk.Dataset{{Name: "d", Task: "t", Heads: []string{"t"}, Splits: []string{"train"}, Format: "jsonl", Hook: "h", Path: "p", Summary: "s", Citation: "c", License: "l", URL: "u", Embedded: true}},
		Heads: []sdk.HeadSpec{{Name: "t", Kind: "classify.v0", Labels: []string{"a", "b"}, Loss: "ce", ClassWeights: []float64{1, 2}, Pooling: "mean", Dropout: &dropout, Weight: 2,
			Metrics: []string{"f1"}, Dataset: "d", Scheme: "none", CRF: true, Descriptions: map[string]map[string]string{"a": {"en": "A", "zh": "甲"}}, Options: map[string]string{"k": "v"}}},
		Readers: []string{"r"}, Augmenters: []string{"a"}, KG: sdk.KGSchema{Entities: []string{"E"}, Relations: []string{"R"}},
		Vocab: []string{"v.tsv"}, Rules: []sdk.RuleFile{{Path: "r.yaml", SHA256: "00"}}, Facts: []string{"f.tsv"},
		Features: []sdk.FeatureSpec{{Name: "unit", Kind: "classes.v0", Fold: true, Classes: []sdk.FeatureClass{{Name: "mass", Words: []string{"kg"}, Match: "m?g"}}}},
		Advice:   map[string]any{"a": map[string]any{"b": 1, "c": 2.5, "d": []any{"x", true, nil, 3}}}, Digest: "ff",
		Diagnostics: sdk.Diagnostics{{Severity: sdk.Warning, Code: "a.b", Summary: "s", Detail: "d", File: "f", Line: 1, Column: 2, Path: "p", Remedy: "r", Source: "plugin"}},
	}
	m, err := FromDescription(d)
	require.NoError(t, err)
	got, err := ToDescription(m)
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(d, got))

	_, err = FromDescription(&sdk.Description{Advice: map[string]any{"a": func() {}}})
	require.ErrorContains(t, err, "advice")
	_, err = ToDescription(&pb.DescribeResponse{Advice: []byte("{")})
	require.ErrorContains(t, err, "advice")
}

func TestBatcher(t *testing.T) {
	type message struct {
		items, problems, done int
		bytes                 int
	}
	var sent []message
	fresh := func() *Batcher[*pb.Example] {
		sent = nil
		return &Batcher[*pb.Example]{
			Name: func(e *pb.Example) string { return "example " + e.GetId() },
			Send: func(items []*pb.Example, problems []*pb.Diagnostic, done int) error {
				size := 0
				for _, it := range items {
					size += proto.Size(it)
				}
				if _, err := proto.Marshal(&pb.ReadResponse{Examples: items, Diagnostics: problems}); err != nil {
					return status.Error(codes.Internal, err.Error())
				}
				sent = append(sent, message{len(items), len(problems), done, size})
				return nil
			},
		}
	}
	row := func(n int) *pb.Example { return &pb.Example{Id: fmt.Sprint(n), Text: strings.Repeat("x", n)} }

	b := fresh()
	for range 1200 {
		require.NoError(t, b.Add(row(10)))
		require.NoError(t, b.Done(1))
	}
	require.NoError(t, b.Flush())
	require.NoError(t, b.Flush())
	require.Equal(t, []int{512, 512, 176}, []int{sent[0].items, sent[1].items, sent[2].items})
	require.Equal(t, 1200, sent[0].done+sent[1].done+sent[2].done)

	b = fresh()
	for range 5 {
		require.NoError(t, b.Add(row(400<<10)))
	}
	require.NoError(t, b.Add(row(15<<20)))
	require.NoError(t, b.Add(row(1)))
	require.NoError(t, b.Flush())
	total := 0
	for _, m := range sent {
		total += m.items
		require.Less(t, m.bytes, HardBytes)
		require.True(t, m.bytes <= SoftBytes || m.items == 1, "%+v", m)
	}
	require.Equal(t, 7, total)

	b = fresh()
	err := b.Add(row(HardBytes))
	var large *TooLargeError
	require.ErrorAs(t, err, &large)
	require.Contains(t, err.Error(), "example 16777216 has")

	b = fresh()
	require.NoError(t, b.Add(row(1)))
	require.NoError(t, b.Report(sdk.Diagnostics{{Summary: "x"}}))
	require.NoError(t, b.Add(row(2)))
	require.NoError(t, b.Flush())
	require.Len(t, sent, 2, "elements before a diagnostic go first")
	var last error
	for range maxProblems + 1 {
		if last = b.Report(sdk.Diagnostics{{Summary: "x"}}); last != nil {
			break
		}
	}
	require.ErrorContains(t, last, "more than 1000 problems")

	b = fresh()
	require.NoError(t, b.Add(row(1)))
	require.NoError(t, b.Add(&pb.Example{Id: "bad", Meta: map[string]string{"k": "\xff"}}))
	require.ErrorContains(t, b.Flush(), "example bad cannot be sent")

	b = fresh()
	require.NoError(t, b.Add(row(1)))
	b.last = time.Now().Add(-2 * flushAfter)
	require.NoError(t, b.Add(row(2)))
	require.Len(t, sent, 1, "a slow stream is sent in time")
}

// fakeStream gives messages with pauses.
type fakeStream struct {
	ctx   context.Context
	pause time.Duration
	left  int
	err   error
}

func (f *fakeStream) Recv() (*pb.ReadResponse, error) {
	select {
	case <-f.ctx.Done():
		return nil, status.FromContextError(f.ctx.Err()).Err()
	case <-time.After(f.pause):
	}
	if f.left == 0 {
		return nil, f.err
	}
	f.left--
	return &pb.ReadResponse{Examples: []*pb.Example{{Id: "a"}, {Id: "b"}}, Diagnostics: []*pb.Diagnostic{{Summary: "odd", Severity: "warning"}}}, nil
}

func TestReceive(t *testing.T) {
	unpack := func(m *pb.ReadResponse) ([]sdk.Example, []*pb.Diagnostic) {
		return each(m.GetExamples(), ToExample), m.GetDiagnostics()
	}
	run := func(ctx context.Context, f *fakeStream, idle, perItem time.Duration) (int, int, error) {
		items, odd := 0, 0
		for _, err := range Receive(ctx, idle, func(ctx context.Context) (Receiver[pb.ReadResponse], error) { f.ctx = ctx; return f, nil }, unpack, func(err error) error { return err }) {
			if ds, _, ok := sdk.DiagnosticsOf(err); ok {
				odd += len(ds)
				continue
			}
			if err != nil {
				return items, odd, err
			}
			items++
			time.Sleep(perItem)
		}
		return items, odd, nil
	}
	items, odd, err := run(context.Background(), &fakeStream{left: 3, err: io.EOF}, time.Second, 0)
	require.NoError(t, err)
	require.Equal(t, []int{6, 3}, []int{items, odd})

	items, _, err = run(context.Background(), &fakeStream{left: 2, err: errors.New("broken")}, time.Second, 0)
	require.EqualError(t, err, "broken")
	require.Equal(t, 4, items)

	_, _, err = run(context.Background(), &fakeStream{left: 2, pause: 200 * time.Millisecond, err: io.EOF}, 50*time.Millisecond, 0)
	require.ErrorIs(t, err, ErrSilent)
	items, _, err = run(context.Background(), &fakeStream{left: 2, err: io.EOF}, 50*time.Millisecond, 80*time.Millisecond)
	require.NoError(t, err, "a slow consumer is not silence")
	require.Equal(t, 4, items)

	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(50*time.Millisecond, cancel)
	begin := time.Now()
	_, _, err = run(ctx, &fakeStream{left: 1, pause: time.Hour}, 0, 0)
	require.ErrorIs(t, err, context.Canceled)
	require.Less(t, time.Since(begin), time.Second)
}

func TestStatus(t *testing.T) {
	require.NoError(t, ToStatus(nil))
	var ds sdk.Diagnostics
	for i := range 100 {
		ds.Add(sdk.Diagnostic{Code: "a.b", Summary: strings.Repeat("ö", 1000), File: "f", Line: i + 1, Remedy: "r"})
	}
	err := ToStatus(fmt.Errorf("wrapped: %w", ds.Err()))
	require.Equal(t, codes.InvalidArgument, status.Code(err))
	got, fatal := DiagnosticsOfStatus(err)
	require.False(t, fatal)
	require.Len(t, got, 50)
	require.Equal(t, 7, got[6].Line)
	_, fatal = DiagnosticsOfStatus(ToStatus(&sdk.DiagnosticsError{Diagnostics: ds[:1], Fatal: true}))
	require.True(t, fatal)
	// Wrapping a status again keeps its details.
	got, _ = DiagnosticsOfStatus(ToStatus(fmt.Errorf("read: %w", ToStatus(ds[:2].Err()))))
	require.Len(t, got, 2)
	for err, code := range map[error]codes.Code{
		context.Canceled: codes.Canceled, context.DeadlineExceeded: codes.DeadlineExceeded, &TooLargeError{}: codes.OutOfRange,
		errors.New("x"): codes.Unknown, status.Error(codes.NotFound, "x"): codes.NotFound,
	} {
		require.Equal(t, code, status.Code(ToStatus(fmt.Errorf("w: %w", err))))
	}
	require.LessOrEqual(t, len(ToStatus(errors.New(strings.Repeat("ü", 1<<20))).Error()), 5000)
}
