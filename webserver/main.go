// Webserver serves files over HTTP/1.1, from the socket up: the first
// programming assignment of Computer Networking: A Top-Down Approach.
//
// This file runs the program and sets its exit code. config.go has the flags,
// serve.go puts the server together, get.go is the client; the lesson begins in
// internal/server/server.go.
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
	exitFault = 1 // something went wrong while running: a port in use, no such directory
	exitUsage = 2 // the command line cannot be understood
)

func main() {
	// A reader of our output that goes away is no reason to stop serving.
	signal.Ignore(syscall.SIGPIPE)
	ctx, end := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	// Front-end tools send SIGQUIT where others send SIGTERM.
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGQUIT)
	go func() {
		<-signals
		end()
		<-signals // a second one does not wait for what is in flight
		os.Exit(exitFault)
	}()
	os.Exit(run(ctx, os.Args, os.Stdout, os.Stderr))
}

// usageError is a mistake on the command line or in the environment.
type usageError struct {
	error
	command string // "" for the program itself
}

// statusError is how the client's exit code tells the status of the response.
type statusError struct {
	error // nil if there is nothing to tell
	code  int
}

// run is the program: it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	err := runCommand(ctx, args, stdout, stderr)
	if err == nil {
		return exitOK
	}
	if status, ok := errors.AsType[statusError](err); ok {
		if status.error != nil {
			fmt.Fprintf(stderr, "%s: %v\n", name, status.error)
		}
		return status.code
	}
	fmt.Fprintf(stderr, "%s: %v\n", name, err)
	if usage, ok := errors.AsType[usageError](err); ok {
		fmt.Fprintf(stderr, "Try '%s%s --help'.\n", name, usage.command)
		return exitUsage
	}
	return exitFault
}
