// Udppingserver is the UDP ping server of the lab: it upper-cases what it
// receives, loses some of it on purpose, and sends the rest back.
//
// This file runs the program and sets its exit code. config.go has the flags,
// serve.go puts the server together; the lesson begins in
// internal/echo/echo.go.
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
	exitFault = 1 // it could not listen, or stopped with a fault
	exitUsage = 2 // it was called wrongly
)

func main() {
	ctx, end := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		end()
		<-signals // a second one does not wait for the statistics
		os.Exit(exitFault)
	}()
	os.Exit(run(ctx, os.Args, os.Stdout, os.Stderr))
}

// usageError is a mistake on the command line or in the environment.
type usageError struct{ error }

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
