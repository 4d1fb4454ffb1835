package cache

import (
	"bytes"
	"context"
	"io"
	"strconv"
	"testing"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/store"
)

type benchOrigin struct {
	fields  httpmsg.Fields
	content []byte
}

func (o *benchOrigin) Exchange(context.Context, *exchange.Request) (*exchange.Response, error) {
	body := io.NopCloser(bytes.NewReader(o.content))
	return &exchange.Response{Status: 200, Reason: "OK", Fields: o.fields, Body: body, Framing: httpmsg.Framing(len(o.content))}, nil
}

func benchCache(b *testing.B, cc string, size int) *Cache {
	b.Helper()
	d, err := store.OpenDisk(store.DiskOptions{Dir: b.TempDir(), Size: 256 << 20})
	if err != nil {
		b.Fatal(err)
	}
	c := &Cache{Store: d, Next: &benchOrigin{httpmsg.Fields{
		{Name: "Date", Value: "Mon, 02 Mar 2026 00:00:00 GMT"},
		{Name: "Content-Type", Value: "text/plain"},
		{Name: "Cache-Control", Value: cc},
		{Name: "ETag", Value: `"a"`},
	}, make([]byte, size)}}
	b.Cleanup(func() {
		c.Close()
		d.Close()
	})
	return c
}

var clientFields = httpmsg.Fields{
	{Name: "Host", Value: "example.org"},
	{Name: "User-Agent", Value: "bench/1.0"},
	{Name: "Accept", Value: "*/*"},
	{Name: "Accept-Encoding", Value: "gzip, br"},
	{Name: "Accept-Language", Value: "en"},
}

func benchGet(b *testing.B, c *Cache, path string) {
	b.Helper()
	resp, err := c.Exchange(b.Context(), get(path, clientFields...))
	if err != nil {
		b.Fatal(err)
	}
	if resp.Content == nil {
		io.Copy(io.Discard, resp.Body)
	}
	resp.Body.Close()
}

func BenchmarkHit(b *testing.B) {
	for _, size := range []int{1 << 10, 100 << 10} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			c := benchCache(b, "max-age=1000000000", size)
			benchGet(b, c, "/")
			b.ReportAllocs()
			for b.Loop() {
				benchGet(b, c, "/")
			}
		})
	}
}

func BenchmarkMissStored(b *testing.B) {
	c := benchCache(b, "max-age=1000000000", 1<<10)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		benchGet(b, c, "/"+strconv.Itoa(i))
	}
}

// BenchmarkMissUncacheable asks for URIs that nobody has asked for, in a fetch
// each, and for one whose last response could not be shared, without.
func BenchmarkMissUncacheable(b *testing.B) {
	for _, again := range []bool{false, true} {
		b.Run("again="+strconv.FormatBool(again), func(b *testing.B) {
			c := benchCache(b, "no-store", 1<<10)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if again {
					i = 0
				}
				benchGet(b, c, "/"+strconv.Itoa(i))
			}
		})
	}
}
