package proxy

import (
	"io"
	"strconv"
	"sync"
	"time"
)

// AccessLog writes one line per exchange in the combined format of web servers,
// with what the cache had to do with it at the end. Lines are collected and
// written at least once a second.
type AccessLog struct {
	// Failed, if not nil, is told the first error of writing. It is set before
	// the log is used.
	Failed func(error)

	mu     sync.Mutex
	w      io.Writer
	buf    []byte
	second int64
	stamp  []byte
	closed chan struct{}
	once   sync.Once
	failed bool
}

const accessBuffer = 64 << 10

// NewAccessLog returns a log that writes to w until it is closed.
func NewAccessLog(w io.Writer) *AccessLog {
	l := &AccessLog{w: w, closed: make(chan struct{})}
	go func() {
		ticker := time.NewTicker(500 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-l.closed:
				return
			case <-ticker.C:
				l.Flush()
			}
		}
	}()
	return l
}

// SetWriter makes the log go on elsewhere, after what it holds has been written
// where it went before, and closes that.
func (l *AccessLog) SetWriter(w io.Writer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flush()
	if old, ok := l.w.(io.Closer); ok {
		old.Close()
	}
	l.w, l.failed = w, false
}

// Flush writes what the log holds.
func (l *AccessLog) Flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flush()
}

func (l *AccessLog) flush() {
	if len(l.buf) == 0 {
		return
	}
	if _, err := l.w.Write(l.buf); err != nil && !l.failed && l.Failed != nil {
		l.failed = true // told once
		l.Failed(err)
	}
	l.buf = l.buf[:0]
}

// Close writes what the log holds and ends it.
func (l *AccessLog) Close() {
	l.once.Do(func() { close(l.closed) })
	l.Flush()
}

func (c *session) logAccess(now time.Time) {
	l := c.server.Access
	l.mu.Lock()
	defer l.mu.Unlock()
	if second := now.Unix(); second != l.second || l.stamp == nil {
		l.second = second
		l.stamp = now.AppendFormat(l.stamp[:0], "[02/Jan/2006:15:04:05 -0700]")
	}
	b := c.client.Addr().AppendTo(l.buf)
	b = append(b, " - "...)
	b = appendSafe(b, c.user)
	b = append(append(append(b, ' '), l.stamp...), ` "`...)
	if c.req.Target != "" {
		b = append(appendSafe(b, c.req.Method), ' ')
		b = appendSafe(b, maskLogin(c.req.Target))
		b = append(b, " HTTP/1."...)
		b = append(b, '0'+byte(c.req.Minor))
	} else {
		b = append(b, '-')
	}
	b = append(b, `" `...)
	b = strconv.AppendInt(b, int64(c.status), 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, c.sent, 10)
	b = append(b, ` "`...)
	b = appendSafe(b, maskLogin(c.req.Fields.Get("Referer")))
	b = append(b, `" "`...)
	b = appendSafe(b, c.req.Fields.Get("User-Agent"))
	b = append(b, `" `...)
	b = appendSafe(b, string(c.result))
	l.buf = append(b, '\n')
	if len(l.buf) >= accessBuffer {
		l.flush()
	}
}

// appendSafe appends a peer's string so that it can neither end its quotes nor
// its line; "" becomes "-".
func appendSafe(b []byte, s string) []byte {
	if s == "" {
		return append(b, '-')
	}
	const digits = "0123456789abcdef"
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c < ' ' || c > '~':
			b = append(b, '\\', 'x', digits[c>>4], digits[c&15])
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		default:
			b = append(b, c)
		}
	}
	return b
}
