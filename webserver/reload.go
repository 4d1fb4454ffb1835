package main

import (
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"

	"go.uber.org/zap"

	"topdown/pkg/logging"
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
