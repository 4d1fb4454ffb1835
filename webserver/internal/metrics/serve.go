package metrics

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"
)

const (
	maxConns     = 16               // scrapers are few
	readTimeout  = 5 * time.Second  // for the head of the request
	writeTimeout = 10 * time.Second // for the response
	maxHead      = 16 << 10         // bytes of a request's head
	stopTime     = time.Second      // for the last scrape when the server stops
)

// Serve answers GET and HEAD of /metrics on ln until ctx is done, and then
// closes ln and the connections. It returns an error only if ln fails. own tells
// whether a Host is one that this server goes by: a page elsewhere whose name
// has been pointed here (DNS rebinding) must not read the metrics.
func (m *Metrics) Serve(ctx context.Context, ln net.Listener, own func(host string) bool, log *zap.Logger) error {
	server := &http.Server{
		Handler:           m.handler(own),
		ReadHeaderTimeout: readTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		MaxHeaderBytes: maxHead,
		ErrorLog:       zap.NewStdLog(log.Named("metrics").WithOptions(zap.IncreaseLevel(zap.WarnLevel))),
	}
	server.SetKeepAlivesEnabled(false)
	stop := context.AfterFunc(ctx, func() {
		last, cancel := context.WithTimeout(context.Background(), stopTime)
		defer cancel()
		if server.Shutdown(last) != nil {
			_ = server.Close() // the time is up
		}
	})
	defer stop()
	err := server.Serve(&boundedListener{Listener: ln, slots: make(chan struct{}, maxConns)})
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func (m *Metrics) handler(own func(host string) bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !own(r.Host):
			http.Error(w, "this server does not go by that name: ask for its address, or its name without a domain", http.StatusMisdirectedRequest)
			return
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "only GET and HEAD are answered here", http.StatusMethodNotAllowed)
			return
		}
		text := m.text()
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		w.Header().Set("Content-Length", strconv.Itoa(len(text)))
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		_, _ = w.Write(text) // a scraper that has gone needs no answer
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "the metrics are at /metrics", http.StatusNotFound)
	})
	return mux
}

// boundedListener closes the connections that are too many: the client comes
// again.
type boundedListener struct {
	net.Listener
	slots chan struct{}
}

func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.slots <- struct{}{}:
			return &boundedConn{Conn: conn, release: sync.OnceFunc(func() { <-l.slots })}, nil
		default:
			conn.Close()
		}
	}
}

type boundedConn struct {
	net.Conn
	release func()
}

func (c *boundedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
