package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"time"

	"topdown/pkg/logging"
	"topdown/proxyserver/internal/listen"
	"topdown/proxyserver/internal/proxy"
	"topdown/proxyserver/internal/tracefile"

	"go.uber.org/zap"
)

// serve puts the proxy together and runs it until ctx ends.
func serve(ctx context.Context, c *config, stdout, stderr io.Writer) error {
	log, err := logging.New(stderr, c.logLevel, c.logFormat)
	if err != nil {
		return err
	}
	// Steps 1 and 2: Go's Listen is socket, bind and listen in one.
	ln, err := openListener(c.addr)
	if err != nil {
		return err
	}
	defer ln.Close()
	p, err := build(ctx, c, ln.Addr().String(), log)
	if err != nil {
		return err
	}
	defer p.close()
	// An origin, a file of the store: each client may need two more.
	if most := max(descriptors()/3-50, 10); p.server.MaxConns > most {
		if c.maxConnsSetting.given != "" {
			log.Warn("fewer clients than --max-conns: this process may open too few files (ulimit -n)", zap.Int("clients", most))
		}
		p.server.MaxConns = most
	}
	if p.server.TLS, err = p.certificate(c); err != nil {
		return err
	}
	p.server.Access, err = logging.OpenAccess(c.accessLog, logging.AccessOptions{
		Format: c.accessFormat, Stdout: stdout,
		Report: func(err error) { log.Error("lines of the access log are lost", zap.Error(err)) },
	})
	if err != nil {
		return fileError("--access-log", c.accessLog, err)
	}
	defer p.server.Access.Close() //nolint:errcheck // what is lost has been reported
	if c.trace {
		p.server.Trace = stderr
	}
	if c.traceFile != "" {
		out, failed := os.Create(c.traceFile)
		if failed != nil {
			return fileError("--trace-file", c.traceFile, failed)
		}
		p.server.TraceFile = tracefile.New(out, name, "proxy", time.Now(), proxy.TraceHelpers...)
		defer func() {
			if failed := errors.Join(p.server.TraceFile.Err(), out.Close()); failed != nil {
				log.Warn("the trace file is not complete", zap.Error(failed))
			}
		}()
	}
	if c.lab {
		lines := newLineWriter(stdout)
		defer lines.close()
		p.server.Notify = lines.add
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	pages, err := p.servePages(ctx, c, ln.Addr())
	if err != nil {
		return err
	}
	// While little is stored, the collector would come after every 3,000 hits, and
	// look at all that the live page keeps: of the 2.6 µs that a hit takes here it
	// had 0.2, and 0.5 with the page (BenchmarkExchange). This, of which it thinks
	// that it is in use, lets it wait for four times as many. Nobody writes to it,
	// so it takes no memory; what is garbage meanwhile does.
	ballast := make([]byte, 8<<20)
	defer runtime.KeepAlive(ballast)
	p.serveControl(p.dir)
	p.reloadOnHangup(ctx, c)
	ready(stdout, ln.Addr(), p.server.Upstream != nil, c, pages)
	return p.server.Serve(ctx, ln)
}

// openListener returns the socket that systemd has opened for this process, or
// one at addr.
func openListener(addr string) (net.Listener, error) {
	activated, err := listen.Activated(os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS"))
	if err != nil {
		return nil, err
	}
	if len(activated) > 0 {
		for _, other := range activated[1:] {
			other.Close()
		}
		return activated[0], nil
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, listen.Explain(err, addr, name+" ")
	}
	return ln, nil
}

// ready says that the proxy is ready and how to use it.
func ready(w io.Writer, addr net.Addr, reverse bool, c *config, pages []string) {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		host, port = addr.String(), ""
	}
	public := !isLoopback(addr.String())
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		host = "localhost"
	}
	at := net.JoinHostPort(host, port)
	scheme := "http"
	if c.tlsCert != "" {
		scheme = "https"
	}
	fmt.Fprintln(w, "Ready to serve...")
	if reverse {
		fmt.Fprintf(w, "  %s://%s/ shows %s://%s%s/\n", scheme, at, c.upstream.Scheme, c.upstream.Host, c.upstream.Path)
	} else {
		fmt.Fprintf(w, "  curl:       curl -x %s://%s http://www.example.com/\n", scheme, at)
		if scheme == "http" {
			fmt.Fprintf(w, "  browser:    set %s as its HTTP proxy (chromium --proxy-server=%s)\n", at, at)
		} else {
			fmt.Fprintf(w, "  browser:    set it as its HTTPS proxy (chromium --proxy-server=https://%s)\n", at)
		}
		if host == "127.0.0.1" || host == "::1" {
			at = net.JoinHostPort("localhost", port)
		}
		fmt.Fprintf(w, "  path style: %s://%s/www.example.com/\n", scheme, at)
	}
	for _, page := range pages {
		fmt.Fprintln(w, page)
	}
	if public && c.authFile != "" && c.tlsCert == "" {
		fmt.Fprintln(w, "  Passwords cross the network in the clear: --tls-cert and --tls-key encrypt them.")
	}
}

// fileError names the flag and the file that could not be opened, once.
func fileError(flag, file string, err error) error {
	if failed, ok := errors.AsType[*os.PathError](err); ok {
		err = failed.Err
	}
	return fmt.Errorf("%s %s: %w", flag, file, err)
}

// lineWriter writes the lab's lines without making a request wait for whoever
// reads them: what finds no room is left out.
type lineWriter struct {
	lines chan string
	done  chan struct{}
}

func newLineWriter(w io.Writer) *lineWriter {
	l := &lineWriter{lines: make(chan string, 1024), done: make(chan struct{})}
	go func() {
		defer close(l.done)
		for line := range l.lines {
			if line == "" {
				return
			}
			fmt.Fprintln(w, line)
		}
	}()
	return l
}

func (l *lineWriter) add(line string) {
	select {
	case l.lines <- line:
	default:
	}
}

// close writes what waits, for a second at most; what is added later is lost.
func (l *lineWriter) close() {
	late := time.After(time.Second)
	select {
	case l.lines <- "": // the last
	case <-late:
		return
	}
	select {
	case <-l.done:
	case <-late:
	}
}
