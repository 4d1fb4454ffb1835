package ftp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/netio"

	"github.com/google/go-cmp/cmp"
)

// scripted is an FTP server that answers each verb as told; RETR and LIST send
// data on the data connection first.
type scripted struct {
	answers map[string]string // "150|data|226 done" for RETR and LIST
	asked   chan string
}

func (s *scripted) start(t *testing.T) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	data, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close(); data.Close() })
	s.asked = make(chan string, 100)
	port := data.Addr().(*net.TCPAddr).Port
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go s.serve(conn, data, port)
		}
	}()
	return ln.Addr().String()
}

func (s *scripted) serve(conn net.Conn, data net.Listener, port int) {
	defer conn.Close()
	defaults := map[string]string{
		"": "220-hello\r\n 220 not yet\r\n220 ready", "USER": "331 password", "PASS": "230 in", "CWD": "250 ok", "TYPE": "200 ok",
		"SIZE": "213 5", "MDTM": "213 20260102030405", "EPSV": fmt.Sprintf("229 ok (|||%d|)", port), "REST": "350 ok",
		"PASV": fmt.Sprintf("227 ok (192,0,2,1,%d,%d)", port>>8, port&255), "RETR": "150 go|hello|226 done", "LIST": "150 go||226 done", "QUIT": "221 bye",
	}
	r := bufio.NewReader(conn)
	for verb := ""; ; {
		answer, ok := s.answers[verb]
		if !ok {
			answer = defaults[verb]
		}
		parts := strings.Split(answer, "|")
		if verb != "RETR" && verb != "LIST" || len(parts) != 3 {
			parts = []string{answer}
		}
		fmt.Fprintf(conn, "%s\r\n", parts[0])
		if len(parts) == 3 {
			d, err := data.Accept()
			if err != nil {
				return
			}
			io.WriteString(d, parts[1])
			d.Close()
			fmt.Fprintf(conn, "%s\r\n", parts[2])
		}
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		s.asked <- strings.TrimSpace(line)
		verb, _, _ = strings.Cut(strings.TrimSpace(line), " ")
	}
}

func fetch(t *testing.T, addr, path string, fields httpmsg.Fields) (*exchange.Response, string, error) {
	t.Helper()
	tr := &Transport{
		Dial: func(ctx context.Context, host, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", host)
		},
		Clock: netio.NewClock(t.Context()), Timeout: 20 * time.Second,
	}
	resp, err := tr.Exchange(t.Context(), &exchange.Request{Method: "GET", Scheme: "ftp", Host: addr, Path: path, Fields: fields})
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, string(body), err
}

func TestDialogue(t *testing.T) {
	s := &scripted{}
	addr := s.start(t)
	resp, body, err := fetch(t, addr, "/pub/a%20b/file.txt", nil)
	if err != nil || resp.Status != 200 || body != "hello" || resp.Fields.Get("Last-Modified") != "Fri, 02 Jan 2026 03:04:05 GMT" {
		t.Fatalf("%+v %q %v", resp, body, err)
	}
	var asked []string
	for len(asked) == 0 || asked[len(asked)-1] != "QUIT" {
		asked = append(asked, <-s.asked)
	}
	want := []string{
		"USER anonymous", "PASS anonymous@", "CWD pub", "CWD a b", "TYPE I", "SIZE file.txt", "MDTM file.txt", "EPSV", "RETR file.txt", "QUIT",
	}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Errorf("dialogue (-want +got):\n%s", diff)
	}
}

