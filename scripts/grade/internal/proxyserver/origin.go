package proxyserver

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"topdown/scripts/grade/internal/rawhttp"
	"topdown/scripts/grade/internal/transcript"
)

// A resource is what the origin has at a path.
type resource struct {
	code   int
	fields string // further header lines
	body   []byte
	tag    string // an entity tag: a matching If-None-Match gets 304
	stall  bool   // the head comes, and then nothing
}

// A request is one that the origin got.
type request struct {
	*rawhttp.Message

	target string // as it stands in the request line
	path   string // with the query, without scheme and host
	body   []byte
}

// Bounds of an origin: what a proxy can make it keep.
const (
	maxConns    = 500
	maxRequests = 2000
	maxRequest  = 64 << 10 // bytes
)

// An origin is a web server of the grader's that counts what it is asked for.
type origin struct {
	ln   net.Listener
	name string
	done chan struct{} // closed with it

	mu        sync.Mutex
	resources map[string]resource
	requests  []request
	log       *transcript.Log
	conns     map[net.Conn]bool
}

// fresh are the fields of something that may be cached for an hour.
const fresh = "Cache-Control: max-age=3600\r\nLast-Modified: Sat, 01 Nov 2025 10:00:00 GMT\r\n"

func newOrigin(name, addr string) (*origin, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	o := &origin{ln: ln, name: name, done: make(chan struct{}), resources: map[string]resource{}, conns: map[net.Conn]bool{}, log: transcript.New()}
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go o.serve(conn)
		}
	}()
	return o, nil
}

// addr is how the origin is called in a URL.
func (o *origin) addr() string { return strings.TrimSuffix(o.ln.Addr().String(), ":80") }

// close ends the origin, connections included, as if it had been killed.
func (o *origin) close() {
	o.ln.Close()
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case <-o.done:
	default:
		close(o.done)
	}
	for conn := range o.conns {
		conn.Close()
	}
}

// set puts a resource at a path.
func (o *origin) set(path string, r resource) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if r.code == 0 {
		r.code = 200
	}
	o.resources[path] = r
}

// asked returns the requests for a path.
func (o *origin) asked(target string) []request {
	o.mu.Lock()
	defer o.mu.Unlock()
	var list []request
	for _, r := range o.requests {
		if r.path == target {
			list = append(list, r)
		}
	}
	return list
}

// follow makes log the transcript of what comes next.
func (o *origin) follow(log *transcript.Log) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.log = log
}

func (o *origin) serve(raw net.Conn) {
	o.mu.Lock()
	many := len(o.conns) >= maxConns
	o.conns[raw] = true
	o.mu.Unlock()
	defer func() {
		raw.Close()
		o.mu.Lock()
		delete(o.conns, raw)
		o.mu.Unlock()
	}()
	if many {
		return
	}
	var rest []byte
	buf := make([]byte, 32<<10)
	for range 100 {
		// A head, then as much body as Content-Length says.
		var m *rawhttp.Message
		for {
			m = rawhttp.Parse(rest)
			// A head of LF LF only is taken, too: it is for a check to complain.
			if m.HasHead && (m.Length() < 0 || len(m.Body) >= m.Length()) {
				break
			}
			_ = raw.SetReadDeadline(time.Now().Add(time.Minute))
			n, err := raw.Read(buf)
			o.log.Add("origin<", o.name, buf[:n])
			rest = append(rest, buf[:n]...)
			if err != nil || len(rest) > maxRequest {
				return
			}
		}
		r := request{Message: m, body: m.Content()}
		if m.Length() < 0 {
			r.body = nil
		}
		rest = m.Body[len(r.body):]
		if words := strings.Fields(m.StartLine); len(words) > 1 {
			r.target, r.path = words[1], words[1]
		}
		// A proxy that sends the whole URL gets its answer; "upstream" tells.
		if _, after, ok := strings.Cut(r.target, "://"); ok {
			_, path, _ := strings.Cut(after, "/")
			r.path = "/" + path
		}
		if !o.answer(raw, r) {
			return
		}
	}
}

// answer sends the response and reports whether the connection goes on.
func (o *origin) answer(conn net.Conn, r request) bool {
	o.mu.Lock()
	if len(o.requests) == maxRequests {
		o.mu.Unlock()
		return false
	}
	o.requests = append(o.requests, r)
	path, _, _ := strings.Cut(r.path, "?")
	res, ok := o.resources[path]
	o.mu.Unlock()
	if !ok {
		res = resource{code: 404, body: []byte("<h1>404: the origin has no such page</h1>\n")}
	}
	body := bytes.ReplaceAll(res.body, []byte("$target"), []byte(r.path))
	keep := strings.HasSuffix(r.StartLine, "HTTP/1.1") && !strings.Contains(strings.ToLower(r.Get("Connection")), "close")
	var b bytes.Buffer
	code := res.code
	if res.tag != "" && strings.Contains(r.Get("If-None-Match"), res.tag) {
		code = 304
	} else if res.tag != "" && r.Get("If-None-Match") == "" && r.Get("If-Modified-Since") != "" {
		code = 304
	}
	reasons := map[int]string{200: "OK", 204: "No Content", 304: "Not Modified", 404: "Not Found"}
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\nDate: %s\r\n%s", code, reasons[code], time.Now().UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT"), res.fields)
	if res.tag != "" {
		fmt.Fprintf(&b, "ETag: %s\r\n", res.tag)
	}
	if !keep {
		b.WriteString("Connection: close\r\n")
	}
	if code == 304 || code == 204 {
		body = nil
	} else {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n")
	if res.stall {
		o.log.Add("origin>", o.name, b.Bytes())
		o.log.Notef("%s sends no body", o.name)
		_, _ = conn.Write(b.Bytes())
		<-o.done
		return false
	}
	if !strings.HasPrefix(r.StartLine, "HEAD") {
		b.Write(body)
	}
	o.log.Add("origin>", o.name, b.Bytes())
	_, _ = conn.Write(b.Bytes())
	return keep
}
