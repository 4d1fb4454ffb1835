// Package ftp is a transport for ftp URLs: it carries out a GET as the dialogue
// of RFC 959, USER, PASS, CWD, TYPE, EPSV or PASV, RETR, QUIT. It reads only;
// it never lets the server name another host for the data connection, and a
// file counts as fetched only after the server has said so (226) and the size
// is right.
//
// RFC 959 (FTP), RFC 2428 (EPSV), RFC 3659 (SIZE, MDTM, REST), RFC 1738,
// section 3.2 (ftp URLs).
package ftp

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/netio"
)

// Transport implements exchange.Transport for the scheme ftp.
type Transport struct {
	// Dial returns a connection to host, "name" or "name:port", after every
	// check that it takes; required.
	Dial    func(ctx context.Context, host, defaultPort string) (net.Conn, error)
	Clock   *netio.Clock     // required
	Timeout time.Duration    // for each reply and between two pieces of content; default 60 s
	Now     func() time.Time // default time.Now
}

// maxListing is how much of a directory's listing is read.
const maxListing = 2 << 20

// session is one dialogue.
type session struct {
	*control
	transport *Transport
	ctx       context.Context //nolint:containedctx // of the exchange: a session is one
	host      string
	unbind    []func() bool // end the context's hold on the connections
}

// Exchange implements exchange.Transport.
func (t *Transport) Exchange(ctx context.Context, req *exchange.Request) (*exchange.Response, error) {
	if req.Method != "GET" && req.Method != "HEAD" {
		s := &session{transport: t}
		return s.text(405, "Method Not Allowed", "Only GET and HEAD are understood for ftp URLs.\n", httpmsg.Field{Name: "Allow", Value: "GET, HEAD"}), nil
	}
	dirs, file, err := splitPath(req.Path)
	if err != nil {
		return nil, &exchange.Error{Status: 400, Type: "http_request_error", Step: "reading the path", Err: err}
	}
	conn, err := t.Dial(ctx, req.Host, "21")
	if err != nil {
		return nil, err
	}
	s := &session{
		control:   &control{Conn: netio.NewConn(conn, t.Clock), timeout: t.Timeout, trace: req.Trace},
		transport: t, ctx: ctx, host: req.Host,
	}
	if s.timeout <= 0 {
		s.timeout = 60 * time.Second
	}
	// A dialogue that nobody wants any more ends at once.
	s.unbind = append(s.unbind, context.AfterFunc(ctx, s.Shut))
	resp, err := s.fetch(req, dirs, file)
	if err != nil {
		s.quit()
		return s.answer(err)
	}
	return resp, nil
}

// answer turns what went wrong into a response or an error for the client.
func (s *session) answer(err error) (*exchange.Response, error) {
	failure := &exchange.Error{Status: 502, Type: "http_protocol_error", Step: "talking FTP with " + s.host, Err: err}
	if known, ok := errors.AsType[*exchange.Error](err); ok {
		return nil, known
	}
	if netio.IsTimeout(err) {
		failure.Status, failure.Type = 504, "http_response_timeout"
		failure.Err = errors.New("no answer within the time limit")
	}
	if broken, isBroken := errors.AsType[*net.OpError](err); isBroken {
		failure.Type, failure.Err = "connection_terminated", fmt.Errorf("the connection broke: %w", broken.Err)
	}
	if errors.Is(err, errUnsafe) {
		failure.Status, failure.Type = 400, "http_request_error"
	}
	r, ok := errors.AsType[*reply](err)
	if !ok {
		return nil, failure
	}
	switch r.code {
	case 530, 332:
		return s.text(401, "Unauthorized", "The FTP server asks for a user name and password.\n",
			httpmsg.Field{Name: "WWW-Authenticate", Value: `Basic realm="ftp"`}, httpmsg.Field{Name: "Cache-Control", Value: "no-store"}), nil
	case 550:
		failure.Status, failure.Type = 404, "http_response_incomplete"
		failure.Step, failure.Err = "looking for the file on "+s.host, fmt.Errorf("no such file or directory (%w)", r)
	case 421, 425, 426, 450:
		failure.Status, failure.Type = 503, "destination_unavailable"
	}
	return nil, failure
}

// splitPath takes a URL's path apart: directories to change to one after
// another, and a file, "" for a directory.
func splitPath(p string) (dirs []string, file string, err error) {
	p, _, _ = strings.Cut(p, "?")
	if i := strings.LastIndex(p, ";type="); i >= 0 {
		p = p[:i]
	}
	segments := strings.Split(strings.TrimPrefix(p, "/"), "/")
	for i, segment := range segments {
		decoded, err := url.PathUnescape(segment)
		if err != nil {
			return nil, "", errors.New("a percent-encoding in the path is malformed")
		}
		if strings.ContainsAny(decoded, "\r\n\x00") {
			return nil, "", errUnsafe
		}
		switch {
		case i == len(segments)-1:
			file = decoded
		case decoded != "":
			dirs = append(dirs, decoded)
		}
	}
	return dirs, file, nil
}

