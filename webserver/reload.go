package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"go.uber.org/zap"

	"topdown/pkg/logging"
	"topdown/webserver/internal/live"
)

// accessLog sets up a line for each request.
func (p *parts) accessLog(stdout io.Writer) error {
	path := p.config.accessLog
	format, err := logging.ParseAccessFormat(p.config.accessFormat)
	if err != nil {
		return err
	}
	p.lines, err = logging.OpenAccess(path, logging.AccessOptions{Format: format, Stdout: stdout, Report: p.report("access log")})
	if err != nil {
		return fileError("--access-log", path, err)
	}
	p.server.Access = p.lines
	if path != "-" && path != "off" {
		p.rules.WriteFiles = append(p.rules.WriteFiles, path)
	}
	return nil
}

// pageEnd is what each page has at its end.
func (c *config) pageEnd() string {
	if c.liveReload {
		return live.Tag
	}
	return ""
}

// liveNames is how many names below the root are looked at for changes.
const liveNames = 100_000

// liveReload has pages load anew when a file changes. The returned function ends
// that.
func (p *parts) liveReload(ctx context.Context) (stop func()) {
	if !p.config.liveReload {
		return func() {}
	}
	p.server.Live = &live.Pages{}
	ctx, cancel := context.WithCancel(ctx)
	var looking sync.WaitGroup
	looking.Go(func() {
		warned := false
		p.server.Live.Run(ctx, func() uint64 {
			state, whole := p.files.State(liveNames)
			if !whole && !warned {
				warned = true
				p.log.Warn("--live-reload looks at so many names and no more: some changes go unnoticed", zap.Int("names", liveNames))
			}
			return state
		})
	})
	return func() {
		cancel()
		looking.Wait()
	}
}

// onHangup opens the access log and the root anew on SIGHUP, as log rotation and
// deployments ask for. The returned function ends that.
func (p *parts) onHangup() (stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	failed := func(what string, err error) {
		if errors.Is(err, os.ErrPermission) && !p.config.noSandbox {
			p.log.Error(what+": the sandbox keeps this process to the folders that were there at the start; restart it, or use --no-sandbox", zap.Error(err))
			return
		}
		p.log.Error(what, zap.Error(err))
	}
	go func() {
		for range signals {
			if err := p.lines.Reopen(); err != nil {
				failed("the access log stays where it was", err)
			}
			if changed, err := p.files.Reopen(); err != nil {
				failed("the old root is still served", err)
			} else if changed {
				p.log.Info("another directory is served now", zap.String("root", p.config.root))
			}
		}
	}()
	return func() {
		signal.Stop(signals)
		close(signals)
	}
}
