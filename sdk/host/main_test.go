package host_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/islm-dev/islm/sdk"
	"github.com/islm-dev/islm/sdk/host"
	"github.com/islm-dev/islm/sdk/internal/wire"
	"github.com/islm-dev/islm/sdk/internal/wire/pb"
	"github.com/islm-dev/islm/sdk/serve"
)

// TestMain makes the test binary also the plugins and the hosts that the tests
// start: the first argument says which.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		if mode, ok := strings.CutPrefix(os.Args[1], "-as="); ok {
			os.Args = append(os.Args[:1], os.Args[2:]...)
			as(mode)
			return
		}
	}
	os.Exit(inOwnFolder(m.Run))
}

// inOwnFolder runs the tests with a temporary folder of their own, in which no
// socket may be left at the end.
func inOwnFolder(run func() int) int {
	dir, err := os.MkdirTemp("", "h")
	if err == nil {
		err = os.Setenv("TMPDIR", dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := run()
	if left, _ := filepath.Glob(filepath.Join(dir, wire.SocketPrefix+"*")); len(left) > 0 {
		fmt.Fprintln(os.Stderr, "sockets left behind:", left)
		code = 1
	}
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return code
}

func as(mode string) {
	switch mode {
	case "plugin":
		serve.Main(testDomain())
	case "prints":
		fmt.Println("loading 12 models …")
		serve.Main(testDomain())
	case "prints-no-newline":
		fmt.Print("loading…")
		serve.Main(testDomain())
	case "never-starts":
		time.Sleep(time.Hour)
	case "dies-at-once":
		fmt.Fprintln(os.Stderr, "cannot find the data")
		os.Exit(3)
	case "panics-at-once":
		panic("no data")
	case "100mb":
		rawPlugin(wire.ProtocolMajor)
	case "next-protocol":
		rawPlugin(wire.ProtocolMajor + 1)
	case "host":
		hostProcess(true)
	case "host-unconnected":
		hostProcess(false)
	}
}

// rawPlugin is a plugin that was not made with package serve.
func rawPlugin(version uint) {
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig: goplugin.HandshakeConfig{ProtocolVersion: version, MagicCookieKey: wire.CookieKey, MagicCookieValue: wire.CookieValue},
		Plugins:         goplugin.PluginSet{wire.PluginName: &rawService{}},
		GRPCServer:      goplugin.DefaultGRPCServer,
	})
}

type rawService struct {
	goplugin.NetRPCUnsupportedPlugin
	pb.UnimplementedDomainServer
}

func (r *rawService) GRPCServer(_ *goplugin.GRPCBroker, s *grpc.Server) error {
	pb.RegisterDomainServer(s, r)
	return nil
}

func (r *rawService) GRPCClient(context.Context, *goplugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("no client")
}

func (r *rawService) Describe(context.Context, *pb.DescribeRequest) (*pb.DescribeResponse, error) {
	return &pb.DescribeResponse{Name: "raw", Version: "0.0.1"}, nil
}

func (r *rawService) Read(req *pb.ReadRequest, out grpc.ServerStreamingServer[pb.ReadResponse]) error {
	if req.GetDataset() == "bad-spans" {
		return out.Send(&pb.ReadResponse{Examples: []*pb.Example{
			{Id: "a", Text: "ö", Tokens: []uint32{0, 1}},
			{Id: "b", Text: "fine"},
		}})
	}
	return out.Send(&pb.ReadResponse{Examples: []*pb.Example{{Id: "big", Text: strings.Repeat("x", 100<<20)}}})
}

// hostProcess starts a plugin, tells the test where it is, and waits to be
// killed: after connecting to it, or before.
func hostProcess(connect bool) {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	if connect {
		p, err := host.Launch(context.Background(), host.Config{Path: exe, Args: []string{"-as=plugin"}, Dev: true})
		if err != nil {
			panic(err)
		}
		fmt.Println("plugin", p.Pid())
	} else {
		dir, err := os.MkdirTemp("", wire.SocketPrefix)
		if err != nil {
			panic(err)
		}
		cmd := exec.Command(exe, "-as=plugin")
		cmd.Env = append(os.Environ(), wire.CookieKey+"="+wire.CookieValue, goplugin.EnvUnixSocketDir+"="+dir)
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			panic(err)
		}
		if err := cmd.Start(); err != nil {
			panic(err)
		}
		if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
			panic(err)
		}
		fmt.Println("plugin", cmd.Process.Pid)
	}
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		panic(err)
	}
	select {}
}

