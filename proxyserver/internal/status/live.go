package status

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"embed"
	"fmt"
	"html/template"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"topdown/proxyserver/internal/history"
)

// Live serves the live page: the exchanges as they happen, what each of them was
// about, and how the cache is doing. Its fields are set before Serve.
//
// Who may read it: whoever reaches its listener, which is on loopback unless the
// user names another address; but no web page. A foreign name in Host is
// refused, for a page can have its own name point here; so is whatever a browser
// marks as sent by another site; and all but the page itself wants the token
// that is in the page.
type Live struct {
	History *history.History // of NewHistory
	Name    string           // of the proxy
	Addr    string           // where the proxy listens, for clients
	TLS     bool             // clients speak TLS with it
	// Figures returns the figures of now.
	Figures func() Figures
	// Purge removes what is stored for a URL and returns how many responses that
	// were; nil: there is no cache.
	Purge func(url string) int
	// Revalidate has the next request for a URL ask the origin; it reports
	// whether it is one.
	Revalidate func(url string) bool
	// Patience is how long a viewer may take for what it is sent, before it is
	// dropped; default 5 s.
	Patience time.Duration

	token   string
	viewers atomic.Int32
	mu      sync.Mutex
	hour    hour
}

const (
	maxViewers   = 16
	liveConns    = 64
	liveIdleTime = 30 * time.Second
	maxURL       = 8 << 10 // bytes of what is posted
)

//go:embed live.html live.css live.js
var files embed.FS

var livePage = template.Must(template.ParseFS(files, "live.html"))

// Serve answers on ln until ctx is done.
func (l *Live) Serve(ctx context.Context, ln net.Listener) error {
	l.token = rand.Text()
	if l.Patience <= 0 {
		l.Patience = 5 * time.Second
	}
	go l.sample(ctx)
	return serve(ctx, &http.Server{Handler: l.handler(), IdleTimeout: liveIdleTime}, ln, liveConns)
}

func (l *Live) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", l.page)
	mux.Handle("GET /live.js", http.FileServerFS(files))
	mux.Handle("GET /live.css", http.FileServerFS(files))
	mux.HandleFunc("GET /proxy.pac", l.pac)
	mux.HandleFunc("GET /events", l.tokened(l.events))
	mux.HandleFunc("GET /exchange/{id}", l.tokened(l.exchange))
	mux.HandleFunc("POST /purge", l.tokened(l.purge))
	mux.HandleFunc("POST /revalidate", l.tokened(l.revalidate))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "+
			"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		controller := http.NewResponseController(w)
		controller.SetWriteDeadline(time.Now().Add(sendTimeout)) //nolint:errcheck // the write fails as well
		switch {
		case !ownName(r.Host):
			http.Error(w, "Ask under the name localhost or an address.", http.StatusMisdirectedRequest)
		case !sameSite(r):
			http.Error(w, "Another site's pages get nothing here.", http.StatusForbidden)
		default:
			mux.ServeHTTP(w, r)
		}
	})
}

// sameSite reports whether a request can have been made by this page, by a
// program that is no browser, or by a user who follows a link to the page.
func sameSite(r *http.Request) bool {
	if origin := r.Header.Get("Origin"); origin != "" && origin != "http://"+r.Host {
		return false
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return true
	}
	return r.Method == http.MethodGet && r.URL.Path == "/" &&
		r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
}

// tokened lets through who has the token of the page.
func (l *Live) tokened(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token := r.URL.Query().Get("token") // an EventSource and a download have no fields of their own
		if r.Method == http.MethodPost {
			token = r.Header.Get("X-Token")
		}
		if subtle.ConstantTimeCompare([]byte(token), []byte(l.token)) != 1 {
			http.Error(w, "The token is missing or an old one: load the page again.", http.StatusForbidden)
			return
		}
		next(w, r)
	}
}

func (l *Live) page(w http.ResponseWriter, r *http.Request) {
	var page bytes.Buffer
	err := livePage.Execute(&page, map[string]any{
		"Name": l.Name, "Addr": l.addr(r), "TLS": l.TLS, "Token": l.token, "Cache": l.Purge != nil, "Size": history.Size,
	})
	if err != nil {
		http.Error(w, "The page cannot be made.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Write(page.Bytes()) //nolint:errcheck // a client that has gone
}

// pac tells browsers to use the proxy, but for this page.
func (l *Live) pac(w http.ResponseWriter, r *http.Request) {
	kind := "PROXY"
	if l.TLS {
		kind = "HTTPS"
	}
	w.Header().Set("Content-Type", "application/x-ns-proxy-autoconfig")
	fmt.Fprintf(w, `function FindProxyForURL(url, host) {
	if (url.indexOf(%q) === 0) return "DIRECT";
	return %q;
}
`, "http://"+r.Host+"/", kind+" "+l.addr(r))
}

// addr is where the proxy is for whoever reaches the page as r does.
func (l *Live) addr(r *http.Request) string {
	host, port, err := net.SplitHostPort(l.Addr)
	if ip, bad := netip.ParseAddr(host); err != nil || bad != nil || !ip.IsUnspecified() {
		return l.Addr
	}
	if host = r.Host; strings.Contains(host, ":") && !strings.HasSuffix(host, "]") {
		host, _, _ = net.SplitHostPort(host)
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), port)
}

// exchange sends the trace of one exchange, as a file.
func (l *Live) exchange(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	record, ok := l.History.Find(id)
	if err != nil || !ok {
		http.Error(w, "That exchange is kept no more.", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Content-Disposition", fmt.Sprintf(`attachment; filename="exchange-%d.ndjson"`, id))
	w.Write(record.Events()) //nolint:errcheck // a client that has gone
}

func (l *Live) purge(w http.ResponseWriter, r *http.Request) {
	url, ok := posted(w, r)
	if !ok {
		return
	}
	if l.Purge == nil {
		http.Error(w, "There is no cache (--no-cache).", http.StatusConflict)
		return
	}
	fmt.Fprintf(w, "%d removed", l.Purge(url))
}

func (l *Live) revalidate(w http.ResponseWriter, r *http.Request) {
	url, ok := posted(w, r)
	switch {
	case !ok:
	case l.Purge == nil:
		http.Error(w, "There is no cache (--no-cache).", http.StatusConflict)
	case !l.Revalidate(url):
		http.Error(w, "That is no URL.", http.StatusBadRequest)
	default:
		fmt.Fprint(w, "the next request asks the origin")
	}
}

// posted reads the URL that a POST is about.
func posted(w http.ResponseWriter, r *http.Request) (url string, ok bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxURL))
	if err != nil || len(body) == 0 {
		http.Error(w, "A URL is expected.", http.StatusBadRequest)
		return "", false
	}
	return string(body), true
}
