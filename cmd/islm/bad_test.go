package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing/fstest"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/islm-dev/islm/sdk"
	"github.com/islm-dev/islm/sdk/serve"
)

// exits is the script command `exits CODE PROGRAM ARGUMENT…`: like exec, for a
// program that has to end with that exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGUMENT…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%s: %v", args[1], err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("%s ended with %d, not %d\nstdout:\n%sstderr:\n%s", strings.Join(args[1:], " "), got, want, ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
}

// linkFaulty is the script command `faulty NAME`: it puts islm-plugin-NAME, one
// of the plugins of faultyPlugin, or `coded`, into the working folder.
func linkFaulty(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: faulty NAME")
	}
	exe, err := os.Executable()
	ts.Check(err)
	to := ts.MkAbs("islm-plugin-" + args[0])
	if os.Link(exe, to) == nil {
		return
	}
	data, err := os.ReadFile(exe)
	ts.Check(err)
	ts.Check(os.WriteFile(to, data, 0o755))
}

// faultyPlugin is the test binary under the name islm-plugin-NAME: a plugin that
// does what no plugin should.
func faultyPlugin(name string) {
	if describes := len(os.Args) > 1; !describes {
		switch name {
		case "loud":
			fmt.Println("loading 12 models …")
		case "broken":
			panic("no data")
		}
	}
	serve.Main(faultyDomain(name, func(yield func(sdk.Example, error) bool) {
		switch name {
		case "hanging":
			time.Sleep(time.Hour)
		case "panicking":
			yield(sdk.Example{ID: "last", Text: "last words"}, nil)
			go func() { panic("boom in a reader") }()
			time.Sleep(time.Hour)
		case "heavy":
			yield(sdk.Example{ID: "whale", Text: strings.Repeat("x", 100<<20)}, nil)
		case "faulty":
			panic("no such table")
		}
	}))
}

// faultyDomain is a domain with one dataset, tickets, whose rows come from read.
func faultyDomain(name string, read func(yield func(sdk.Example, error) bool)) sdk.Domain {
	var files fs.FS = fstest.MapFS{"domain.yaml": {Data: []byte("schema: islm/domain.v0\nname: " + name + "\nversion: 0.1.0\nsummary: A plugin with a fault.\n" +
		"licences: [{data: \"*\", spdx: CC0-1.0}]\ndatasets: {tickets: {task: intent, hook: tickets, splits: [train]}}\n" +
		"heads: [{name: intent, kind: classify.v0, labels: [billing, outage], dataset: tickets}]\n")}}
	return sdk.Domain{FS: files, Readers: map[string]sdk.Reader{"tickets": func(context.Context, sdk.ReadRequest) iter.Seq2[sdk.Example, error] {
		return func(yield func(sdk.Example, error) bool) { read(yield) }
	}}}
}
