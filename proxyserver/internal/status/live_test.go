package status

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/history"

	"github.com/google/go-cmp/cmp"
)

// startLive serves a live page and returns its address and token.
func startLive(t *testing.T, patience time.Duration) (l *Live, addr, token string, requests *atomic.Int64) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	requests = new(atomic.Int64)
	l = &Live{
		History: NewHistory(), Name: "us", Addr: "127.0.0.1:8899", Patience: patience,
		Figures:    func() Figures { return Figures{Requests: requests.Load()} },
		Purge:      func(string) int { return 1 },
		Revalidate: func(url string) bool { return strings.HasPrefix(url, "http://") },
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	addr = ln.Addr().String()
	_, text := ask(t, addr, "GET", "/", addr)
	found := regexp.MustCompile(`data-token="([^"]+)"`).FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("no token: %s", text)
	}
	return l, addr, found[1], requests
}

func record(l *Live, path string) {
	l.History.Put(l.History.Begin(), func(r *history.Record) {
		r.Start, r.Method, r.Scheme, r.Host, r.Path, r.Status, r.Result = time.Now(), "GET", "http", "h", path, 200, exchange.Hit
		r.Request = append(r.Request, httpmsg.Field{Name: "A", Value: "1"})
	})
}

// watch opens the events.
func watch(t *testing.T, addr, token, query string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn := dial(t, addr)
	fmt.Fprintf(conn, "GET /events?token=%s%s HTTP/1.1\r\nHost: %s\r\n\r\n", token, query, addr)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if kind := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || kind != "text/event-stream" {
		t.Fatalf("%d, %s", resp.StatusCode, kind)
	}
	return conn, bufio.NewReader(resp.Body)
}

// next returns the next message that has rows.
func next(t *testing.T, events *bufio.Reader) (id string, m message) {
	t.Helper()
	for m.Rows == nil {
		line, err := events.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if after, ok := strings.CutPrefix(line, "id: "); ok {
			id = strings.TrimSpace(after)
		}
		if text, ok := strings.CutPrefix(line, "data: "); ok {
			m = message{}
			if err := json.Unmarshal([]byte(text), &m); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
		}
	}
	return id, m
}

func TestEvents(t *testing.T) {
	l, addr, token, requests := startLive(t, 0)
	for i := range 3 {
		record(l, fmt.Sprint("/", i))
	}
	requests.Store(3)
	conn, events := watch(t, addr, token, "")
	urls := func(m message) (all []string) {
		for _, r := range m.Rows {
			all = append(all, r.URL+" "+r.Word)
		}
		return all
	}
	id, m := next(t, events)
	if diff := cmp.Diff([]string{"http://h/0 hit", "http://h/1 hit", "http://h/2 hit"}, urls(m)); diff != "" || m.Figures == nil || m.Figures.Requests != 3 {
		t.Errorf("figures %v, rows %s", m.Figures, diff)
	}
	conn.Close()
	record(l, "/3")
	// Who comes again gets what is new.
	_, events = watch(t, addr, token, "&after="+id)
	if _, m = next(t, events); len(m.Rows) != 1 || m.Rows[0].URL != "http://h/3" {
		t.Errorf("rows %v", urls(m))
	}
	// More at a time than can be shown: the latest, and how many more there were.
	for i := range 5 * rowsBeat {
		record(l, fmt.Sprint("/many", i))
		requests.Add(1)
	}
	rows, missed := 0, int64(0)
	for last := ""; last != fmt.Sprint("http://h/many", 5*rowsBeat-1); {
		_, m = next(t, events)
		rows, missed, last = rows+len(m.Rows), missed+m.Missed, m.Rows[len(m.Rows)-1].URL
		if len(m.Rows) > rowsBeat {
			t.Errorf("%d rows in one message", len(m.Rows))
		}
	}
	if rows+int(missed) < 4*rowsBeat || missed == 0 {
		t.Errorf("%d rows, %d missed", rows, missed)
	}
}

