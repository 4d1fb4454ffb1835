package main

import (
	"context"
	"strings"
)

// A command is a word of the command line with flags of its own.
type command struct {
	name      string // "smtpclient inbox list"
	purpose   string // without a period
	arguments string // that it needs, as "N DIRECTORY"; with brackets it takes any
	about     string // what else users should know
	examples  string
	groups    []group
	commands  []*command // or those that may follow
	validate  func() error
	run       func(ctx context.Context) error
}

// word is the last of the command's name.
func (c *command) word() string { return c.name[strings.LastIndexByte(c.name, ' ')+1:] }

// count compares the arguments given with those needed.
func (c *command) count(args []string) error {
	needed := strings.Fields(c.arguments)
	switch {
	case strings.HasPrefix(c.arguments, "["):
	case len(args) > len(needed):
		return usage("unexpected argument %q", args[len(needed)])
	case len(args) < len(needed):
		return usage("an argument is missing: write %s %s", strings.TrimPrefix(c.name, name+" "), c.arguments)
	}
	return nil
}

// words lists the commands that can follow.
func (c *command) words() string {
	words := make([]string, len(c.commands))
	for i, sub := range c.commands {
		words[i] = sub.word()
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
