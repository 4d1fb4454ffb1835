package history

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/exchange"

	"github.com/google/go-cmp/cmp"
)

func put(h *History, path string, more func(*Record)) int64 {
	id := h.Begin()
	h.Put(id, func(r *Record) {
		r.Start, r.Method, r.Scheme, r.Host, r.Path = time.Unix(1e9, 0), "GET", "http", "h", path
		r.Target, r.Minor, r.Status, r.Result = "http://h"+path, 1, 200, exchange.Hit
		if more != nil {
			more(r)
		}
	})
	return id
}

func paths(records []Record) (all []string) {
	for i := range records {
		all = append(all, records[i].Path)
	}
	return all
}

func TestSince(t *testing.T) {
	h := &History{}
	if got := h.Since(0, Size); len(got) != 0 {
		t.Errorf("an empty history has %d records", len(got))
	}
	slow := h.Begin()
	h.Put(slow, func(r *Record) { r.Path, r.UnderWay = "/slow", true })
	put(h, "/a", nil)
	seen := h.Changes()
	put(h, "/b", nil)
	h.Put(slow, func(r *Record) { r.Path = "/slow ended" })
	if diff := cmp.Diff([]string{"/slow ended", "/b"}, paths(h.Since(seen, Size))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"/b"}, paths(h.Since(0, 1))); diff != "" {
		t.Error(diff)
	}
	for i := range Size {
		put(h, fmt.Sprint("/", i), nil)
	}
	h.Put(slow, func(r *Record) { r.Path = "/far too slow" }) // its place has another by now
	all := h.Since(0, 2*Size)
	if len(all) != Size || all[0].Path != "/0" || all[Size-1].Path != "/999" {
		t.Errorf("%d records, from %s to %s", len(all), all[0].Path, all[len(all)-1].Path)
	}
	if _, ok := h.Find(slow); ok {
		t.Error("what is kept no more is found")
	}
}

// What is kept is bounded, whatever peers send.
func TestBounds(t *testing.T) {
	h := &History{}
	long := strings.Repeat("x", 100<<10)
	for range 2 * Size {
		put(h, "/"+long, func(r *Record) {
			r.Method, r.Target = long, long
			r.Request = append(r.Request, httpmsg.Field{Name: "X", Value: long})
			r.Response = append(r.Response, httpmsg.Field{Name: "Y", Value: long})
			r.Trace = []byte(long)
		})
	}
	for i := range h.slots {
		r := &h.slots[i].record
		n := len(r.Method) + len(r.Target) + len(r.Path) + len(r.Trace) + length(r.Request) + length(r.Response)
		if n > 3*maxLine {
			t.Fatalf("record %d has %d bytes", r.ID, n)
		}
	}
	// A trace that is too long takes the heads with it no more.
	id := put(h, "/", func(r *Record) {
		r.Request = append(r.Request, httpmsg.Field{Name: "X", Value: "y"})
		r.Trace = make([]byte, MaxTrace+1)
	})
	if r, _ := h.Find(id); r.Trace != nil || len(r.Request) != 1 {
		t.Errorf("%d bytes of a trace, %d fields", len(r.Trace), len(r.Request))
	}
	traced := 0
	for range 2 * Size {
		put(h, "/", func(r *Record) { r.Trace = make([]byte, MaxTrace) })
	}
	for i := range h.slots {
		if h.slots[i].record.Trace != nil {
			traced++
		}
	}
	if traced != maxTraces || len(h.traced) != maxTraces {
		t.Errorf("%d traces are kept, and %d noted", traced, len(h.traced))
	}
}

func TestWantsTrace(t *testing.T) {
	var none *History
	if none.WantsTrace() {
		t.Error("no history wants a trace")
	}
	h := &History{}
	h.Allow(0, 3)
	var wg sync.WaitGroup
	wanted := make(chan bool, 100)
	for range 100 {
		wg.Go(func() { wanted <- h.WantsTrace() })
	}
	wg.Wait()
	close(wanted)
	n := 0
	for yes := range wanted {
		if yes {
			n++
		}
	}
	if n != 3 {
		t.Errorf("%d traces, 3 were allowed", n)
	}
	if h.Allow(1, 0); !h.Wants() || h.Wants() || none.Wants() {
		t.Error("one record was allowed")
	}
}