const testManifest = `
schema: islm/domain.v0
name: testing
version: 1.2.3
summary: What the tests of the host need.
homepage: https://example.org/testing
licences:
  - {data: "*", spdx: CC0-1.0}
options:
  depth: {type: int, default: "3", help: how deep}
  mode: {type: enum, values: [fast, slow], default: fast}
  token: {secret: true}
datasets:
  tickets: {task: intent}
  count: {hook: count, task: intent, splits: [train, test]}
  big: {hook: big}
  huge: {hook: huge}
  panics: {hook: panics}
  crashes: {hook: crashes}
  exits: {hook: exits}
  hangs: {hook: hangs}
  prints: {hook: prints}
  fails: {hook: fails}
  faulty: {hook: faulty}
  options: {hook: options}
  endless: {hook: endless}
heads:
  - name: intent
    kind: classify.v0
    labels: [billing, outage]
    dataset: tickets
    dropout: 0.1
    class_weights: [1, 2.5]
    descriptions: {billing: {en: Money., zh: 钱。}}
kg: {entities: [Operator], relations: [rivals]}
advice:
  train: {lr: 2e-5, epochs: 4}
  vocab: {extend: on}
`

func testDomain() sdk.Domain {
	one := func(f func(ctx context.Context, yield func(sdk.Example, error) bool)) sdk.Reader {
		return func(ctx context.Context, _ sdk.ReadRequest) iter.Seq2[sdk.Example, error] {
			return func(yield func(sdk.Example, error) bool) { f(ctx, yield) }
		}
	}
	return sdk.Domain{
		FS: fstest.MapFS{
			"domain.yaml":              {Data: []byte(testManifest)},
			"vocab/terms.tsv":          {Data: []byte("text\tkind\tsynonyms\tentity\noutage\tevent\tblackout|power cut\t\nAcme\torg\t\top:acme\n")},
			"rules/swap.yaml":          {Data: []byte("schema: islm/rules.v1\nrules:\n  - {id: shout, match: {text: true}, do: {kind: code.v0, func: upper}, labels: {keep: all}}\n")},
			"kg/entities.tsv":          {Data: []byte("id\ttype\tnames\tprop.country\nop:acme\tOperator\tAcme|Acme Power\tDE\nop:zeta\tOperator\tZeta\t\n")},
			"kg/facts.tsv":             {Data: []byte("subject\trelation\tobject\tweight\tsource\nop:acme\trivals\top:zeta\t0.5\tmade up\n")},
			"data/tickets.train.jsonl": {Data: []byte(`{"text": "The lights are out.", "label": "outage"}` + "\n" + `{"id": "b", "text": "Why this bill?", "label": "billing"}` + "\n")},
			"data/tickets.test.jsonl":  {Data: []byte(`{"text": "Dark again.", "label": "outage"}` + "\n")},
		},
		Terms: func(context.Context) iter.Seq2[sdk.Term, error] {
			return func(yield func(sdk.Term, error) bool) {
				for i := range 2000 {
					if !yield(sdk.Term{Text: fmt.Sprintf("tariff %d", i), Kind: "tariff"}, nil) {
						return
					}
				}
			}
		},
		Readers: map[string]sdk.Reader{
			"count": func(ctx context.Context, req sdk.ReadRequest) iter.Seq2[sdk.Example, error] {
				return func(yield func(sdk.Example, error) bool) {
					for i := range 3000 {
						ex := sdk.Example{Text: fmt.Sprintf("ticket %d of %s", i, req.Split), Labels: map[string]sdk.Label{"": {Values: []string{"outage"}}}}
						if !yield(ex, nil) {
							return
						}
					}
				}
			},
			"big": one(func(_ context.Context, yield func(sdk.Example, error) bool) {
				for i := range 3 {
					if !yield(sdk.Example{ID: fmt.Sprint(i), Text: strings.Repeat("x", 5<<20)}, nil) {
						return
					}
				}
			}),
			"huge": one(func(_ context.Context, yield func(sdk.Example, error) bool) {
				if yield(sdk.Example{ID: "small", Text: "small"}, nil) {
					yield(sdk.Example{ID: "whale", Text: strings.Repeat("x", 20<<20)}, nil)
				}
			}),
			"panics": one(func(_ context.Context, yield func(sdk.Example, error) bool) {
				var m map[string]int
				m["a"] = 1
			}),
			"crashes": one(func(_ context.Context, yield func(sdk.Example, error) bool) {
				yield(sdk.Example{ID: "last", Text: "last words"}, nil)
				go func() { panic("boom in a goroutine") }()
				time.Sleep(time.Hour)
			}),
			"exits": one(func(_ context.Context, yield func(sdk.Example, error) bool) {
				fmt.Fprintln(os.NewFile(2, "stderr"), "out of cheese")
				os.Exit(7)
			}),
			"hangs": one(func(_ context.Context, yield func(sdk.Example, error) bool) { time.Sleep(time.Hour) }),
			"prints": one(func(ctx context.Context, yield func(sdk.Example, error) bool) {
				fmt.Println("hello from a hook")
				sdk.Logger(ctx).Info("logged", "where", "hook")
				yield(sdk.Example{ID: "p", Text: "printed"}, nil)
			}),
			"fails": one(func(_ context.Context, yield func(sdk.Example, error) bool) {
				yield(sdk.Example{}, errors.New("the archive is damaged"))
			}),
			"faulty": one(func(_ context.Context, yield func(sdk.Example, error) bool) {
				for i := range 4 {
					ex := sdk.Example{ID: fmt.Sprint(i), Text: "größer", Labels: map[string]sdk.Label{"ner": {Spans: []sdk.Span{{Start: 0, End: 2, Label: "X"}}}}}
					if i%2 == 1 {
						ex.Labels["ner"].Spans[0].End = 3 // within ö
					}
					if !yield(ex, nil) {
						return
					}
				}
				var ds sdk.Diagnostics
				ds.Add(sdk.Diagnostic{Code: "data.columns", File: "x.txt", Line: 9, Summary: "three columns missing"})
				yield(sdk.Example{}, ds.Err())
			}),
			"options": one(func(ctx context.Context, yield func(sdk.Example, error) bool) {
				yield(sdk.Example{ID: "o", Text: sdk.OptionValue(ctx, "depth") + " " + sdk.OptionValue(ctx, "mode") + " " + sdk.DataDir(ctx)}, nil)
			}),
			"endless": one(func(_ context.Context, yield func(sdk.Example, error) bool) {
				for i := 0; yield(sdk.Example{ID: fmt.Sprint(i), Text: strings.Repeat("and on ", 100)}, nil); i++ {
				}
			}),
		},
		Augmenters: map[string]sdk.Augmenter{
			"upper": func(_ context.Context, ex sdk.Example, _ *rand.Rand) ([]sdk.Example, error) {
				ex.Text = strings.ToUpper(ex.Text)
				return []sdk.Example{ex}, nil
			},
			"dice": func(ctx context.Context, ex sdk.Example, rng *rand.Rand) ([]sdk.Example, error) {
				var made []sdk.Example
				for range rng.IntN(4) {
					made = append(made, sdk.Example{Text: fmt.Sprint(sdk.Param(ctx, "prefix"), rng.Uint64())})
				}
				return made, nil
			},
			"picky": func(_ context.Context, ex sdk.Example, _ *rand.Rand) ([]sdk.Example, error) {
				if ex.ID == "17" {
					return nil, errors.New("not this one")
				}
				return nil, nil
			},
			"panics": func(_ context.Context, ex sdk.Example, _ *rand.Rand) ([]sdk.Example, error) {
				panic("in " + ex.ID)
			},
		},
	}
}
