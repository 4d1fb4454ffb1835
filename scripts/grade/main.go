// Command grade grades a program for one of the five labs, in any language, from
// outside: over the wire. It explains each failure with the bytes that were
// exchanged.
//
// Exit codes: 0 full score (bonus aside), 1 points are missing, 2 wrong usage, 3
// grading was not possible.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"topdown/scripts/grade/internal/sandbox"
)

// The exit codes.
const (
	exitFull    = 0
	exitMissing = 1
	exitUsage   = 2
	exitFailed  = 3
)

// version is set by scripts/build.
var version = "unreleased"

func main() {
	sandbox.Hook()
	if len(os.Args) > 2 && os.Args[1] == sandbox.WorkerArg {
		os.Exit(runWorker(os.Args[2:]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// errMissing ends with exit code 1: grading worked, and points are missing.
var errMissing = errors.New("points are missing")

// usageError is a mistake on the command line.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	err := app(stdout, stderr).RunContext(ctx, arrange(args))
	var usage usageError
	switch {
	case err == nil:
		return exitFull
	case errors.Is(err, errMissing):
		return exitMissing
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "grade: %v\nTry 'grade --help'.\n", err)
		return exitUsage
	}
	fmt.Fprintf(stderr, "grade: %v\n", err)
	return exitFailed
}