// A viewer that takes nothing is dropped; exchanges do not wait for it.
func TestSlowViewer(t *testing.T) {
	l, addr, token, _ := startLive(t, 200*time.Millisecond)
	conn, _ := watch(t, addr, token, "")
	long := "/" + strings.Repeat("x", 3<<10)
	most := time.Duration(0)
	for deadline := time.Now().Add(patience); l.viewers.Load() > 0; {
		if time.Now().After(deadline) {
			t.Fatal("it is not dropped")
		}
		for range rowsBeat {
			began := time.Now()
			record(l, long)
			most = max(most, time.Since(began))
		}
		time.Sleep(beat / 2) // the time in which a viewer is sent as much
	}
	if most > l.Patience {
		t.Errorf("an exchange waited %v", most)
	}
	conn.SetDeadline(time.Now().Add(patience))
	// The rest of what it was sent has no end: it can tell that something is missing.
	rest, err := io.ReadAll(conn)
	if bytes.HasSuffix(rest, []byte("\r\n0\r\n\r\n")) || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection's end: %v", err)
	}
}

func TestViewersAreBounded(t *testing.T) {
	_, addr, token, _ := startLive(t, 0)
	for range maxViewers {
		watch(t, addr, token, "")
	}
	if resp, text := ask(t, addr, "GET", "/events?token="+token, addr); resp.StatusCode != 503 {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
}

// While nobody looks, a second has room for so many records and no more.
func TestIdleHistory(t *testing.T) {
	h := NewHistory()
	n := 0
	for h.Wants() {
		n++
	}
	traces := 0
	for h.WantsTrace() {
		traces++
	}
	if n != recordsIdle || traces != tracesIdle {
		t.Errorf("%d records, %d traces", n, traces)
	}
}

func TestOrigins(t *testing.T) {
	var requests int64
	l := &Live{History: NewHistory(), Figures: func() Figures { return Figures{Requests: requests} }}
	for i := range 100 {
		l.History.Put(l.History.Begin(), func(r *history.Record) { r.Host = fmt.Sprint("h", i%2) })
	}
	requests = 1000 // the history has a tenth of them
	l.countOrigins()
	l.countOrigins()
	if diff := cmp.Diff([]origin{{"h0", 500}, {"h1", 500}}, l.topOrigins()); diff != "" {
		t.Error(diff)
	}
	for i := range 500 {
		l.History.Put(l.History.Begin(), func(r *history.Record) { r.Host = fmt.Sprint("x", i) })
		requests++
	}
	l.countOrigins()
	if n := len(l.hour.origins); n > maxOrigins+1 {
		t.Errorf("%d origins are told apart", n)
	}
	if got := l.topOrigins(); len(got) != maxTop {
		t.Errorf("%v", got)
	}
}

// TestAddr: who reaches the page from elsewhere is told an address that is right
// there.
func TestAddr(t *testing.T) {
	for _, tt := range []struct{ addr, host, want string }{
		{"127.0.0.1:8899", "localhost:8898", "127.0.0.1:8899"},
		{"[::]:8899", "192.0.2.1:8898", "192.0.2.1:8899"},
		{"0.0.0.0:8899", "[2001:db8::1]:8898", "[2001:db8::1]:8899"},
		{"0.0.0.0:8899", "[2001:db8::1]", "[2001:db8::1]:8899"},
		{"[::]:8899", "localhost", "localhost:8899"},
	} {
		l := &Live{Addr: tt.addr}
		if got := l.addr(&http.Request{Host: tt.host}); got != tt.want {
			t.Errorf("%+v: %s", tt, got)
		}
	}
}

func TestRow(t *testing.T) {
	r := history.Record{
		ID: 1, Exact: true, Took: 10 * time.Millisecond, Host: "h", Status: 200, Result: exchange.Miss, FirstByte: 8 * time.Millisecond,
		Steps: []history.Step{{Name: "name", From: 0, To: time.Millisecond}, {Name: "connect", From: time.Millisecond, To: 3 * time.Millisecond}},
	}
	want := []stepTime{{"name", 0, 1}, {"connect", 1, 3}, {"first byte", 3, 8}, {"content", 8, 10}}
	if got := newRow(&r); got.Tier != "origin" || got.Word != "miss" || cmp.Diff(want, got.Steps) != "" {
		t.Errorf("%+v", got)
	}
	r = history.Record{Failure: &exchange.Error{Step: "reading ftp://u:secret@h/", Err: errors.New("x")}}
	if got := newRow(&r); strings.Contains(got.Why, "secret") {
		t.Errorf("a secret is told: %s", got.Why)
	}
}