func TestWord(t *testing.T) {
	for want, r := range map[string]Record{
		"hit":         {Result: exchange.Hit, Host: "h"},
		"revalidated": {Result: exchange.Revalidated, Host: "h"},
		"passed on":   {Result: exchange.Bypass, Host: "h"},
		"tunnel":      {Method: "CONNECT", Host: "h:443"},
		"own":         {Method: "GET"},
		"refused":     {Failure: &exchange.Error{Status: 403, Type: "http_request_denied"}},
		"failed":      {Failure: &exchange.Error{Status: 504, Type: "connection_timeout"}},
	} {
		if got := r.Word(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for _, kind := range []string{"proxy_loop_detected", "connection_limit_reached"} {
		if got := (&Record{Failure: &exchange.Error{Status: 503, Type: kind}}).Word(); got != "refused" {
			t.Errorf("%s is %q", kind, got)
		}
	}
}

// Without a trace both heads still make one, without secrets.
func TestEvents(t *testing.T) {
	h := &History{}
	id := put(h, "/p", func(r *Record) {
		r.Took, r.Sent = 3*time.Millisecond, 5
		r.Request = append(r.Request, httpmsg.Field{Name: "Cookie", Value: "secret"}, httpmsg.Field{Name: "Referer", Value: "http://u:secret@h/"})
		r.Response = append(r.Response, httpmsg.Field{Name: "set-cookie", Value: "secret"}, httpmsg.Field{Name: "Cache-Status", Value: "us; hit; ttl=5"})
	})
	r, ok := h.Find(id)
	if !ok {
		t.Fatal("it is not kept")
	}
	want := `{"trace":"topdown","version":1,"lab":"proxyserver","at":"proxy","start":"2001-09-09T01:46:40Z"}
{"time":0,"conversation":"1","from":"client","to":"proxy","what":"line","text":"GET http://h/p HTTP/1.1\\r\\nCookie: (hidden)\\r\\nReferer: http://u:(hidden)@h/\\r\\n\\r\\n","step":"4 receive"}
{"time":3000000,"conversation":"1","from":"cache","what":"decision","text":"us; hit; ttl=5","fate":"hit","rfc":9211}
{"time":3000000,"conversation":"1","from":"proxy","to":"client","what":"line","text":"HTTP/1.1 200 OK\\r\\nset-cookie: (hidden)\\r\\nCache-Status: us; hit; ttl=5\\r\\n\\r\\n","step":"6 respond"}
{"time":3000000,"conversation":"1","from":"proxy","to":"client","what":"bytes","size":5,"step":"6 respond"}
`
	if diff := cmp.Diff(want, string(r.Events())); diff != "" {
		t.Error(diff)
	}
}

// Readers and writers at the same time: for the race detector.
func TestTogether(t *testing.T) {
	h := &History{}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 2000 {
				id := put(h, "/", func(r *Record) {
					r.Request = append(r.Request, httpmsg.Field{Name: "A", Value: "1"})
					r.Trace = []byte("x")
				})
				if r, ok := h.Find(id); ok && (len(r.Request) != 1 || r.ID != id) {
					t.Error("a record is mixed up")
				}
			}
		})
	}
	wg.Go(func() {
		for range 50 {
			h.Since(0, 10)
		}
	})
	wg.Wait()
}

// Two exchanges are in their places at the same time when each of them drives out
// the trace of what was in the other's place: neither waits for the other.
func TestEachInTheOthersPlace(t *testing.T) {
	h := &History{}
	traced := func(r *Record) { r.Trace = []byte("x") }
	for i := range Size {
		if i < maxTraces {
			put(h, "/", traced)
		} else {
			put(h, "/", nil)
		}
	}
	h.traced[0], h.traced[1] = 2, 1
	one, two := h.Begin(), h.Begin() // in the places of 1 and 2
	oldest := func() int64 {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.traced[0]
	}
	inPlace := make(chan struct{})
	var both sync.WaitGroup
	both.Go(func() {
		h.Put(one, func(r *Record) {
			traced(r)
			<-inPlace
		})
	})
	both.Go(func() {
		h.Put(two, func(r *Record) {
			traced(r)
			close(inPlace)
			for oldest() == 2 { // until one is about to drive it out
				time.Sleep(time.Millisecond)
			}
		})
	})
	ended := make(chan struct{})
	go func() {
		both.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Fatal("they wait for each other")
	}
	for _, id := range []int64{one, two} {
		if r, ok := h.Find(id); !ok || string(r.Trace) != "x" {
			t.Errorf("record %d is %+v, %v", id, r, ok)
		}
	}
}

// BenchmarkPut is what a hit costs with a history.
func BenchmarkPut(b *testing.B) {
	h := &History{}
	request := make(httpmsg.Fields, 8)
	response := make(httpmsg.Fields, 10)
	for i := range request {
		request[i] = httpmsg.Field{Name: "Accept-Encoding", Value: "gzip, deflate, br"}
	}
	for i := range response {
		response[i] = httpmsg.Field{Name: "Cache-Control", Value: "max-age=3600"}
	}
	client := netip.MustParseAddrPort("127.0.0.1:1234")
	b.ReportAllocs()
	for b.Loop() {
		if h.WantsTrace() {
			b.Fatal("a trace is wanted")
		}
		h.Put(h.Begin(), func(r *Record) {
			r.Client, r.Method, r.Target, r.Scheme, r.Host, r.Path = client, "GET", "/page", "http", "h", "/page"
			r.Request = append(r.Request, request...)
			r.Response = append(r.Response, response...)
		})
	}
}
