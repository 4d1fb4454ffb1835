package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
)

// config is what the command line says. Only this file knows the flag library.
type config struct {
	lab       string
	command   string
	also      []string
	compile   string
	addr      string
	in        string
	fixedPort int
	checks    []string
	list      bool
	seed      uint64
	timeout   time.Duration
	total     time.Duration
	stage     int
	rubric    string
	rate      string
	format    string
	output    string
	isolation string
	verbose   bool

	dir     string
	pattern string
	jobs    int
	reports string
}

func app(stdout, stderr io.Writer) *cli.App {
	var commands []*cli.Command
	for _, name := range labNames() {
		commands = append(commands, labCommand(name, stdout, stderr))
	}
	commands = append(commands, compareCommand(stdout, stderr))
	return &cli.App{
		Name: "grade", Usage: "grade a program for one of the five labs, in any language, over the wire",
		Version: version, Writer: stdout, ErrWriter: stderr, HideHelpCommand: true,
		CustomAppHelpTemplate: appHelp, Commands: commands,
		OnUsageError:   onUsageError,
		ExitErrHandler: func(*cli.Context, error) {},
		Action: func(c *cli.Context) error {
			if c.Args().Len() > 0 {
				return usageError{fmt.Sprintf("there is no lab %q; there are %s", c.Args().First(), strings.Join(labNames(), ", "))}
			}
			return cli.ShowAppHelp(c)
		},
	}
}

const appHelp = `grade LAB [flags]              grade our own program
grade LAB --cmd COMMAND        grade a student's program
grade LAB --addr HOST:PORT     grade a server that runs already
grade LAB --dir FOLDER --cmd COMMAND   grade a folder of submissions
grade compare --lab LAB --cmd COMMAND FOLDER FOLDER

Grades a program for one of the five labs from outside, over the wire, in any
language, and explains each failure with the bytes that were exchanged.

Labs: {{range .Commands}}{{if ne .Name "compare"}}{{.Name}} {{end}}{{end}}

Examples:
  grade webserver --cmd 'python3 web.py {port}'
  grade webserver --compile 'javac Web.java' --cmd 'java Web {port}'
  grade udppinger --cmd './pinger {host} {port}' --check rtt
  grade smtpclient --list

'grade LAB --help' tells the flags and the {placeholders} of a lab.

Exit codes: 0 full score (bonus aside), 1 points are missing, 2 wrong usage, 3 grading
was not possible.
`

const labHelp = `grade {{.Name}} [flags]

{{.UsageText}}

Flags:
{{range .VisibleFlags}}  {{index .Names 0 | printf "--%-12s"}} {{.Usage}}
{{end}}`

// flags are those of a lab's command and of compare.
func (c *config) flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "cmd", Destination: &c.command, Usage: "COMMAND that runs the program, with {placeholders}"},
		&cli.StringFlag{Name: "compile", Destination: &c.compile, Usage: "COMMAND to run once before, as 'javac Web.java'"},
		&cli.IntFlag{Name: "fixed-port", Destination: &c.fixedPort, Usage: "the port N that the program has built in"},
		&cli.Uint64Flag{Name: "seed", Destination: &c.seed, Usage: "NUMBER that the files' and messages' contents are drawn from (default: 1)", Value: 1},
		&cli.DurationFlag{Name: "timeout", Destination: &c.timeout, Value: 5 * time.Second, Usage: "how long an answer may take, as 5s"},
		&cli.DurationFlag{Name: "total", Destination: &c.total, Value: 5 * time.Minute, Usage: "how long all of a submission may take, as 5m"},
		&cli.StringFlag{Name: "isolation", Destination: &c.isolation, Value: "auto", Usage: "auto, full (as root), user (user namespaces) or none"},
	}
}

func labCommand(name string, stdout, stderr io.Writer) *cli.Command {
	c := &config{lab: name}
	var also, checks cli.StringSlice
	flags := append(c.flags(),
		&cli.StringSliceFlag{Name: "also", Destination: &also, Usage: "NAME=COMMAND for a bonus check; repeatable"},
		&cli.StringFlag{Name: "in", Destination: &c.in, Usage: "FOLDER of the submission; it is copied (default: this one)"},
		&cli.StringSliceFlag{Name: "check", Destination: &checks, Usage: "run the check with this ID only; repeatable"},
		&cli.IntFlag{Name: "stage", Destination: &c.stage, Usage: "go step by step in the textbook's order up to step N, and stop where one fails"},
		&cli.BoolFlag{Name: "list", Destination: &c.list, Usage: "show the checks with their points and requirements"},
		&cli.StringFlag{Name: "rubric", Destination: &c.rubric, Usage: "FILE (TOML) that changes points or leaves checks out"},
		&cli.StringFlag{Name: "format", Destination: &c.format, Value: "text", Usage: "text, json, junit, tap, gradescope, github, classroom50 or html"},
		&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Destination: &c.output, Usage: "FILE for it (default: standard output)"},
		&cli.BoolFlag{Name: "verbose", Destination: &c.verbose, Usage: "say how the program was run"},
		&cli.StringFlag{Name: "dir", Destination: &c.dir, Usage: "grade each folder in FOLDER, into a CSV and a report for each"},
		&cli.StringFlag{Name: "pattern", Destination: &c.pattern, Value: "*", Usage: "which names in --dir are submissions"},
		&cli.IntFlag{Name: "jobs", Destination: &c.jobs, Value: 4, Usage: "how many of them at a time"},
		&cli.StringFlag{Name: "reports", Destination: &c.reports, Usage: "FOLDER for the CSV and the reports (default: FOLDER of --dir with -reports)"},
	)
	if name != "udppinger" && name != "smtpclient" {
		flags = append(flags, &cli.StringFlag{Name: "addr", Destination: &c.addr, Usage: "HOST:PORT of a server that runs already"})
	}
	if name == "udppingserver" {
		flags = append(flags, &cli.StringFlag{Name: "rate", Destination: &c.rate, Usage: "the share of packets that the server says it drops, as 0.3, 30% or 3/10 (default: 4/11 or 30%)"})
	}
	return &cli.Command{
		Name: name, Usage: labs()[name].purpose, UsageText: "Placeholders: " + labs()[name].holders,
		Flags: flags, CustomHelpTemplate: labHelp, HideHelpCommand: true, OnUsageError: onUsageError,
		Action: func(ctx *cli.Context) error {
			if ctx.Args().Len() > 0 {
				return usageError{fmt.Sprintf("unexpected argument %q", ctx.Args().First())}
			}
			c.also, c.checks = also.Value(), checks.Value()
			return runGrade(ctx.Context, c, stdout, stderr)
		},
	}
}

