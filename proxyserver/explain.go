package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"topdown/pkg/logging"
	"topdown/proxyserver/internal/proxy"
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
	wanted := 2
	switch words[0] {
	case "explain", "show", "purge":
	case "list", "purge-all":
		wanted = 1
	default:
		return usagef("unknown command cache %s: one of list, show, purge, purge-all is expected", words[0])
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

// explain fetches one URL and shows what happened: through the proxy that has
// the store open, or through one of its own.
func explain(ctx context.Context, c *config, stdout, stderr io.Writer) error {
	url := c.command[1]
	log, err := logging.New(stderr, c.logLevel, c.logFormat)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer ln.Close()
	p, err := build(ctx, c, ln.Addr().String(), log)
	if errors.Is(err, store.ErrInUse) {
		fmt.Fprintf(stderr, "asking the proxy that is running at %s\n", c.addr)
		err = proxy.Explain(ctx, c.addr, url, stdout)
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return err
		}
		fmt.Fprintf(stderr, "none is running there (--addr names another); going on with an empty store\n")
		dir, tempErr := os.MkdirTemp("", "topdown-proxyserver-")
		if tempErr != nil {
			return fmt.Errorf("make a temporary directory for the cache: %w", tempErr)
		}
		defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
		c.cacheDir = dir
		p, err = build(ctx, c, ln.Addr().String(), log)
	}
	if err != nil {
		return err
	}
	defer p.close()
	p.server.SetUsers(nil)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- p.server.Serve(ctx, ln) }()
	err = proxy.Explain(ctx, ln.Addr().String(), url, stdout)
	cancel()
	return errors.Join(err, <-done)
}