func (s *session) fetch(req *exchange.Request, dirs []string, file string) (*exchange.Response, error) {
	r, err := s.reply()
	if err == nil && r.code == 120 {
		r, err = s.reply()
	}
	if err = expect(r, err, 220); err != nil {
		return nil, err
	}
	if err = s.login(req); err != nil {
		return nil, err
	}
	for _, dir := range dirs {
		if err = s.want("CWD", dir, 250, 200); err != nil {
			return nil, err
		}
	}
	if err = s.want("TYPE", "I", 200); err != nil {
		return nil, err
	}
	if file == "" {
		return s.list(req, req.Path)
	}
	return s.file(req, file)
}

// want sends a command that is to be answered with one of codes.
func (s *session) want(verb, argument string, codes ...int) error {
	r, err := s.command(verb, argument)
	return expect(r, err, codes...)
}

// expect returns r as an error unless its code is one of codes.
func expect(r *reply, err error, codes ...int) error {
	if err != nil {
		return err
	}
	if slices.Contains(codes, r.code) {
		return nil
	}
	return r
}

func (s *session) login(req *exchange.Request) error {
	user, password := "anonymous", "anonymous@"
	if scheme, encoded, _ := strings.Cut(req.Fields.Get("Authorization"), " "); strings.EqualFold(scheme, "Basic") {
		decoded, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
		if err != nil {
			return &exchange.Error{Status: 400, Type: "http_request_error", Step: "reading the credentials", Err: errors.New("they are not Basic ones")}
		}
		user, password, _ = strings.Cut(string(decoded), ":")
	}
	r, err := s.command("USER", user)
	if err == nil && r.code == 331 {
		r, err = s.command("PASS", password)
	}
	return expect(r, err, 230, 202)
}

