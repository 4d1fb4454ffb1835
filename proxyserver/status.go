package main

import (
	"context"
	"fmt"
	"net"

	"topdown/proxyserver/internal/listen"
	"topdown/proxyserver/internal/status"
	"topdown/proxyserver/internal/store"

	"go.uber.org/zap"
)

// servePages serves the live page and the metrics, where they are wanted, until
// ctx ends; it returns the ready lines that tell where. addr is the proxy's.
func (p *parts) servePages(ctx context.Context, c *config, addr net.Addr) (lines []string, err error) {
	serve := func(page interface {
		Serve(ctx context.Context, ln net.Listener) error
	}, ln net.Listener,
	) {
		// No client of the proxy reaches through it what is for this machine alone.
		p.server.Shield(ln.Addr())
		go func() {
			if failed := page.Serve(ctx, ln); failed != nil {
				p.log.Error("a page has ended", zap.Error(failed))
			}
		}()
	}
	ln, line, err := c.listenStatus(addr)
	if err != nil {
		return nil, err
	}
	if ln != nil {
		serve(p.live(c, addr), ln)
		line = "http://" + ln.Addr().String() + "/"
	}
	if line != "" {
		lines = append(lines, "  live page:  "+line)
	}
	if c.metricsAddr == "" {
		return lines, nil
	}
	if ln, err = net.Listen("tcp", c.metricsAddr); err != nil {
		return nil, explainListen(err, "--metrics-addr", c.metricsAddr)
	}
	serve(&status.Server{Metrics: p.metrics()}, ln)
	return append(lines, "  status:     http://"+ln.Addr().String()+"/"), nil
}

// listenStatus opens the live page's listener: where the user says, or else,
// beside a proxy that serves this machine alone, at the usual address. If that is
// taken there is no page, and line says so.
func (c *config) listenStatus(addr net.Addr) (ln net.Listener, line string, err error) {
	switch {
	case c.statusAddr == "off":
		return nil, "", nil
	case c.statusAddr != "":
		if ln, err = net.Listen("tcp", c.statusAddr); err != nil {
			return nil, "", explainListen(err, "--status-addr", c.statusAddr)
		}
		return ln, "", nil
	case c.statusSetting.given != "" || c.lab || !isLoopback(addr.String()):
		return nil, "", nil
	}
	if ln, err = net.Listen("tcp", defaultStatus); err != nil {
		return nil, "none, " + defaultStatus + " is taken (--status-addr names another)", nil
	}
	return ln, "", nil
}

// explainListen says why a page cannot have the address that a flag names.
func explainListen(err error, flag, addr string) error {
	host, _, _ := net.SplitHostPort(addr)
	return fmt.Errorf("%s: %w", flag, listen.Explain(err, addr, name+" "+flag+" "+net.JoinHostPort(host, "")))
}

// live makes the live page.
func (p *parts) live(c *config, addr net.Addr) *status.Live {
	p.server.History = status.NewHistory()
	l := &status.Live{
		History: p.server.History, Name: p.server.Name, Addr: addr.String(), TLS: c.tlsCert != "", Figures: p.figures,
		Revalidate: p.server.Revalidate,
	}
	if p.cache != nil {
		l.Purge = p.cache.Purge
	}
	return l
}

// figures are those of now, for the live page.
func (p *parts) figures() status.Figures {
	s := &p.server.Stats
	f := status.Figures{
		Requests: s.Requests.Load(), Hits: s.Hits.Load(), Misses: s.Misses.Load(), Errors: s.Errors.Load(), Saved: s.Saved.Load(),
		Clients: s.Clients.Load(), Tunnels: s.Tunnels.Load(),
	}
	if p.store != nil {
		stored := p.store.Stats()
		f.Entries, f.Stored, f.Limit = int64(stored.Entries), stored.Bytes, stored.Size
		if shared, ok := p.store.(*store.Redis); ok {
			f.Shared = "up"
			if _, down := shared.Outages(); down {
				f.Shared = "down"
			}
		}
	}
	return f
}
