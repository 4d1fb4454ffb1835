package store

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/redistest"
	"topdown/proxyserver/internal/rules"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for began := time.Now(); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatalf("waiting for %s", what)
		}
	}
}

func openRedis(t *testing.T, o RedisOptions) *Redis {
	t.Helper()
	if o.Patience == 0 {
		o.Patience = 2 * time.Second // the machine may be busy with other tests
	}
	r, err := OpenRedis(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func TestRedisURL(t *testing.T) {
	for raw, want := range map[string]string{
		"redis://h":                          "[h:6379] user= password= db=0 prefix=topdown: name=redis://h:6379",
		"redis://u:p%40@h:1/3?prefix=x":      "[h:1] user=u password=p@ db=3 prefix=x name=redis://h:1",
		"rediss://u@[::1]:7":                 "[[::1]:7] user=u password=secret db=0 prefix=topdown: name=rediss://[::1]:7",
		"redis+cluster://a:1,b:2,c?prefix=y": "[a:1 b:2 c:6379] user= password=secret db=0 prefix=y name=redis+cluster://a:1,b:2,c:6379",
	} {
		password := ""
		if strings.Contains(want, "secret") {
			password = "secret"
		}
		o, prefix, name, err := parseRedisURL(raw, password)
		got := fmt.Sprintf("%v user=%s password=%s db=%d prefix=%s name=%s", o.InitAddress, o.Username, o.Password, o.SelectDB, prefix, name)
		if err != nil || got != want {
			t.Errorf("%s: %s, %v\nwant %s", raw, got, err, want)
		}
		if got, want := HasPassword(raw), strings.Contains(raw, "p%40"); got != want {
			t.Errorf("%s: it has a password: %v", raw, got)
		}
	}
	for _, bad := range []string{
		"", "http://h", "redis://", "redis://a,b", "redis://h/x", "redis+cluster://a/1", "redis://h?size=1", "redis://h:port", "redis://u:sesame@:x", "redis://%zz@h",
	} {
		if _, _, _, err := parseRedisURL(bad, ""); err == nil {
			t.Errorf("%q is taken", bad)
		} else if strings.Contains(err.Error(), "sesame") {
			t.Errorf("%q: the error tells the password: %v", bad, err)
		}
	}
}

// Over TLS only an engine with a certificate that is trusted is used, and what
// keeps this proxy out is said in words, without the password.
func TestRedisTLS(t *testing.T) {
	const password = "open sesame"
	_, tlsEngine := redistest.StartTLS(t, "--requirepass", password)
	roots := x509.NewCertPool()
	if pem, err := os.ReadFile(tlsEngine.CAFile); err != nil || !roots.AppendCertsFromPEM(pem) {
		t.Fatal(err)
	}
	elsewhere := strings.Replace(tlsEngine.Addr, "127.0.0.1", "localhost", 1) // its certificate is for the address
	for _, c := range []struct {
		url, password string
		roots         *x509.CertPool
		want          string
	}{
		{"rediss://" + tlsEngine.Addr, password, roots, ""},
		{"rediss://:open%20sesame@" + tlsEngine.Addr, "", roots, ""},
		{"rediss://" + tlsEngine.Addr, password, nil, "nobody whom this proxy trusts has issued its certificate; give the authority's with --store-ca-file"},
		{"rediss://" + elsewhere, password, roots, "localhost"},
		{"rediss://" + tlsEngine.Addr, "", roots, "it asks for a password; give it with --store-password-file"},
		{"rediss://" + tlsEngine.Addr, "open barley", roots, "WRONGPASS"},
	} {
		core, logs := observer.New(zap.InfoLevel)
		r := openRedis(t, RedisOptions{URL: c.url, Password: c.password, Roots: c.roots, Log: zap.New(core)})
		if c.want == "" {
			put(t, r, "http://a/", storedFor("http://a/", 1), make([]byte, 400<<10))
			if got, err := bodyOf(t, lookup(t, r, "http://a/")[0]); err != nil || len(got) != 400<<10 {
				t.Errorf("%s: %d bytes, %v", c.url, len(got), err)
			}
			if logs.Len() != 0 {
				t.Errorf("%s: %v", c.url, logs.All())
			}
			continue
		}
		if _, down := r.Outages(); !down || logs.Len() != 1 {
			t.Fatalf("%s: down: %v, log: %v", c.url, down, logs.All())
		}
		line := fmt.Sprint(logs.All()[0].ContextMap())
		if !strings.Contains(line, c.want) || strings.Contains(line, "open ") {
			t.Errorf("%s: %s, want %s", c.url, line, c.want)
		}
	}
}

// What one node stores the others have; what one invalidates none has.
func TestRedisNodes(t *testing.T) {
	n := redistest.Start(t)
	a := openRedis(t, RedisOptions{URL: n.URL("t:"), Object: 600 << 10})
	b := openRedis(t, RedisOptions{URL: n.URL("t:"), Object: 600 << 10})
	for _, size := range []int{0, 1, 1000, 256 << 10, 300 << 10, 600 << 10} {
		key := fmt.Sprintf("http://a/%d", size)
		put(t, a, key, storedFor(key, 1), bodyFor(key, 0, size))
		for _, node := range []*Redis{b, a, b} {
			entries := lookup(t, node, key)
			if len(entries) != 1 || entries[0].Size != int64(size) {
				t.Fatalf("%s: %d entries", key, len(entries))
			}
			if got, err := bodyOf(t, entries[0]); err != nil || !bytes.Equal(got, bodyFor(key, 0, size)) {
				t.Fatalf("%s: %d bytes, %v", key, len(got), err)
			}
		}
	}
	key := "http://a/1000"
	e := lookup(t, b, key)[0]
	if _, inMemory := e.Bytes(); !inMemory {
		t.Error("a small body is not held in memory")
	}
	sets := func() string {
		return regexp.MustCompile(`cmdstat_set:calls=\d+`).FindString(n.CLI("INFO", "commandstats"))
	}
	before := sets()
	if _, err := b.Update(t.Context(), e, storedFor(key, 5)); err != nil {
		t.Fatal(err)
	}
	if after := sets(); after != before || before == "" {
		t.Errorf("a new head, and the body was written again: %s, %s", before, after)
	}
	waitFor(t, "the other node to see the new head", func() bool {
		entries := lookup(t, a, key)
		return len(entries) == 1 && version(entries[0]) == 5
	})
	if got, err := bodyOf(t, lookup(t, a, key)[0]); err != nil || !bytes.Equal(got, bodyFor(key, 0, 1000)) {
		t.Errorf("body after an update elsewhere: %d bytes, %v", len(got), err)
	}
	put(t, b, key, storedFor(key, 7, httpmsg.Field{Name: "foo", Value: "1"}), bodyFor(key, 1, 2000))
	waitFor(t, "the other node to see the variant", func() bool { return len(lookup(t, a, key)) == 2 })

	lookup(t, a, key)
	lookup(t, b, key)
	if got := a.Invalidate(t.Context(), key); got != 2 {
		t.Errorf("Invalidate removed %d, want 2", got)
	}
	if entries := lookup(t, a, key); len(entries) != 0 {
		t.Error("found where it was invalidated")
	}
	waitFor(t, "the invalidation to reach the other node", func() bool { return len(lookup(t, b, key)) == 0 })

	// What is in memory is found without a question to the engine.
	held := "http://a/1"
	lookup(t, b, held)
	reads := func() string {
		return regexp.MustCompile(`cmdstat_hgetall:calls=\d+`).FindString(n.CLI("INFO", "commandstats"))
	}
	before = reads()
	for range 100 {
		if len(lookup(t, b, held)) != 1 {
			t.Fatal("what is in memory is not found")
		}
	}
	if after := reads(); after != before {
		t.Errorf("lookups in memory have asked the engine: %s, %s", before, after)
	}

	// Too large to be shared: on its node alone, and invalidated from another.
	key = "http://a/large"
	put(t, a, key, storedFor(key, 1), bodyFor(key, 0, 1<<20))
	entries := lookup(t, a, key)
	if len(entries) != 1 || entries[0].Key != key {
		t.Fatalf("%d entries of a large response: %+v", len(entries), entries)
	}
	if got, err := bodyOf(t, entries[0]); err != nil || !bytes.Equal(got, bodyFor(key, 0, 1<<20)) {
		t.Errorf("a large body: %d bytes, %v", len(got), err)
	}
	if n := len(lookup(t, b, key)); n != 0 {
		t.Errorf("the other node has %d", n)
	}
	updated, err := a.Update(t.Context(), entries[0], storedFor(key, 3))
	if err != nil || version(updated) != 3 || version(lookup(t, a, key)[0]) != 3 {
		t.Errorf("Update of a large response: %v", err)
	}
	b.Invalidate(t.Context(), key)
	waitFor(t, "the invalidation to reach the node that has it", func() bool { return len(lookup(t, a, key)) == 0 })

	listed := 0
	a.List(func(i Info) bool { listed++; return true })
	if found := a.Find("http://a/1"); listed < 5 || len(found) != 1 || found[0].Size != 1 {
		t.Errorf("%d listed, %+v found", listed, found)
	}
	if got := b.Clear(t.Context()); got != 5 {
		t.Errorf("Clear removed %d, want 5", got)
	}
	waitFor(t, "the other node to be cleared", func() bool { return len(lookup(t, a, "http://a/1")) == 0 })
	if left := n.CLI("--scan", "--pattern", "t:b:*"); left != "" {
		t.Errorf("chunks are left:\n%s", left)
	}
}

// A node that was stopped does not serve what was invalidated meanwhile, not
// even before it has read what the engine has sent it.
func TestRedisNodeAway(t *testing.T) {
	n := redistest.Start(t)
	a := openRedis(t, RedisOptions{URL: n.URL("t:")})
	b := openRedis(t, RedisOptions{URL: n.URL("t:")})
	const key = "http://a/"
	put(t, a, key, storedFor(key, 1), make([]byte, 100))
	lookup(t, b, key)
	// As if b had been stopped and had just been woken: its beat is old.
	b.beat.Store(time.Now().Add(-time.Minute).UnixNano())
	a.Invalidate(t.Context(), key)
	b.beat.Store(time.Now().Add(-time.Minute).UnixNano())
	if n := len(lookup(t, b, key)); n != 0 {
		t.Errorf("%d found after waking", n)
	}
}

// A response stays in the engine as long as it is of use to anybody.
func TestRedisExpiry(t *testing.T) {
	n := redistest.Start(t)
	r := openRedis(t, RedisOptions{URL: n.URL("t:")})
	const day = 24 * time.Hour
	for field, want := range map[string]time.Duration{
		"Cache-Control: max-age=1000":                                1000*time.Second + day, // if the origin is gone
		"Cache-Control: max-age=1000, must-revalidate":               1000 * time.Second,
		"Cache-Control: s-maxage=1000":                               1000 * time.Second,
		"Cache-Control: max-age=1000, stale-if-error=500":            1500 * time.Second,
		"Cache-Control: max-age=1000, stale-while-revalidate=200000": 201_000 * time.Second,
		"Cache-Control: max-age=1000, must-revalidate\nETag: \"a\"":  1000*time.Second + day, // to be validated
		"Cache-Control: no-cache\nETag: \"a\"":                       day,
		"Age: 400\nCache-Control: s-maxage=1000":                     600 * time.Second,
	} {
		now := time.Now()
		head := rules.Head{Status: 200, RequestTime: now, ResponseTime: now, Total: -1}
		for line := range strings.SplitSeq(field, "\n") {
			name, value, _ := strings.Cut(line, ": ")
			head.Fields.Add(name, value)
		}
		key := "http://a/" + field
		e := put(t, r, key, rules.NewStored(head, rules.Config{}), make([]byte, 300<<10))
		check := func(of string) {
			t.Helper()
			ms, err := strconv.Atoi(n.CLI("PTTL", of))
			if left := time.Duration(ms) * time.Millisecond; err != nil || left > want || left < want-10*time.Second {
				t.Errorf("%s: %s stays for %v, %v, want %v", field, of, left, err, want)
			}
		}
		p := primaryOf(key)
		id := e.content.source.(*redisBody).id
		check(r.hashKey(p))
		check(r.chunkKey(p, id, 0))
		head.Fields.Set("Cache-Control", "max-age=300000, must-revalidate") // as a 304 may say
		if _, err := r.Update(t.Context(), e, rules.NewStored(head, rules.Config{})); err != nil {
			t.Fatal(err)
		}
		want = 300_000 * time.Second
		if head.Fields.Has("ETag") {
			want += day
		}
		if head.Fields.Has("Age") {
			want -= 400 * time.Second
		}
		check(r.hashKey(p))
		check(r.chunkKey(p, id, 1))
	}
}

// One of all nodes gets a lease, the others wait for what it stores. One that
// dies is replaced, and what it brings later is refused.
func TestRedisLease(t *testing.T) {
	n := redistest.Start(t)
	nodes := []*Redis{}
	for range 3 {
		nodes = append(nodes, openRedis(t, RedisOptions{URL: n.URL("t:")}))
	}
	for round := range 5 {
		key := fmt.Sprintf("http://a/%d", round)
		var fetched, served atomic.Int32
		var tasks sync.WaitGroup
		for _, node := range nodes {
			tasks.Go(func() {
				for {
					if len(lookup(t, node, key)) > 0 {
						served.Add(1)
						return
					}
					release := node.Lease(t.Context(), key)
					if entries, gen := node.Lookup(t.Context(), key); len(entries) == 0 {
						fetched.Add(1)
						time.Sleep(50 * time.Millisecond) // the origin
						w, err := node.Create(t.Context(), key, gen, 3)
						if err == nil {
							w.Write([]byte("abc"))
							_, err = w.Commit(storedFor(key, 1))
							w.Close()
						}
						if err != nil {
							t.Error(err)
						}
					}
					release()
				}
			})
		}
		tasks.Wait()
		if fetched.Load() != 1 || served.Load() != 3 {
			t.Errorf("%d fetched, %d served, want 1 and 3", fetched.Load(), served.Load())
		}
	}

	// The first holder falls asleep: its lease is not renewed.
	const key = "http://a/late"
	p := primaryOf(key)
	_, gen := nodes[0].Lookup(t.Context(), key)
	release := nodes[0].Lease(t.Context(), key)
	defer release()
	w, err := nodes[0].Create(t.Context(), key, gen, 4)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	w.Write([]byte("late"))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	nodes[1].Lease(ctx, key)
	if ctx.Err() == nil || nodes[1].token(p) != "" {
		t.Error("a second lease beside the first")
	}
	n.CLI("DEL", nodes[0].leaseKey(p)) // it has expired
	second := nodes[1].Lease(t.Context(), key)
	if nodes[1].token(p) == "" {
		t.Fatal("no lease after the first has expired")
	}
	if e, err := w.Commit(storedFor(key, 1)); !errors.Is(err, ErrGone) {
		t.Errorf("a late holder has stored: %v, %v", e, err)
	}
	if _, err = commit(t, nodes[1], key, storedFor(key, 2), []byte("good")); err != nil {
		t.Error(err)
	}
	second()

	// A holder that is dead lets the others wait for its lease's life, no more.
	dead := openRedis(t, RedisOptions{URL: n.URL("t:")})
	dead.Lease(t.Context(), "http://a/dead")
	n.CLI("SET", dead.leaseKey(primaryOf("http://a/dead")), "another", "PX", "300") // nobody renews it
	began := time.Now()
	nodes[1].Lease(t.Context(), "http://a/dead")
	if took := time.Since(began); took < 200*time.Millisecond || took >= leaseLife {
		t.Errorf("waited %v for a dead holder", took)
	}
}

func BenchmarkRedis(b *testing.B) {
	n := redistest.Start(b)
	r, err := OpenRedis(RedisOptions{URL: n.URL("t:"), Patience: time.Second})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	for _, size := range []int{1 << 10, 100 << 10, 1 << 20} {
		key := "http://a/" + strconv.Itoa(size)
		if _, err = commit(b, r, key, storedFor(key, 1), make([]byte, size)); err != nil {
			b.Fatal(err)
		}
		b.Run("memory/"+strconv.Itoa(size), func(b *testing.B) {
			for b.Loop() {
				entries, _ := r.Lookup(b.Context(), key)
				if body, err := entries[0].Open(); err != nil || body.Size() != int64(size) {
					b.Fatal(err)
				}
			}
		})
		b.Run("engine/"+strconv.Itoa(size), func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				r.mem.mu.Lock()
				r.mem.clear()
				r.mem.mu.Unlock()
				entries, _ := r.Lookup(b.Context(), key)
				if len(entries) == 0 {
					b.Fatal("gone")
				}
				if body, err := entries[0].Open(); err != nil || body.Size() != int64(size) {
					b.Fatal(err)
				}
			}
		})
	}
}
