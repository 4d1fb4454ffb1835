// Udppinger is the UDP pinger of the lab: it sends pings to a UDP echo server
// and says for each what became of it.
//
// This file runs the program and sets its exit code. config.go has the flags,
// and each command a file of its own: ping.go, watch.go, load.go, doctor.go,
// heartbeat.go. The lesson begins in internal/wire and internal/ping.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Exit codes, those of ping.
const (
	exitOK      = 0
	exitNoReply = 1 // a target did not reply at all
	exitError   = 2 // wrong usage, unknown host, no socket
)

func main() {
	ctx, end := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		end()
		<-signals // a second one does not wait for the summary
		os.Exit(exitError)
	}()
	os.Exit(run(ctx, os.Args, os.Stdin, os.Stdout, os.Stderr))
}

// errNoReply ends a run that is over and reported, but in which a target did not
// reply.
var errNoReply = errors.New("no reply")

// errReported ends a run whose errors have been told already.
var errReported = errors.New("an error that has been told")

// usageError is a mistake on the command line or in the environment.
type usageError struct {
	error
	command string // "" if there was none
}

// run is the program: it returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	err := runCommand(ctx, args, stdio{stdin, stdout, stderr})
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errNoReply):
		return exitNoReply
	case errors.Is(err, errReported):
		return exitError
	}
	fmt.Fprintf(stderr, "%s: %v\n", name, err)
	if usage, ok := errors.AsType[usageError](err); ok {
		fmt.Fprintf(stderr, "Try '%s --help'.\n", joined(name, usage.command))
	}
	return exitError
}

// stdio is what the program reads and writes.
type stdio struct {
	in       io.Reader
	out, err io.Writer
}
