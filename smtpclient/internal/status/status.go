// Package status shows on a page what the test server has received, as it comes,
// and switches the server's faults on: a list, and for each mail its text, its HTML
// in a frame that can do nothing, its parts, its source and the dialogue.
//
// It answers only under the names of this machine, and only its own pages: no other
// page that is open in the browser can read it or command it. What it shows is a
// stranger's: all of it passes html/template, and HTML mail has neither scripts nor
// anything from elsewhere.
//
// It is not the lesson, and so it serves with net/http.
package status

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"embed"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"topdown/smtpclient/internal/testserver"

	"golang.org/x/net/netutil"
)

const (
	maxConns   = 32
	maxViewers = 16               // who are told of changes
	maxHead    = 16 << 10         // bytes of a request's head
	maxForm    = 4 << 10          // bytes of a form
	headTime   = 5 * time.Second  // for a request
	sendTime   = 30 * time.Second // for an answer to get away; for one piece of news
	betweenAll = 100 * time.Millisecond
)

//go:embed page
var files embed.FS

// Server is the page's server. Its fields are set before Serve.
type Server struct {
	Log *testserver.Log
	// SMTP and POP3 are the test server's addresses, to be shown.
	SMTP, POP3 string

	token   string
	viewers chan struct{}
}

// Serve answers on ln until ctx is done.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	server := &http.Server{
		Handler:           s.handler(),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: headTime, IdleTimeout: time.Minute,
		MaxHeaderBytes: maxHead,
		ErrorLog:       log.New(io.Discard, "", 0), // a client's faults are nobody's news
	}
	stop := context.AfterFunc(ctx, func() { server.Close() }) //nolint:errcheck // nothing is lost
	defer stop()
	err := server.Serve(netutil.LimitListener(ln, maxConns))
	if ctx.Err() != nil && errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve the page: %w", err)
}

func (s *Server) handler() http.Handler {
	s.token, s.viewers = rand.Text(), make(chan struct{}, maxViewers)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.list)
	mux.HandleFunc("GET /events", s.events)
	mux.HandleFunc("POST /fault", s.fault)
	mux.HandleFunc("GET /mail/{id}", s.exchange)
	mux.HandleFunc("GET /mail/{id}/html", s.html)
	mux.HandleFunc("GET /mail/{id}/raw", s.raw)
	mux.HandleFunc("GET /mail/{id}/part/{path}", s.part)
	for _, name := range []string{"style.css", "page.js"} {
		mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, files, "page/"+name) })
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		// A connection that takes no deadline is not from Serve.
		_ = control.SetReadDeadline(time.Now().Add(headTime))
		_ = control.SetWriteDeadline(time.Now().Add(sendTime))
		for name, value := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; frame-src 'self'; " +
				"form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
			"Cross-Origin-Resource-Policy": "same-origin",
			"Cross-Origin-Opener-Policy":   "same-origin",
			"X-Content-Type-Options":       "nosniff",
			"Referrer-Policy":              "same-origin",
			"X-DNS-Prefetch-Control":       "off",
			"Cache-Control":                "no-store",
		} {
			w.Header().Set(name, value)
		}
		switch site := r.Header.Get("Sec-Fetch-Site"); {
		case !ownName(r.Host): // another name leads here: a page of that name would count as ours
			http.Error(w, "ask under the name localhost, or the address", http.StatusMisdirectedRequest)
		case site != "" && site != "same-origin" && site != "none":
			http.Error(w, "this page is for itself alone: type its address", http.StatusForbidden)
		default:
			mux.ServeHTTP(w, r)
		}
	})
}

// ownName tells whether host[:port] can only mean this machine.
func ownName(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return strings.EqualFold(host, "localhost") || err == nil && ip.IsLoopback()
}

// events tells the page when to look again (server-sent events). A viewer who does
// not take the news is dropped; nobody waits for one.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	select {
	case s.viewers <- struct{}{}:
		defer func() { <-s.viewers }()
	default:
		http.Error(w, "too many viewers", http.StatusServiceUnavailable)
		return
	}
	changes, stop := s.Log.Watch()
	defer stop()
	w.Header().Set("Content-Type", "text/event-stream")
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{})
	alive := time.NewTicker(20 * time.Second)
	defer alive.Stop()
	for news := "data: hello\n\n"; ; {
		_ = control.SetWriteDeadline(time.Now().Add(sendTime))
		if _, err := io.WriteString(w, news); err != nil {
			return
		}
		if control.Flush() != nil {
			return
		}
		select {
		case <-changes:
			news = "data: changed\n\n"
			select { // what comes at once is told at once
			case <-time.After(betweenAll):
			case <-r.Context().Done():
				return
			}
		case <-alive.C:
			news = ": still here\n\n"
		case <-r.Context().Done():
			return
		}
	}
}

// fault switches a fault on, for a form of this very page.
func (s *Server) fault(w http.ResponseWriter, r *http.Request) {
	if origin := r.Header.Get("Origin"); origin != "" && origin != "http://"+r.Host {
		http.Error(w, "this form is of another page", http.StatusForbidden)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if subtle.ConstantTimeCompare([]byte(r.PostFormValue("token")), []byte(s.token)) != 1 {
		http.Error(w, "the token is missing, or of an earlier run: load the page again", http.StatusForbidden)
		return
	}
	for _, fault := range testserver.Faults {
		if string(fault) == r.PostFormValue("fault") {
			s.Log.Switch(fault)
			http.Redirect(w, r, "/", http.StatusSeeOther)
			return
		}
	}
	http.Error(w, "there is no such fault", http.StatusBadRequest)
}
