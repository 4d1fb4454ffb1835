package main

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"topdown/webserver/internal/fetch"
)

// getConfig is what the command line of get asks for.
type getConfig struct {
	output            string
	verbose, insecure bool
	fields            []string
	timeout           time.Duration
}

func (c *getConfig) groups() []group {
	output := newSetting("output", "FILE", "", "save the content in this file; - is standard output", text(&c.output))
	verbose := newSwitch("verbose", "show both heads, as sent and as received, on standard error", &c.verbose)
	header := newSetting("header", "FIELD", "", `send this field ("Name: value") as well; may be given again`, texts(&c.fields))
	output.short, verbose.short, header.short = "o", "v", "H"
	return []group{{"Flags", []*setting{
		output, verbose, header,
		newSwitch("insecure", "accept any certificate", &c.insecure),
		newSetting("timeout", "TIME", "30s", "give up after this time", duration(&c.timeout)),
	}}}
}

const getUsageText = `webserver get sends a GET from a socket and shows the response.

Usage:
  webserver get [flags] URL
  webserver get [flags] HOST PORT FILE

It shows the status line, the fields and the content, or saves the content with
-o. Redirects are shown, not followed.
`

const getMoreText = `
Examples:
  webserver get http://localhost:8080/HelloWorld.html
  webserver get -v -o picture.png http://localhost:8080/image.png
  webserver get localhost 8080 HelloWorld.html

Exit codes: 0 for a status of 2xx, 3 for 3xx, 4 for 4xx, 5 for 5xx; 1 no whole
response came; 2 the command line cannot be understood.
`

// runGet is the client of the textbook's optional exercise.
func runGet(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	const command = " get"
	c := &getConfig{}
	groups := c.groups()
	return runApp(ctx, args, command, getUsageText+help(groups)+getMoreText, all(groups), stdout, stderr, func(ctx context.Context, args []string) error {
		var url string
		switch len(args) {
		case 1:
			url = args[0]
		case 3:
			url = fetch.HandoutURL(args[0], args[1], args[2])
		default:
			return usageError{errors.New("a URL is expected, or a host, a port and a file"), command}
		}
		result, err := fetch.Get(ctx, fetch.Options{
			URL: url, Fields: c.fields, Output: c.output,
			Verbose: c.verbose, Insecure: c.insecure, Timeout: c.timeout,
			Stdout: stdout, Stderr: stderr, Terminal: isTerminal(stdout),
		})
		if errors.Is(err, fetch.ErrUsage) {
			return usageError{err, command}
		}
		if result.ExitCode != exitOK {
			return statusError{err, result.ExitCode}
		}
		return err
	})
}

// isTerminal reports whether w is a terminal, or something else that shows
// characters.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// texts takes the flag again and again.
func texts(to *[]string) func(string) error {
	return func(value string) error { *to = append(*to, value); return nil }
}
