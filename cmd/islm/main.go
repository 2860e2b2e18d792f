package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/islm-dev/islm/sdk"
)

// Exit codes, part of the command line's contract.
const (
	exitOK          = 0
	exitProblems    = 1 // the input has problems; diagnostics are printed
	exitUsage       = 2
	exitCannot      = 3 // missing file, no memory, plugin died
	exitInterrupted = 130
)

func main() { os.Exit(run(os.Args[1:])) }

// run is main without the end of the process, so that script tests can call it.
func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	a := &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv}
	root := a.root()
	root.SetArgs(args)
	return a.finish(ctx, root.ExecuteContext(ctx))
}

// usageError is a mistake in the command line itself.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// finish prints what is left to say and chooses the exit code.
func (a *app) finish(ctx context.Context, err error) int {
	var usage usageError
	switch ds, fatal, ok := sdk.DiagnosticsOf(err); {
	case err == nil:
		return exitOK
	case ctx.Err() != nil && (errors.Is(err, context.Canceled) || ok):
		a.say("interrupted")
		return exitInterrupted
	case errors.As(err, &usage):
		a.problems(sdk.Diagnostics{{Severity: sdk.Error, Code: "cli.usage", Summary: usage.Error(), Remedy: fmt.Sprintf("see '%s --help'", a.command)}})
		return exitUsage
	case ok:
		a.problems(ds)
		if fatal || lacksFile(ds) {
			return exitCannot
		}
		return exitProblems
	case errors.Is(err, errProblems):
		return exitProblems
	default:
		a.problems(sdk.Diagnostics{cannotProceed(err)})
		return exitCannot
	}
}

// lacksFile reports whether a model folder lacks a file that it needs: there is
// nothing to correct in what is there, so the command cannot proceed.
func lacksFile(ds sdk.Diagnostics) bool {
	return slices.ContainsFunc(ds, func(d sdk.Diagnostic) bool {
		return d.Severity == sdk.Error && (d.Code == "model.missing" || d.Code == "model.shard")
	})
}

// errProblems ends a command with exit code 1 whose diagnostics are printed already.
var errProblems = errors.New("the input has problems")

// cannotProceed words an error for people, with a remedy where one is known.
func cannotProceed(err error) sdk.Diagnostic {
	d := sdk.Diagnostic{Severity: sdk.Error, Code: "run.failed", Summary: err.Error()}
	switch {
	case errors.Is(err, os.ErrNotExist):
		d.Code, d.Remedy = "file.missing", "check the path"
	case errors.Is(err, os.ErrPermission):
		d.Code, d.Remedy = "file.permission", "change the permissions or choose another folder"
	case errors.Is(err, syscall.ENOSPC):
		d.Code, d.Remedy = "disk.full", "free some space; an earlier checkpoint is kept, --resume goes on from it"
	case errors.Is(err, syscall.ENOMEM):
		d.Code, d.Remedy = "memory.short", "lower train.batch_size or data.max_length"
	}
	return d
}
