// Package webserver grades the web server lab: requirements W1 to W6 of the
// assignment, with requests written byte by byte.
package webserver

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"topdown/scripts/grade/internal/rawhttp"
	"topdown/scripts/grade/internal/rubric"
	"topdown/scripts/grade/internal/submission"
)

// lab is one submission under test.
type lab struct {
	*submission.Server

	root string // what {root} stands for

	hello, utf8, binary, png []byte
	canary                   []byte // outside the root
	secret                   string // its absolute path
}

// Rubric returns the lab's checks for a submission, and a function that ends it.
// Without a submission the checks are for reading only.
func Rubric(s *submission.Submission) (*rubric.Rubric, func(), error) {
	server, err := submission.NewServer(s, "tcp")
	if err != nil {
		return nil, nil, err
	}
	l := &lab{Server: server}
	r := &rubric.Rubric{
		Lab:    "webserver",
		Stages: []string{"listen and answer", "find the file", "the response message", "any file", "robust and safe", "several at a time"},
		Checks: l.checks(),
		Vars:   l.vars,
	}
	if s == nil {
		return r, nil, nil
	}
	return r, l.End, l.prepare()
}

func (l *lab) vars() map[string]string {
	return map[string]string{"host": l.Host, "port": strconv.Itoa(l.Port)}
}

// prepare writes the files that are asked for. Without {root} in the command the
// program's own folder is the root, as in the handout.
func (l *lab) prepare() error {
	s := l.Submission
	sub := ""
	if s.Has("root") {
		sub = "www"
	}
	l.root = filepath.Join(s.Work, sub)
	l.Vars = map[string]string{"root": l.root}
	word := s.Text(8)
	l.hello = fmt.Appendf(nil, "<!DOCTYPE html>\n<html><head><title>Hello</title></head>\n<body><h1>Hello, World!</h1>\n<p>Today's word is %s.</p></body></html>\n", word)
	l.utf8 = fmt.Appendf(nil, "<!DOCTYPE html>\n<meta charset=utf-8>\n<p>Grüße aus Köln, 你好世界, ¡hola! %s</p>\n", word)
	l.binary = s.Bytes(200_000)
	// Every line end and the end-of-file byte of old, so that text mode shows.
	copy(l.binary, "\x89PNG\r\n\x1a\n\n\r\n\r\r\n\x00")
	l.png = append([]byte("\x89PNG\r\n\x1a\n"), s.Bytes(700)...)
	l.canary = []byte("secret-" + s.Text(20) + "\n")
	if s.Addr != "" {
		return nil
	}
	for name, data := range map[string][]byte{
		"HelloWorld.html": l.hello, "utf8.html": l.utf8, "data.bin": l.binary, "pixel.png": l.png,
		"photo.jpg": append([]byte("\xff\xd8\xff\xe0"), l.png...), "notes.xyz": l.hello, "README_NOEXT": l.hello,
		"sub/page.html": l.hello,
		// More than the kernel takes in for a client that does not read.
		"large.bin": make([]byte, 16<<20),
	} {
		if _, err := s.Write(filepath.Join(sub, name), data); err != nil {
			return err
		}
	}
	if sub == "" {
		// The program's folder is the root: outside is the folder above.
		l.secret = filepath.Join(s.Box.Scratch, "canary.txt")
	} else {
		l.secret = filepath.Join(s.Work, "canary.txt")
	}
	if err := os.WriteFile(l.secret, l.canary, 0o644); err != nil {
		return err
	}
	return os.Symlink(l.secret, filepath.Join(l.root, "link.txt"))
}

func (l *lab) dial(t *rubric.T, who string) (net.Conn, *rubric.Failure) {
	conn, err := net.DialTimeout("tcp", l.Address(), l.Timeout)
	if err != nil {
		return nil, rubric.Failf("a connection is accepted", "%s%s", submission.Reason(err), l.State())
	}
	return t.Log.Wrap(conn, who), nil
}

// request is what the grader sends.
func (l *lab) request(method, target string, extra ...string) string {
	lines := append([]string{method + " " + target + " HTTP/1.1", "Host: " + l.Address(), "User-Agent: grade", "Accept: */*"}, extra...)
	return strings.Join(lines, "\r\n") + "\r\n\r\n"
}

// get asks for one target on a connection of its own.
func (l *lab) get(t *rubric.T, target string, opt rawhttp.Options) (*rawhttp.Message, *rubric.Failure) {
	return l.exchange(t, l.request("GET", target, "Connection: close"), opt)
}

func (l *lab) exchange(t *rubric.T, request string, opt rawhttp.Options) (*rawhttp.Message, *rubric.Failure) {
	conn, f := l.dial(t, "")
	if f != nil {
		return nil, f
	}
	defer conn.Close()
	if opt.Timeout == 0 {
		opt.Timeout = l.Timeout
	}
	_ = conn.SetWriteDeadline(time.Now().Add(opt.Timeout))
	if _, err := conn.Write([]byte(request)); err != nil {
		return nil, rubric.Failf("the request is taken", "%s while it was sent%s", submission.Reason(err), l.State())
	}
	return rawhttp.Read(conn, opt), nil
}

// answered fails if there was no answer at all.
func (l *lab) answered(m *rawhttp.Message, want string) *rubric.Failure {
	if len(m.Raw) > 0 {
		return nil
	}
	switch {
	case m.TimedOut:
		return rubric.Failf(want, "no byte came within %v", l.Timeout)
	case m.Reset:
		return rubric.Failf(want, "the connection was reset before a byte came%s", l.State())
	}
	return rubric.Failf(want, "the connection was closed before a byte came%s", l.State())
}

// served reports whether m is a 200 that holds the file. What else is wrong with
// it is for other checks.
func served(m *rawhttp.Message, file []byte) bool {
	return (m.Code() == 200 || m.StartLine == "") && bytes.Contains(m.Raw, file)
}

// differs says how a body differs from the file, "" if it does not.
func differs(got, want []byte) string {
	if bytes.Equal(got, want) {
		return ""
	}
	switch {
	case len(got) == 0:
		return "the body is empty"
	case bytes.Equal(bytes.ReplaceAll(got, []byte("\r\n"), []byte("\n")), bytes.ReplaceAll(want, []byte("\r\n"), []byte("\n"))):
		return "the line ends were changed: the file was read or written as text"
	case bytes.HasPrefix(got, want):
		return fmt.Sprintf("the file, and %d bytes too many behind it: %q", len(got)-len(want), clip(got[len(want):]))
	case bytes.HasSuffix(got, want):
		return fmt.Sprintf("%d bytes too many before the file: %q", len(got)-len(want), clip(got[:len(got)-len(want)]))
	case bytes.HasPrefix(want, got):
		return fmt.Sprintf("only the first %d of %d bytes", len(got), len(want))
	}
	i := 0
	for i < min(len(got), len(want)) && got[i] == want[i] {
		i++
	}
	return fmt.Sprintf("%d bytes instead of %d, and byte %d is the first that differs: %q instead of %q",
		len(got), len(want), i+1, clip(got[i:]), clip(want[i:]))
}

func clip(b []byte) []byte { return b[:min(len(b), 40)] }