// A comparison is what compare's command line says.
type comparison struct {
	config

	a, b string
}

func compareCommand(stdout, stderr io.Writer) *cli.Command {
	c := &comparison{}
	return &cli.Command{
		Name: "compare", Usage: "show two submissions' behaviour and structure side by side",
		UsageText:          "grade compare --lab LAB --cmd COMMAND FOLDER FOLDER\n\nShows what two submissions do on the wire and how their files are built, side by side.\nIt gives no verdict.",
		CustomHelpTemplate: "{{.UsageText}}\n\nFlags:\n{{range .VisibleFlags}}  {{index .Names 0 | printf \"--%-12s\"}} {{.Usage}}\n{{end}}",
		HideHelpCommand:    true, OnUsageError: onUsageError,
		Flags: append([]cli.Flag{&cli.StringFlag{Name: "lab", Destination: &c.lab, Usage: "the LAB"}}, c.flags()...),
		Action: func(ctx *cli.Context) error {
			if ctx.Args().Len() != 2 {
				return usageError{"compare takes two folders"}
			}
			c.a, c.b = ctx.Args().Get(0), ctx.Args().Get(1)
			return runCompare(ctx.Context, c, stdout, stderr)
		},
	}
}

func onUsageError(_ *cli.Context, err error, _ bool) error {
	text := err.Error()
	switch {
	case strings.HasPrefix(text, "flag provided but not defined: "):
		text = "unknown flag -" + strings.TrimPrefix(text, "flag provided but not defined: ")
	case strings.HasPrefix(text, "flag needs an argument: "):
		text = "-" + strings.TrimPrefix(text, "flag needs an argument: ") + " needs a value"
	case strings.HasPrefix(text, "invalid value "):
		value, rest, _ := strings.Cut(strings.TrimPrefix(text, "invalid value "), " for flag -")
		name, _, _ := strings.Cut(rest, ":")
		what := "a whole number is expected"
		if name == "timeout" || name == "total" {
			what = "a time is expected, as in 5s or 2m"
		}
		text = fmt.Sprintf("--%s %s: %s", name, value, what)
	}
	return usageError{text}
}

// arrange moves the folders of "compare A B --flag" behind the flags, where the
// flag library looks for them.
func arrange(args []string) []string {
	if len(args) < 3 || args[1] != "compare" {
		return args
	}
	flags, names := []string{args[0], args[1]}, []string{}
	for i := 2; i < len(args); i++ {
		switch {
		case !strings.HasPrefix(args[i], "-"):
			names = append(names, args[i])
		case strings.Contains(args[i], "=") || args[i] == "--help" || args[i] == "-h":
			flags = append(flags, args[i])
		default:
			flags = append(flags, args[i:min(i+2, len(args))]...)
			i++
		}
	}
	return append(flags, names...)
}

// validate finds mistakes before anything is started.
func (c *config) validate() error {
	formats := []string{"text", "json", "junit", "tap", "gradescope", "github", "classroom50", "html"}
	if c.format != "" && !slices.Contains(formats, c.format) {
		return usageError{fmt.Sprintf("--format %q: one of %s is expected", c.format, strings.Join(formats, ", "))}
	}
	if !slices.Contains([]string{"auto", "full", "user", "none"}, c.isolation) {
		return usageError{fmt.Sprintf("--isolation %q: one of auto, full, user, none is expected", c.isolation)}
	}
	if c.isolation == "full" && os.Getuid() != 0 {
		return usageError{"--isolation full: only root can do that; try user"}
	}
	if c.fixedPort < 0 || c.fixedPort > 65535 {
		return usageError{fmt.Sprintf("--fixed-port %d: a number from 1 to 65535 is expected", c.fixedPort)}
	}
	if c.jobs < 1 && c.dir != "" {
		return usageError{fmt.Sprintf("--jobs %d: at least 1 is expected", c.jobs)}
	}
	if c.command != "" && c.addr != "" {
		return usageError{"--cmd and --addr: one of the two"}
	}
	if c.dir != "" && c.command == "" {
		return usageError{"--dir needs --cmd: how is a submission run?"}
	}
	for _, entry := range c.also {
		name, _, ok := strings.Cut(entry, "=")
		if known := slices.Sorted(maps.Keys(labs()[c.lab].also)); !ok || !slices.Contains(known, name) {
			if len(known) == 0 {
				return usageError{fmt.Sprintf("--also %q: %s has no such bonus check", entry, c.lab)}
			}
			return usageError{fmt.Sprintf("--also %q: NAME=COMMAND is expected, NAME one of %s", entry, strings.Join(known, ", "))}
		}
	}
	return nil
}