func TestAnswers(t *testing.T) {
	for _, tt := range []struct {
		name    string
		answers map[string]string
		path    string
		fields  httpmsg.Fields
		status  int
		body    string // "" with broken
		broken  bool
	}{
		{"no EPSV", map[string]string{"EPSV": "500 what"}, "/f", nil, 200, "hello", false},
		{"a bad EPSV reply", map[string]string{"EPSV": "229 ok (x)"}, "/f", nil, 200, "hello", false},
		{"no passive mode", map[string]string{"EPSV": "500 what", "PASV": "500 what"}, "/f", nil, 502, "", false},
		{"no SIZE", map[string]string{"SIZE": "500 what", "MDTM": "500 what"}, "/f", nil, 200, "hello", false},
		{"a range", nil, "/f", httpmsg.Fields{{Name: "Range", Value: "bytes=0-1"}}, 206, "he", false},
		{"no such file", map[string]string{"SIZE": "550 no", "CWD": "550 no", "MDTM": "550 no", "RETR": "550 no"}, "/f", nil, 404, "", false},
		{"a directory without a slash", map[string]string{"SIZE": "550 no"}, "/pub/sub%20dir", nil, 301, "", false},
		{"a directory without a slash, no SIZE", map[string]string{"SIZE": "500 what", "RETR": "550 no"}, "/sub", nil, 301, "", false},
		{"no REST", map[string]string{"REST": "502 no"}, "/f", httpmsg.Fields{{Name: "Range", Value: "bytes=2-"}}, 200, "hello", false},
		{"a greeting that ends with a bare code", map[string]string{"": "220-hello\r\n220"}, "/f", nil, 200, "hello", false},
		{"basic in lower case", map[string]string{"PASS": "530 no"}, "/f", httpmsg.Fields{{Name: "Authorization", Value: "basic Ym9iOnB3"}}, 401, "The FTP server asks for a user name and password.\n", false},
		{"not modified", nil, "/f", httpmsg.Fields{{Name: "If-Modified-Since", Value: "Sat, 03 Jan 2026 03:04:05 GMT"}}, 304, "", false},
		{"If-None-Match counts alone", nil, "/f", httpmsg.Fields{{Name: "If-None-Match", Value: "\"x\""}, {Name: "If-Modified-Since", Value: "Sat, 03 Jan 2026 03:04:05 GMT"}}, 200, "hello", false},
		{"no such directory", map[string]string{"CWD": "550 no"}, "/d/f", nil, 404, "", false},
		{"not logged in", map[string]string{"PASS": "530 no"}, "/f", nil, 401, "The FTP server asks for a user name and password.\n", false},
		{"busy", map[string]string{"": "421 too many"}, "/f", nil, 503, "", false},
		{"no FTP", map[string]string{"": "HTTP/1.1 400 Bad"}, "/f", nil, 502, "", false},
		{"not confirmed", map[string]string{"RETR": "150 go|hello|426 broken"}, "/f", nil, 200, "", true},
		{"not confirmed, no size", map[string]string{"SIZE": "500 what", "RETR": "150 go|hello|451 broken"}, "/f", nil, 200, "", true},
		{"too short", map[string]string{"RETR": "150 go|hell|226 done"}, "/f", nil, 200, "", true},
		{"too long", map[string]string{"RETR": "150 go|hello!|226 done"}, "/f", nil, 200, "", true},
		{"CR in the path", nil, "/a%0d%0aDELE%20x", nil, 400, "", false},
		{"NUL in the path", nil, "/a%00", nil, 400, "", false},
		{"CR in the password", nil, "/f", httpmsg.Fields{{Name: "Authorization", Value: "Basic YTpiDQpERUxFIHg="}}, 400, "", false},
		{"bad escape", nil, "/%zz", nil, 400, "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &scripted{answers: tt.answers}
			resp, body, err := fetch(t, s.start(t), tt.path, tt.fields)
			if failure, ok := errors.AsType[*exchange.Error](err); ok && resp == nil {
				if failure.Status != tt.status {
					t.Errorf("status %d, want %d: %v", failure.Status, tt.status, err)
				}
				return
			}
			if resp == nil || resp.Status != tt.status || (err != nil) != tt.broken || !tt.broken && body != tt.body {
				t.Errorf("%+v %q %v", resp, body, err)
			}
			if tt.broken && resp.Framing >= 0 && body == "hello" {
				t.Error("all bytes were handed on before the transfer was confirmed")
			}
		})
	}
}

