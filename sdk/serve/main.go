package serve

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/islm-dev/islm/sdk"
	"github.com/islm-dev/islm/sdk/internal/wire"
	"github.com/islm-dev/islm/sdk/internal/wire/pb"
)

// Main is the whole of a plugin's program; it does not return. Started by islm it
// serves the domain until the host lets go of it. Started by hand it knows two
// commands, "describe" (the domain as JSON) and "version", and otherwise says
// what it is.
func Main(d sdk.Domain) {
	os.Exit(run(d, os.Args, os.Stdout, os.Stderr, os.Getenv)) //nolint:forbidigo // Main is the plugin's main
}

// Exit codes of a plugin's program, as those of islm.
const (
	exitOK    = 0
	exitInput = 1
	exitUsage = 2
)

func run(d sdk.Domain, args []string, stdout, stderr io.Writer, getenv func(string) string) int {
	if len(args) > 1 {
		return command(d, args, stdout, stderr)
	}
	if getenv(wire.CookieKey) != wire.CookieValue {
		greet(d, args[0], stderr)
		return exitUsage
	}
	// Made before go-plugin replaces os.Stderr: a logger made later is not heard.
	logger := hclog.New(&hclog.LoggerOptions{Output: stderr, JSONFormat: true, Level: level(getenv("ISLM_LOG_LEVEL"))})
	life := newLifecycle()
	srv := newServer(d, logger)
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig: goplugin.HandshakeConfig{
			ProtocolVersion: wire.ProtocolMajor, MagicCookieKey: wire.CookieKey, MagicCookieValue: wire.CookieValue,
		},
		Plugins: goplugin.PluginSet{wire.PluginName: &plugin{srv: srv}},
		GRPCServer: func(opts []grpc.ServerOption) *grpc.Server {
			s := grpc.NewServer(append(append(opts, serverOptions(srv)...), grpc.StatsHandler(life))...)
			life.begin(s.Stop)
			return s
		},
		Logger: logger,
	})
	removeSocketFolder(getenv(goplugin.EnvUnixSocketDir))
	return exitOK
}

// level is the plugin's own threshold; the host has another.
func level(name string) hclog.Level {
	if l := hclog.LevelFromString(name); l != hclog.NoLevel {
		return l
	}
	return hclog.Debug
}

// command runs what a person or a tool asks of the binary itself.
func command(d sdk.Domain, args []string, stdout, stderr io.Writer) int {
	content, ds := sdk.Load(d)
	switch verb := args[1]; {
	case verb == "describe" && len(args) == 2:
		out, err := json.MarshalIndent(content.Description(ds), "", "  ")
		if err != nil {
			fmt.Fprintf(stderr, "describe: %v\n", err)
			return exitInput
		}
		fmt.Fprintf(stdout, "%s\n", out)
		if ds.HasErrors() {
			fmt.Fprintln(stderr, ds)
			return exitInput
		}
		return exitOK
	case (verb == "version" || verb == "--version") && len(args) == 2:
		fmt.Fprintf(stdout, "%s %s (sdk %s, protocol %d.%d)\n", content.Manifest.Name, content.Manifest.Version, sdk.Version, sdk.ProtocolMajor, sdk.ProtocolMinor)
		return exitOK
	case verb == "help" || verb == "--help" || verb == "-h":
		greet(d, args[0], stdout)
		return exitOK
	}
	fmt.Fprintf(stderr, "unknown command %q\n", strings.Join(args[1:], " "))
	greet(d, args[0], stderr)
	return exitUsage
}

// greet tells a person who started the binary what it is for.
func greet(d sdk.Domain, path string, w io.Writer) {
	name := wire.NameOfBinary(path)
	if m, _ := sdk.LoadManifest(d.FS); m != nil && m.Name != "" {
		name = m.Name
		if m.Summary != "" {
			defer fmt.Fprintf(w, "%s\n", m.Summary)
		}
	}
	base := filepath.Base(path)
	fmt.Fprintf(w, "%s is a plugin of islm, not a program of its own: install it with\n    islm plugin install %s\nand use it with\n    islm train --domain %s\n"+
		"\"%s describe\" prints what it holds, \"%s version\" its version.\n", base, path, name, base, base)
}

// plugin is what go-plugin wants to know of the service.
type plugin struct {
	goplugin.NetRPCUnsupportedPlugin
	srv *server
}

func (p *plugin) GRPCServer(_ *goplugin.GRPCBroker, s *grpc.Server) error {
	pb.RegisterDomainServer(s, p.srv)
	return nil
}

func (p *plugin) GRPCClient(context.Context, *goplugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, fmt.Errorf("a plugin has no client side")
}

// On serves a domain on a listener in this process until ctx ends: for tests and
// for checking a domain without a process of its own. Logger may be nil.
func On(ctx context.Context, d sdk.Domain, lis net.Listener, logger hclog.Logger) error {
	if logger == nil {
		logger = hclog.NewNullLogger()
	}
	srv := newServer(d, logger)
	s := grpc.NewServer(serverOptions(srv)...)
	pb.RegisterDomainServer(s, srv)
	stop := context.AfterFunc(ctx, s.Stop)
	defer stop()
	if err := s.Serve(lis); err != nil && ctx.Err() == nil {
		return fmt.Errorf("serve domain: %w", err)
	}
	return nil
}