func (s *session) file(req *exchange.Request, name string) (*exchange.Response, error) {
	size := int64(-1)
	sized, err := s.command("SIZE", name)
	if err != nil {
		return nil, err
	}
	if sized.code == 213 {
		if n, bad := strconv.ParseInt(strings.TrimSpace(sized.text), 10, 64); bad == nil && n >= 0 {
			size = n
		}
	}
	if sized.code == 550 && s.enter(name) {
		return s.directory(name)
	}
	fields := httpmsg.Fields{{Name: "Content-Type", Value: contentType(name)}}
	r, err := s.command("MDTM", name)
	if err != nil {
		return nil, err
	}
	if sized.code == 550 && r.code == 550 {
		return nil, r // there is no such file
	}
	modified, dated := time.Time{}, false
	if r.code == 213 {
		if modified, err = time.Parse("20060102150405", firstWord(r.text)); err == nil {
			dated = true
			fields.Add("Last-Modified", string(httpmsg.AppendDate(nil, modified)))
		}
	}
	since, conditional := httpmsg.ParseDate(req.Fields.Get("If-Modified-Since"), s.now())
	if conditional && dated && !modified.After(since) && !req.Fields.Has("If-None-Match") {
		s.quit()
		return s.response(304, "Not Modified", fields, inMemory(nil), 0), nil
	}
	if size >= 0 {
		fields.Add("Accept-Ranges", "bytes")
	}
	if req.Method == "HEAD" {
		s.quit()
		if size >= 0 {
			fields.Add("Content-Length", strconv.FormatInt(size, 10))
		}
		return s.response(200, "OK", fields, inMemory(nil), 0), nil
	}
	first, last, partial := int64(0), size-1, false
	if size > 0 && !req.Fields.Has("If-Range") {
		first, last, partial = parseRange(req.Fields.Get("Range"), size)
	}
	wanted := first
	data, err := s.retrieve("RETR", name, &first)
	if r, refused := errors.AsType[*reply](err); refused && r.code == 550 && s.enter(name) {
		return s.directory(name) // of a server without SIZE
	}
	if err != nil {
		return nil, err
	}
	if first != wanted {
		last, partial = size-1, false
	}
	b := &body{session: s, data: data, left: -1}
	status, reason, framing := 200, "OK", httpmsg.UntilClose
	if size >= 0 {
		b.left = size - first
		framing = httpmsg.Framing(b.left)
	}
	if partial {
		status, reason = 206, "Partial Content"
		b.cut = last < size-1
		b.left = last - first + 1
		framing = httpmsg.Framing(b.left)
		fields.Add("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, last, size))
	}
	return s.response(status, reason, fields, b, framing), nil
}

// directory sends a client that asked for a directory as for a file to where
// its links are right.
func (s *session) directory(name string) (*exchange.Response, error) {
	s.quit()
	fields := httpmsg.Fields{{Name: "Location", Value: "./" + url.PathEscape(name) + "/"}}
	return s.response(301, "Moved Permanently", fields, inMemory(nil), 0), nil
}

// enter reports whether name is a directory, and is in it then.
func (s *session) enter(name string) bool {
	return s.want("CWD", name, 250, 200) == nil
}

// parseRange reads one range of bytes; anything else, and what cannot be satisfied,
// is the whole file.
func parseRange(value string, size int64) (first, last int64, partial bool) {
	if spans, ok := httpmsg.ParseRange(value, 1); ok && len(spans) == 1 {
		if span, ok := spans[0].Resolve(size); ok {
			return span.First, span.Last, true
		}
	}
	return 0, size - 1, false
}

// retrieve opens the data connection for RETR or LIST. If the server cannot
// begin at *from, that becomes 0.
func (s *session) retrieve(verb, argument string, from *int64) (*netio.Conn, error) {
	addr, err := s.passive()
	if err != nil {
		return nil, err
	}
	conn, err := s.transport.Dial(s.ctx, addr.String(), "")
	if err != nil {
		return nil, err
	}
	data := netio.NewConn(conn, s.transport.Clock)
	s.unbind = append(s.unbind, context.AfterFunc(s.ctx, data.Shut))
	if *from > 0 {
		r, restErr := s.command("REST", strconv.FormatInt(*from, 10))
		if restErr != nil {
			data.Shut()
			return nil, restErr
		}
		if r.code != 350 {
			*from = 0
		}
	}
	if err = s.want(verb, argument, 150, 125); err != nil {
		data.Shut()
		return nil, err
	}
	return data, nil
}

func (s *session) list(req *exchange.Request, where string) (*exchange.Response, error) {
	fields := httpmsg.Fields{
		{Name: "Content-Type", Value: "text/html; charset=utf-8"},
		{Name: "Content-Security-Policy", Value: "default-src 'none'; style-src 'unsafe-inline'"},
		{Name: "Cache-Control", Value: "no-cache"},
	}
	if req.Method == "HEAD" {
		s.quit()
		return s.response(200, "OK", fields, inMemory(nil), 0), nil
	}
	var start int64
	data, err := s.retrieve("LIST", "", &start)
	if err != nil {
		return nil, err
	}
	data.Timeout(s.timeout)
	listing, err := io.ReadAll(io.LimitReader(data, maxListing+1))
	data.Shut()
	data.Release()
	if err != nil {
		return nil, fmt.Errorf("read the listing: %w", err)
	}
	cut := len(listing) > maxListing
	if cut {
		listing = listing[:bytes.LastIndexByte(listing, '\n')+1]
	} else {
		r, replyErr := s.reply()
		if replyErr = expect(r, replyErr, 226, 250); replyErr != nil {
			return nil, replyErr
		}
	}
	s.quit()
	content := page("ftp://"+s.host+strings.TrimRight(where, "/")+"/", string(listing), cut)
	return s.response(200, "OK", fields, inMemory(content), httpmsg.Framing(len(content))), nil
}

func (s *session) text(status int, reason, text string, fields ...httpmsg.Field) *exchange.Response {
	fields = append(fields, httpmsg.Field{Name: "Content-Type", Value: "text/plain"})
	return s.response(status, reason, fields, inMemory([]byte(text)), httpmsg.Framing(len(text)))
}

func (s *session) response(status int, reason string, fields httpmsg.Fields, body io.ReadCloser, framing httpmsg.Framing) *exchange.Response {
	fields.Add("Date", string(httpmsg.AppendDate(nil, s.now())))
	// Each user may see other files.
	fields.Add("Vary", "Authorization")
	return &exchange.Response{Status: status, Reason: reason, Fields: fields, Body: body, Framing: framing}
}

func (s *session) now() time.Time {
	if s.transport.Now != nil {
		return s.transport.Now()
	}
	return time.Now()
}

// quit ends the dialogue as it should be ended, without waiting long.
func (s *session) quit() {
	for _, unbind := range s.unbind {
		unbind()
	}
	s.timeout = min(s.timeout, 2*time.Second)
	s.Renew(s.timeout)
	s.command("QUIT", "") //nolint:errcheck // the connection is closed in any case
	s.Shut()
	s.Release()
}

func firstWord(s string) string {
	word, _, _ := strings.Cut(strings.TrimSpace(s), " ")
	word, _, _ = strings.Cut(word, ".")
	return word
}

func contentType(name string) string {
	if kind := mime.TypeByExtension(path.Ext(name)); kind != "" {
		return kind
	}
	return "application/octet-stream"
}
