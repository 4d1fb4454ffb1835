package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"topdown/pkg/logging"
	"topdown/proxyserver/internal/control"
	"topdown/proxyserver/internal/rules"
	"topdown/proxyserver/internal/store"
)

// validateCommand checks the words of a command.
func (c *config) validateCommand() error {
	words := c.command
	if words[0] == "cache" {
		if len(words) < 2 {
			return errors.New("cache needs one of list, show, purge, purge-all")
		}
		words = words[1:]
	}
	if words[0] != "explain" && !isCacheCommand(words[0]) {
		return usagef("unknown command cache %s: one of list, show, purge, purge-all is expected", words[0])
	}
	wanted := 2
	if words[0] == "list" || words[0] == "purge-all" {
		wanted = 1
	}
	if len(words) > wanted {
		return usagef("unexpected argument %q", words[wanted])
	}
	if wanted == 1 {
		return nil
	}
	if len(words) < 2 {
		return usagef("%s needs a URL", words[0])
	}
	if _, ok := rules.ParseKey(words[1]); !ok {
		return usagef("argument %q: a URL is expected, as in http://www.example.com/page", words[1])
	}
	return nil
}

// isCacheCommand reports whether word may follow cache.
func isCacheCommand(word string) bool {
	return word == "list" || word == "show" || word == "purge" || word == "purge-all"
}

// explain fetches one URL and shows what happens: in the proxy that has the store
// open, or in one of its own.
func explain(ctx context.Context, c *config, stdout, stderr io.Writer) error {
	log, err := logging.New(stderr, c.logLevel, c.logFormat)
	if err != nil {
		return err
	}
	const addr = "127.0.0.1:0" // it serves this machine, and listens nowhere
	p, err := build(ctx, c, addr, log)
	if errors.Is(err, store.ErrInUse) {
		dir, _, _ := cacheDir(c)
		fmt.Fprintf(stderr, "asking the proxy that is running\n")
		if err = control.Ask(ctx, dir, stdout, c.command...); !errors.Is(err, control.ErrNobody) {
			return err
		}
		fmt.Fprintf(stderr, "it does not answer; going on with an empty store\n")
		if c.cacheDir, err = os.MkdirTemp("", "topdown-proxyserver-"); err != nil {
			return fmt.Errorf("make a temporary directory for the cache: %w", err)
		}
		defer os.RemoveAll(c.cacheDir) //nolint:errcheck // a temporary directory
		p, err = build(ctx, c, addr, log)
	}
	if err != nil {
		return err
	}
	defer p.close()
	return p.server.Explain(ctx, c.command[1], stdout)
}
