// Package server is the web server of the textbook: it accepts TCP connections,
// receives requests, finds the files they name and responds (HTTP/1.1, RFC 9110
// and RFC 9112).
//
// Reading order: accept.go (one connection after the other), serve.go (receive,
// parse, open, respond, close), secure.go, respond.go (what to answer), origin.go,
// forwarded.go (for whom), post.go, send.go (heads and pages), file.go,
// lend_linux.go, pipe_linux.go and unread_linux.go (large files), archive.go, live.go, precondition.go, ranges.go,
// watch.go (who is late), and what all of these stand on: conn.go (a connection and
// its socket), exchange.go, client.go (who it is), connections.go (how many), server.go (the settings),
// reader.go, wait_unix.go (the poller), date.go, trace.go.
//
// What it refuses: more connections than it was told to hold, peers that send
// or read too slowly, and every message that two servers could read
// differently. It never starts a goroutine per request: one connection is one
// goroutine, which sleeps without a buffer while the client says nothing.
package server

import (
	"context"
	"crypto/tls"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"topdown/pkg/logging"
	"topdown/webserver/internal/auth"
	"topdown/webserver/internal/form"
	"topdown/webserver/internal/live"
	"topdown/webserver/internal/metrics"
	"topdown/webserver/internal/site"
)

// Server holds what every connection shares. Fields are set before Serve and
// not changed after; the zero value of a limit means its default.
type Server struct {
	Site    *site.Site
	Log     *zap.Logger        // life cycle and faults; required
	Access  *logging.AccessLog // one entry a request; nil for none
	Metrics *metrics.Metrics   // nil for none

	Listing bool // show what is in a directory without an index file
	// MaxArchive is how many bytes of files a listed directory may hold to be sent as
	// an archive; 0: none is sent.
	MaxArchive int64

	// Live, if not nil, has pages wait for changes; Site adds what they need to them.
	Live *live.Pages

	// Users, if not nil, must know who sends a request.
	Users *auth.Users
	// Uploads, if not nil, keeps the files of posted forms. UploadToken, if not
	// nil, is asked for before.
	Uploads     *form.Uploads
	UploadToken *auth.Token

	// TrustProxy are the networks of proxies in front of this server: what they say
	// of the client is believed, and limits are the client's and not theirs.
	TrustProxy []netip.Prefix
	// OwnHost, if not nil, tells whether a Host is one that this server goes by; a
	// request for another gets 421.
	OwnHost func(host string) bool

	// TLS, if not nil, is spoken on every connection.
	TLS *tls.Config
	// RedirectTo, if not empty, makes this a server that answers every request
	// with a redirect to https at that port (443: none).
	RedirectTo string

	// Challenge, if not nil, knows what to answer to an authority that asks whether
	// this is the server of a name (ACME, HTTP-01). path is of a plain request.
	Challenge func(path string) (text string, ok bool)

	// Trace, if not nil, is told what is received, decided and sent.
	Trace *Tracer

	MaxBody         int64         // bytes of a request's body; default 10 MiB
	MaxUpload       int64         // the same for a form whose files are kept; default MaxBody
	MaxConns        int           // connections at a time; default 20,000
	MaxConnsPerAddr int           // of one IPv4 address or IPv6 /64 network; 0 is no limit
	CountLoopback   bool          // apply MaxConnsPerAddr to this host's own clients as well
	HeadTimeout     time.Duration // from the first byte of a head to the last; default 10 s
	IdleTimeout     time.Duration // between two requests; default 60 s
	MinRate         int64         // bytes a second, of a body and of reading; default 240
	Grace           time.Duration // before MinRate counts; default 10 s

	conns     connections
	archiving archiving
	lending   lending
	date      dateLine
	ctx       context.Context //nolint:containedctx // of Serve: what ends all connections
	draining  atomic.Bool
	wg        sync.WaitGroup
}

// drainTime is how long a connection that is silent when the server stops may
// still send the request that was on its way.
const drainTime = 500 * time.Millisecond

// StopTime is how long after Serve's context has ended the last exchange may
// take.
const StopTime = 4 * time.Second

// setDefaults fills in the limits that were left open.
func (s *Server) setDefaults() {
	setDefault(&s.MaxBody, 10<<20)
	setDefault(&s.MaxUpload, s.MaxBody)
	setDefault(&s.MaxConns, 20_000)
	setDefault(&s.HeadTimeout, 10*time.Second)
	setDefault(&s.IdleTimeout, 60*time.Second)
	setDefault(&s.MinRate, 240)
	setDefault(&s.Grace, 10*time.Second)
}

func setDefault[T int | int64 | time.Duration](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}
