package proxy

import (
	"errors"
	"io"
	"sync"
	"time"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/netio"
)

// clientBody is the content of a request, read by the transport while this
// session may already be writing the response.
type clientBody struct {
	httpmsg.Body
	conn    *netio.Conn
	clock   *netio.Clock
	timeout time.Duration // between two pieces
	present bool

	mu      sync.Mutex
	aborted bool
	got     int64
	waited  time.Duration
}

// A client that sends content has bodyGrace, and then has to be faster than
// minRate bytes a second, not counting time in which nobody reads.
const (
	bodyGrace = 30 * time.Second
	minRate   = 240
)

var errAborted = errors.New("the exchange is over")

// noBody stands for the content of every request that has none.
var noBody = &clientBody{}

func newBody(conn *netio.Conn, framing httpmsg.Framing, clock *netio.Clock, timeout time.Duration, limit int64) *clientBody {
	if framing == 0 {
		return noBody
	}
	b := &clientBody{conn: conn, clock: clock, timeout: timeout, present: true}
	b.Reset(conn, framing, httpmsg.BodyLimits{Size: limit})
	return b
}

// Read implements io.Reader.
func (b *clientBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.aborted {
		if b.Done() {
			return 0, io.EOF
		}
		return 0, errAborted
	}
	b.conn.Timeout(b.timeout)
	start := b.clock.Now()
	n, err := b.Body.Read(p)
	b.got += int64(n)
	b.waited += b.clock.Now() - start
	if b.waited > bodyGrace+time.Duration(b.got/minRate)*time.Second {
		err = &exchange.Error{Status: 408, Type: "http_request_error", Step: "reading the content of the request", Err: errors.New("the content comes too slowly")}
	}
	return n, err
}

func (b *clientBody) trailers() httpmsg.Fields {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Trailers
}

// abort makes sure that nobody reads from the client any more, and reports
// whether the content had been read to its end.
func (b *clientBody) abort() (complete bool) {
	if !b.mu.TryLock() {
		b.conn.InterruptRead()
		b.mu.Lock()
		b.conn.Renew(b.timeout)
	}
	defer b.mu.Unlock()
	b.aborted = true
	return b.Done()
}

// complete reports whether the content has been read to its end.
func (b *clientBody) complete() bool {
	if !b.present {
		return true
	}
	if !b.mu.TryLock() {
		return false
	}
	defer b.mu.Unlock()
	return b.Done()
}
