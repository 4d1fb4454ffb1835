package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"topdown/proxyserver/internal/control"
	"topdown/proxyserver/internal/rules"
	"topdown/proxyserver/internal/store"

	"go.uber.org/zap"
)

// cacheCommand looks into the store: it asks the proxy that has it open, or
// opens it where none is running.
func cacheCommand(ctx context.Context, c *config, stdout io.Writer) error {
	dir, temporary, err := cacheDir(c)
	if err != nil {
		return err
	}
	if temporary {
		os.RemoveAll(dir) //nolint:errcheck // a temporary directory
		return usagef("there is no cache directory: name it with --cache-dir")
	}
	if _, err = os.Stat(dir); err != nil {
		return noDirectory("--cache-dir", dir, err)
	}
	if err = control.Ask(ctx, dir, stdout, c.command[1:]...); !errors.Is(err, control.ErrNobody) {
		return err
	}
	opened, err := (&parts{log: zap.NewNop()}).openStore(c)
	if errors.Is(err, store.ErrInUse) {
		return fmt.Errorf("another process has %s open and does not answer: end it first", dir)
	}
	if err != nil {
		return err
	}
	out := bufio.NewWriter(stdout)
	return errors.Join(manageStore(ctx, opened, out, c.command[1:]), out.Flush(), opened.Close())
}

// serveControl answers the cache commands while the proxy runs.
func (p *parts) serveControl(dir string) {
	if p.store == nil || dir == "" {
		return
	}
	ln, err := control.Listen(dir)
	if err != nil {
		p.log.Warn("the cache commands will not reach this proxy", zap.Error(err))
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		control.Serve(ctx, ln, func(ctx context.Context, w io.Writer, words []string) error {
			if len(words) == 2 && words[0] == "explain" {
				return p.server.Explain(ctx, words[1], w)
			}
			return manageStore(ctx, p.store, w, words)
		})
	}()
	p.ends = append(p.ends, func() {
		cancel()
		<-done
	})
}

// manageStore carries out a cache command.
func manageStore(ctx context.Context, s store.Managed, w io.Writer, words []string) error {
	key := ""
	if len(words) > 1 {
		key, _ = rules.ParseKey(words[1])
	}
	switch {
	case len(words) == 1 && words[0] == "list":
		return list(s, w)
	case len(words) == 1 && words[0] == "purge-all":
		removed(w, s.Clear(ctx), "")
		return nil
	case key != "" && words[0] == "show":
		return show(s, key, w)
	case key != "" && words[0] == "purge":
		removed(w, s.Invalidate(ctx, key), " for "+key)
		return nil
	}
	return fmt.Errorf("unknown command %q", strings.Join(words, " "))
}

// removed tells how many responses went.
func removed(w io.Writer, n int, what string) {
	switch n {
	case 0:
		fmt.Fprintf(w, "nothing was stored%s\n", what)
	case 1:
		fmt.Fprintf(w, "removed 1 stored response%s\n", what)
	default:
		fmt.Fprintf(w, "removed %d stored responses%s\n", n, what)
	}
}

func list(s store.Managed, w io.Writer) (err error) {
	s.List(func(info store.Info) bool {
		stored := info.Stored.ResponseTime.UTC().Format(time.RFC3339)
		_, err = fmt.Fprintf(w, "%s %3d %10d %s\n", stored, info.Stored.Status, info.Size, printable(info.Key))
		return err == nil
	})
	return err
}

func show(s store.Managed, key string, out io.Writer) error {
	found := s.Find(key)
	if len(found) == 0 {
		return fmt.Errorf("nothing is stored for %s", key)
	}
	for _, info := range found {
		fmt.Fprintf(out, "%s\n  file:    %s\n  stored:  %s\n  content: %d bytes", key, info.Path,
			info.Stored.ResponseTime.UTC().Format(time.RFC3339), info.Size)
		if info.Stored.Partial {
			fmt.Fprintf(out, ", from byte %d on of %d", info.Stored.First, info.Stored.Total)
		}
		fmt.Fprintln(out)
		for _, field := range info.Stored.Vary {
			fmt.Fprintf(out, "  for requests with %s: %s\n", printable(field.Name), printable(field.Value))
		}
		fmt.Fprintf(out, "  %d %s\n", info.Stored.Status, printable(info.Stored.Reason))
		for _, field := range info.Stored.Fields {
			fmt.Fprintf(out, "  %s: %s\n", printable(field.Name), printable(field.Value))
		}
	}
	return nil
}

// printable makes an origin's bytes safe for a terminal.
func printable(s string) string {
	quoted := strconv.QuoteToASCII(s)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}
