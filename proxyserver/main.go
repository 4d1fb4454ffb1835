// Command proxyserver is a caching web proxy: the fourth socket programming
// assignment of "Computer Networking: A Top-Down Approach", made to be left
// running. See README.md.
//
// This file runs the program and sets its exit code. config.go has the flags,
// serve.go puts the proxy together, status.go its pages, explain.go and cache.go
// are the commands; the lesson begins in internal/proxy/proxy.go.
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

// Exit codes.
const (
	exitOK    = 0
	exitFault = 1 // it could not listen or do what it was asked for
	exitUsage = 2 // it was called wrongly
)

func main() {
	ctx, end := context.WithCancel(context.Background())
	// The handler stays: a second signal must not find a moment in which the
	// first has been taken and nobody listens.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	// A reader of the output that goes away is an error of writing, no more.
	signal.Ignore(syscall.SIGPIPE)
	go func() {
		<-signals
		end()
		<-signals // a second one does not wait for exchanges under way
		os.Exit(exitFault)
	}()
	os.Exit(run(ctx, os.Args, os.Stdout, os.Stderr))
}

// usageError is a mistake on the command line or in the environment.
type usageError struct{ error }

func usagef(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

// run is the program: it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	err := runCommand(ctx, args, stdout, stderr)
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(stderr, "%s: %v\n", name, err)
	if _, ok := errors.AsType[usageError](err); ok {
		fmt.Fprintf(stderr, "Try '%s --help'.\n", name)
		return exitUsage
	}
	return exitFault
}
