package main

import (
	"io"
	"os"

	"github.com/urfave/cli/v2"

	"topdown/webserver/internal/fetch"
)

// getCommand is the client of the textbook's optional exercise.
func getCommand(stdout, stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:      "get",
		Usage:     "send a GET from a socket and show the response",
		ArgsUsage: "URL | HOST PORT FILE",

		OnUsageError: badFlag,
		Description: "Shows the status line, the fields and the content of the response, or saves the\n" +
			"content with -o. Redirects are shown, not followed.\n\n" +
			"Exit codes: 0 for a status of 2xx, 3 for 3xx, 4 for 4xx, 5 for 5xx; 1 when no whole\n" +
			"response came; 2 when the command line cannot be understood.\n\n" +
			"Examples:\n" +
			"  webserver get http://localhost:8080/HelloWorld.html\n" +
			"  webserver get -v -o picture.png http://localhost:8080/image.png\n" +
			"  webserver get localhost 8080 HelloWorld.html",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "save the content in `FILE` (- is standard output)"},
			&cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Usage: "show both heads, as sent and as received, on standard error"},
			&cli.StringSliceFlag{Name: "header", Aliases: []string{"H"}, Usage: "send `FIELD` (\"Name: value\") as well"},
			&cli.BoolFlag{Name: "insecure", Usage: "accept any certificate"},
			&cli.DurationFlag{Name: "timeout", Value: 0, DefaultText: "30s", Usage: "give up after this long"},
		},
		Action: func(ctx *cli.Context) error {
			args := ctx.Args().Slice()
			var url string
			switch len(args) {
			case 1:
				url = args[0]
			case 3:
				url = fetch.HandoutURL(args[0], args[1], args[2])
			default:
				return usage("get takes a URL, or a host, a port and a file")
			}
			result, err := fetch.Get(ctx.Context, fetch.Options{
				URL: url, Fields: ctx.StringSlice("header"), Output: ctx.String("output"),
				Verbose: ctx.Bool("verbose"), Insecure: ctx.Bool("insecure"), Timeout: ctx.Duration("timeout"),
				Stdout: stdout, Stderr: stderr, Terminal: isTerminal(stdout),
			})
			if result.ExitCode != exitOK {
				return exitError{result.ExitCode, err}
			}
			return err
		},
	}
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
