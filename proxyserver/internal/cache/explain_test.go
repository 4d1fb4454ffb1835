package cache

import (
	"strings"
	"testing"
	"time"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/cachetest"
	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/store"

	"github.com/google/go-cmp/cmp"
)

// What --trace and explain show: each decision with its section and arithmetic.
func TestExplain(t *testing.T) {
	clock := cachetest.NewClock()
	origin := &benchOrigin{content: []byte("hello"), fields: httpmsg.Fields{
		{Name: "Cache-Control", Value: "max-age=60"}, {Name: "Vary", Value: "Accept-Encoding"}, {Name: "ETag", Value: `"a"`},
	}}
	c := &Cache{Next: origin, Store: store.NewMemory(0, 0), Now: clock.Now}
	defer c.Close()
	ask := func(fields ...httpmsg.Field) []string {
		var said []string
		req := get("/", fields...)
		req.Explain = func(section, decision string) { said = append(said, section+": "+decision) }
		resp, _, err := readAllFrom(c.Exchange(t.Context(), req))
		if err != nil {
			t.Fatal(err)
		}
		return append(said, string(resp.Result))
	}
	gzip := httpmsg.Field{Name: "Accept-Encoding", Value: "gzip"}
	first := ask(gzip)
	clock.Advance(43 * time.Second)
	hit := ask(gzip)
	other := ask(httpmsg.Field{Name: "Accept-Encoding", Value: "br"})
	clock.Advance(20 * time.Second)
	stale := ask(gzip)
	want := [][]string{
		{
			"RFC 9111, 4: nothing is stored under http://example.org/",
			"RFC 9111, 3: it may be stored: max-age 60", "MISS",
		},
		{
			"RFC 9111, 4.1: what is stored is for requests with the same [accept-encoding]",
			"RFC 9111, 4.2: stored 43 s ago, age 43, max-age 60: fresh for 17 s", "HIT",
		},
		{
			"RFC 9111, 4.1: 1 stored, but for requests with other [accept-encoding]",
			`RFC 9111, 4.3.1: validating what is stored: If-None-Match "a"`,
			"RFC 9111, 3: it may be stored: max-age 60", "MISS",
		},
		{
			"RFC 9111, 4.1: what is stored is for requests with the same [accept-encoding]",
			"RFC 9111, 4.2: stored 63 s ago, age 63, max-age 60: stale for 3 s; stale",
			`RFC 9111, 4.3.1: validating what is stored: If-None-Match "a"`,
			"RFC 9111, 3: it may be stored: max-age 60", "MISS",
		},
	}
	if diff := cmp.Diff(want, [][]string{first, hit, other, stale}); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func readAllFrom(resp *exchange.Response, err error) (*exchange.Response, string, error) {
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	var b strings.Builder
	buf := make([]byte, 100)
	for {
		n, err := resp.Body.Read(buf)
		b.Write(buf[:n])
		if err != nil {
			return resp, b.String(), nil
		}
	}
}