func TestEachUserHasFilesOfHisOwn(t *testing.T) {
	s := &scripted{}
	resp, _, err := fetch(t, s.start(t), "/f", nil)
	if err != nil || resp.Fields.Get("Vary") != "Authorization" {
		t.Errorf("%+v, %v", resp, err)
	}
}

func TestHead(t *testing.T) {
	s := &scripted{answers: map[string]string{"SIZE": "550 no", "CWD": "550 no", "MDTM": "550 no"}}
	tr := &Transport{
		Dial: func(ctx context.Context, host, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", host)
		},
		Clock: netio.NewClock(t.Context()),
	}
	_, err := tr.Exchange(t.Context(), &exchange.Request{Method: "HEAD", Scheme: "ftp", Host: s.start(t), Path: "/nothing"})
	if failure, ok := errors.AsType[*exchange.Error](err); !ok || failure.Status != 404 {
		t.Errorf("HEAD of nothing: %v, want 404", err)
	}
	resp, err := tr.Exchange(t.Context(), &exchange.Request{Method: "POST", Scheme: "ftp", Host: "127.0.0.1:1", Path: "/"})
	if err != nil || resp.Status != 405 || resp.Fields.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %+v %v", resp, err)
	}
}

func TestLongListing(t *testing.T) {
	line := "-rw-r--r-- 1 u g 5 Nov 20 2025 a.txt\r\n"
	for name, n := range map[string]int{"entries": maxEntries + 10, "bytes": maxListing/len(line) + 10} {
		s := &scripted{answers: map[string]string{"LIST": "150 go|" + strings.Repeat(line, n) + "|226 done"}}
		_, body, err := fetch(t, s.start(t), "/pub/", nil)
		if err != nil || strings.Count(body, "<a href=\"./a.txt") != maxEntries || !strings.Contains(body, "more entries") {
			t.Errorf("too many %s: %d shown, %v", name, strings.Count(body, "<a href=\"./a.txt"), err)
		}
	}
}

func TestListing(t *testing.T) {
	s := &scripted{answers: map[string]string{"LIST": "150 go|total 2\r\ndrwxr-xr-x 2 0 0 4096 Nov 20 12:00 sub dir\r\n-rw-r--r-- 1 0 0 5 Nov 20 2025 <b>.txt\r\nodd line\r\n|226 done"}}
	_, body, err := fetch(t, s.start(t), "/pub/", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`<a href="./sub%20dir/">sub dir/</a>`, `<a href="./%3Cb%3E.txt">&lt;b&gt;.txt</a><td>5<td>Nov 20 2025`, "odd line"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q in:\n%s", want, body)
		}
	}
}

func TestParseList(t *testing.T) {
	for line, want := range map[string]Entry{
		"-rw-r--r--    1 ftp      ftp          1234 Nov 20 12:00 a  b ": {Name: "a  b ", Size: 1234, Time: "Nov 20 12:00"},
		"drwxr-xr-x 2 u g 4096 Jan  1 2025 d":                           {Name: "d", Dir: true, Size: -1, Time: "Jan 1 2025"},
		"lrwxrwxrwx 1 u g 3 Jan 1 2025 l -> t":                          {Name: "l", Link: true, Size: -1, Time: "Jan 1 2025"},
		"-rw-r--r-- 1 owner 77 Mar 3 10:00 nogroup":                     {Name: "nogroup", Size: 77, Time: "Mar 3 10:00"},
		"11-20-26  12:00PM       <DIR>          dir name":               {Name: "dir name", Dir: true, Size: -1, Time: "11-20-26 12:00PM"},
		"11-20-26  12:00PM                  123 file":                   {Name: "file", Size: 123, Time: "11-20-26 12:00PM"},
	} {
		got, ok := ParseList(line)
		if diff := cmp.Diff(want, got); diff != "" || !ok {
			t.Errorf("%q: %v (-want +got):\n%s", line, ok, diff)
		}
	}
	for _, line := range []string{"", "total 3", "-rw-r--r-- 1 u g x Nov 20 12:00 f", "drwxr-xr-x 2 u g 1 Nov 20 12:00 ..", "-rw-r--r-- 1 u g 1 Nov 20 12:00 a/b", "hello"} {
		if e, ok := ParseList(line); ok {
			t.Errorf("%q is taken for %+v", line, e)
		}
	}
}

