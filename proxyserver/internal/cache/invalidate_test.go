package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/rules"
	"topdown/proxyserver/internal/store"
)

// gated is a body in two pieces, the second of which waits for a gate.
type gated struct {
	pieces [2]string
	gate   <-chan struct{}
	next   int
}

func (b *gated) Read(p []byte) (int, error) {
	if b.next == len(b.pieces) {
		return 0, io.EOF
	}
	if b.next == 1 {
		<-b.gate
	}
	b.next++
	return copy(p, b.pieces[b.next-1]), nil
}

func (b *gated) Close() error { return nil }

// ask carries out one exchange to its end.
func ask(t *testing.T, c *Cache, req *exchange.Request) string {
	t.Helper()
	resp, err := c.Exchange(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// What is invalidated while it is being fetched is not stored afterwards, and
// what is older does not take the place of what is newer, whoever fetched it
// and why (RFC 9111, sections 4 and 4.4).
func TestInvalidatedOnTheWay(t *testing.T) {
	const key = "http://example.org/p"
	reload := httpmsg.Field{Name: "Cache-Control", Value: "no-cache"}
	for _, kind := range []string{"plain", "range", "reload", "alone"} {
		for name, meanwhile := range map[string]func(*testing.T, *Cache){
			"purge": func(_ *testing.T, c *Cache) { c.Purge(key) },
			"PUT": func(t *testing.T, c *Cache) {
				t.Helper()
				put := get("/p")
				put.Method = "PUT"
				ask(t, c, put)
			},
			"a reload": func(t *testing.T, c *Cache) {
				t.Helper()
				ask(t, c, get("/p", reload))
			},
		} {
			t.Run(kind+", "+name, func(t *testing.T) {
				eachStore(t, func(t *testing.T, s store.Store) {
					t.Helper()
					gate := make(chan struct{})
					before, asked := kind == "reload" || kind == "alone", 0
					c := &Cache{Store: s, Next: &slowOrigin{serve: func(_ context.Context, _ int, req *exchange.Request) (*exchange.Response, error) {
						if req.Method == "PUT" {
							return response("no-store", io.NopCloser(strings.NewReader("")), 0), nil
						}
						asked++
						switch {
						case before && asked == 1 && kind == "alone":
							return response("private", io.NopCloser(strings.NewReader("zero")), 4), nil
						case before && asked == 1:
							return response("max-age=1000", io.NopCloser(strings.NewReader("zero")), 4), nil
						case !before && asked == 1 || before && asked == 2:
							return response("max-age=1000", &gated{pieces: [2]string{"OLD-", "OLD"}, gate: gate}, 7), nil
						}
						return response("max-age=1000", io.NopCloser(strings.NewReader("NEW-NEW")), 7), nil
					}}}
					defer c.Close()
					if before {
						ask(t, c, get("/p"))
					}
					req := get("/p")
					switch kind {
					case "range":
						req = get("/p", httpmsg.Field{Name: "Range", Value: "bytes=0-100"})
					case "reload":
						req = get("/p", reload)
					}
					slow, err := c.Exchange(t.Context(), req)
					if err != nil {
						t.Fatal(err)
					}
					meanwhile(t, c)
					close(gate)
					if _, err = io.ReadAll(slow.Body); err != nil {
						t.Fatal(err)
					}
					slow.Body.Close()
					if got := ask(t, c, get("/p")); got != "NEW-NEW" {
						t.Errorf("afterwards: %q", got)
					}
				})
			})
		}
	}
}

// A store that fails at the last moment costs a hit, and nobody's transfer.
func TestCommitFails(t *testing.T) {
	dir := t.TempDir()
	d, err := store.OpenDisk(store.DiskOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for i := range 256 { // no directory can be made
		if err = os.WriteFile(filepath.Join(dir, fmt.Sprintf("%02x", i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := content(400 << 10)
	c := &Cache{Store: d, Next: &slowOrigin{serve: func(context.Context, int, *exchange.Request) (*exchange.Response, error) {
		return response("max-age=1000", io.NopCloser(bytes.NewReader(want)), httpmsg.Chunked), nil
	}}}
	defer c.Close()
	for range 3 {
		if got := ask(t, c, get("/p")); got != string(want) {
			t.Errorf("%d octets, want %d", len(got), len(want))
		}
	}
}

// So does a part that is shorter than it said.
func TestShortPart(t *testing.T) {
	eachStore(t, func(t *testing.T, s store.Store) {
		t.Helper()
		c := &Cache{Store: s, Next: &slowOrigin{serve: func(context.Context, int, *exchange.Request) (*exchange.Response, error) {
			r := response("max-age=60", io.NopCloser(strings.NewReader("abcde")), httpmsg.Chunked, httpmsg.Field{Name: "Content-Range", Value: "bytes 0-9/100"})
			r.Status = 206
			return r, nil
		}}}
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		resp, err := c.Exchange(ctx, get("/a", httpmsg.Field{Name: "Range", Value: "bytes=0-9"}))
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(resp.Body); string(b) != "abcde" || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%q, %v", b, err)
		}
		resp.Body.Close()
		if n := len(lookup(s, "http://example.org/a")); n != 0 {
			t.Errorf("%d stored", n)
		}
	})
}

// versions is an origin whose pages have a version each, which a PUT raises.
type versions struct {
	page  [8]atomic.Int64
	told  [8]atomic.Int64 // the version after the last change that was answered
	asked atomic.Int64
}

func (o *versions) Exchange(_ context.Context, req *exchange.Request) (*exchange.Response, error) {
	page := &o.page[req.Path[1]-'0']
	if req.Method == "PUT" {
		page.Add(1)
		return response("no-store", io.NopCloser(strings.NewReader("")), 0), nil
	}
	version := page.Load()
	if o.asked.Add(1)%4 == 0 {
		// This answer comes a moment after whoever changes the page next has
		// been told that it is changed.
		for range 100 {
			if time.Sleep(20 * time.Microsecond); o.told[req.Path[1]-'0'].Load() > version {
				time.Sleep(20 * time.Microsecond)
				break
			}
		}
	}
	text := strconv.FormatInt(version, 10)
	return response("max-age=1000", io.NopCloser(strings.NewReader(text)), httpmsg.Framing(len(text))), nil
}

// Whoever asks after a change has been answered gets what was changed, whatever
// was being fetched, stored or read meanwhile: no invalidation is lost (RFC
// 9111, section 4.4).
func TestNoInvalidationIsLost(t *testing.T) {
	changes := 400
	if n, err := strconv.Atoi(os.Getenv("TOPDOWN_CHANGES")); err == nil {
		changes = n
	}
	eachStore(t, func(t *testing.T, s store.Store) {
		t.Helper()
		origin := &versions{}
		c := &Cache{Next: origin, Store: s}
		defer c.Close()
		ask := func(method, path string, fields ...httpmsg.Field) string {
			req := get(path, fields...)
			req.Method = method
			_, got, err := readAll(t.Context(), c, req)
			if err != nil {
				t.Errorf("%s %s: %v", method, path, err)
			}
			return string(got)
		}
		var clients sync.WaitGroup
		var done atomic.Bool
		for i := range 4 { // they keep fetches and hits going all the time
			clients.Go(func() {
				for n := i; !done.Load(); n++ {
					ask("GET", "/"+strconv.Itoa(n%len(origin.page)))
				}
			})
		}
		var changers sync.WaitGroup
		for i := range len(origin.page) / 2 {
			changers.Go(func() {
				for n := range changes / (len(origin.page) / 2) {
					page := 2*i + n%2 // each is changed here alone
					path := "/" + strconv.Itoa(page)
					ask("PUT", path)
					version := origin.page[page].Load()
					origin.told[page].Store(version)
					want := strconv.FormatInt(version, 10)
					if n%7 == 0 {
						ask("GET", path, httpmsg.Field{Name: "Cache-Control", Value: "no-cache"})
					}
					for again := range 1 + n%8/7 {
						time.Sleep(time.Duration(again) * 200 * time.Microsecond)
						if got := ask("GET", path); got != want {
							t.Errorf("change %d of %s, request %d: got version %s, want %s", n, path, again, got, want)
						}
					}
				}
			})
		}
		changers.Wait()
		done.Store(true)
		clients.Wait()
	})
}

// Nor is what was asked for before an invalidation and answered after it.
func TestInvalidatedBeforeTheAnswer(t *testing.T) {
	for kind, fields := range map[string]httpmsg.Fields{
		"plain":  nil,
		"range":  {{Name: "Range", Value: "bytes=0-100"}},
		"reload": {{Name: "Cache-Control", Value: "no-cache"}},
	} {
		t.Run(kind, func(t *testing.T) {
			eachStore(t, func(t *testing.T, s store.Store) {
				t.Helper()
				asked, gate := make(chan struct{}), make(chan struct{})
				c := &Cache{Store: s, Next: &slowOrigin{serve: func(_ context.Context, n int, _ *exchange.Request) (*exchange.Response, error) {
					text := "NEW"
					if n == 1 {
						text = "OLD"
						close(asked)
						<-gate
					}
					return response("max-age=1000", io.NopCloser(strings.NewReader(text)), 3), nil
				}}}
				defer c.Close()
				var client sync.WaitGroup
				client.Go(func() { readAll(t.Context(), c, get("/p", fields...)) })
				<-asked
				c.Purge("http://example.org/p")
				close(gate)
				client.Wait()
				if got := ask(t, c, get("/p")); got != "NEW" {
					t.Errorf("afterwards: %q", got)
				}
			})
		})
	}
}

// A group that is made invalid takes along what was asked for before and
// answered after it, and stays invalid when the store is opened again.
func TestGroupInvalidatedMeanwhile(t *testing.T) {
	config := rules.Config{Groups: true}
	options := store.DiskOptions{Dir: t.TempDir(), Rules: config}
	group := httpmsg.Field{Name: "Cache-Groups", Value: `"a"`}
	asked, gate := make(chan struct{}), make(chan struct{})
	origin := &slowOrigin{serve: func(_ context.Context, n int, req *exchange.Request) (*exchange.Response, error) {
		switch {
		case req.Method == "POST":
			return response("no-store", io.NopCloser(strings.NewReader("")), 0, httpmsg.Field{Name: "Cache-Group-Invalidation", Value: `"a"`}), nil
		case n == 1:
			close(asked)
			<-gate
			return response("max-age=1000", io.NopCloser(strings.NewReader("OLD")), 3, group), nil
		}
		return response("max-age=1000", io.NopCloser(strings.NewReader("NEW")), 3, group), nil
	}}
	open := func() (*Cache, func()) {
		d, err := store.OpenDisk(options)
		if err != nil {
			t.Fatal(err)
		}
		c := &Cache{Next: origin, Store: d, Rules: config}
		return c, func() {
			c.Close()
			d.Close()
		}
	}
	c, end := open()
	var client sync.WaitGroup
	client.Go(func() { readAll(t.Context(), c, get("/p")) })
	<-asked
	post := get("/change")
	post.Method = "POST"
	ask(t, c, post)
	go func() {
		waitFor(t, func() bool { return c.fetches.waitingFor("http://example.org/p") == 1 })
		close(gate)
	}()
	if got := ask(t, c, get("/p")); got != "NEW" {
		t.Errorf("who asks after the change gets %q", got)
	}
	client.Wait()
	ask(t, c, post)
	end()
	c, end = open()
	defer end()
	before := origin.asked.Load()
	if got := ask(t, c, get("/p")); got != "NEW" || origin.asked.Load() == before {
		t.Errorf("after a restart: %q, origin asked %v", got, origin.asked.Load() != before)
	}
}

// A group stays invalid when the store has evicted its mark, and when more groups
// were made invalid since than are remembered.
func TestGroupMarkEvicted(t *testing.T) {
	config := rules.Config{Groups: true}
	origin := &slowOrigin{serve: func(_ context.Context, n int, req *exchange.Request) (*exchange.Response, error) {
		name := "Cache-Groups"
		if req.Method == "POST" {
			name = "Cache-Group-Invalidation"
		}
		body := fmt.Sprint(n)
		return response("max-age=1000", io.NopCloser(strings.NewReader(body)), httpmsg.Framing(len(body)), httpmsg.Field{Name: name, Value: `"a"`}), nil
	}}
	c := &Cache{Next: origin, Store: store.NewMemory(0, 0), Rules: config}
	defer c.Close()
	post := get("/change")
	post.Method = "POST"
	if got := ask(t, c, get("/p")) + ask(t, c, get("/p")); got != "11" {
		t.Fatalf("before: %s", got)
	}
	ask(t, c, post)
	mark := rules.GroupKey("http://example.org/p", "a")
	for _, e := range lookup(c.Store, mark) {
		c.Store.Remove(t.Context(), e)
	}
	if got := ask(t, c, get("/p")); got != "3" {
		t.Errorf("after its mark was evicted: %s", got)
	}
	ask(t, c, post)
	for i := range maxMarks {
		c.marks.set(fmt.Sprint(i), time.Now())
	}
	for _, e := range lookup(c.Store, mark) {
		c.Store.Remove(t.Context(), e)
	}
	if got := ask(t, c, get("/p")); got != "5" {
		t.Errorf("after many other groups: %s", got)
	}
}