func FuzzParseList(f *testing.F) {
	f.Add("-rw-r--r-- 1 u g 1234 Nov 20 12:00 name")
	f.Add("11-20-26  12:00PM       <DIR>          dir name")
	f.Fuzz(func(t *testing.T, line string) {
		if e, ok := ParseList(line); ok && (e.Name == "" || strings.ContainsAny(e.Name, "/\r\n\x00")) {
			t.Errorf("%q gives the name %q", line, e.Name)
		}
	})
}

func FuzzPassive(f *testing.F) {
	f.Add("Entering Extended Passive Mode (|||6446|)")
	f.Add("Entering Passive Mode (132,235,1,2,24,131).")
	f.Fuzz(func(t *testing.T, text string) {
		if port, ok := parseEPSV(text); ok && port == 0 {
			t.Error("port 0")
		}
		if port, ok := parsePASV(text); ok && port == 0 {
			t.Error("port 0")
		}
	})
}

// A client that has gone keeps no silent server's connection open.
func TestGone(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	tr := &Transport{
		Dial: func(ctx context.Context, host, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", host)
		},
		Clock: netio.NewClock(t.Context()), Timeout: time.Hour,
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := tr.Exchange(ctx, &exchange.Request{Method: "GET", Scheme: "ftp", Host: ln.Addr().String(), Path: "/f"})
		done <- err
	}()
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "220 hello\r\n")
	if _, err = bufio.NewReader(conn).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	cancel() // it waits for the reply to USER
	select {
	case err = <-done:
		if err == nil {
			t.Error("no error")
		}
	case <-time.After(20 * time.Second):
		t.Error("the dialogue goes on")
	}
}

// Nor does it wait for content that does not come.
func TestGoneAmidContent(t *testing.T) {
	for verb, path := range map[string]string{"RETR": "/f", "LIST": "/d/"} {
		t.Run(verb, func(t *testing.T) {
			s := &scripted{answers: map[string]string{verb: "150 go"}}
			addr := s.start(t)
			tr := &Transport{
				Dial: func(ctx context.Context, host, _ string) (net.Conn, error) {
					var d net.Dialer
					return d.DialContext(ctx, "tcp", host)
				},
				Clock: netio.NewClock(t.Context()), Timeout: time.Hour,
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() {
				trace := func(_ string, line []byte) {
					if string(line) == "150 go" {
						cancel()
					}
				}
				resp, err := tr.Exchange(ctx, &exchange.Request{Method: "GET", Scheme: "ftp", Host: addr, Path: path, Trace: trace})
				if err == nil {
					_, err = io.ReadAll(resp.Body)
					resp.Body.Close()
				}
				done <- err
			}()
			select {
			case err := <-done:
				if err == nil {
					t.Error("no error")
				}
			case <-time.After(20 * time.Second):
				t.Error("it still waits")
			}
		})
	}
}

// What is not there is told plainly.
func TestNoSuchFile(t *testing.T) {
	s := &scripted{answers: map[string]string{"SIZE": "550 Could not get file size.", "CWD": "550 no", "MDTM": "550 Failed to open file."}}
	addr := s.start(t)
	want := "looking for the file on " + addr + ": no such file or directory (the server said 550 Failed to open file)"
	if _, _, err := fetch(t, addr, "/f", nil); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}
