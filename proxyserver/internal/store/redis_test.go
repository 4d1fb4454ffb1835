package store

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
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
		o.Patience = 300 * time.Millisecond // the machine may be busy with other tests
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
	sets := func() string { return regexp.MustCompile(`cmdstat_set:calls=\d+`).FindString(n.CLI("INFO", "commandstats")) }
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

// An engine that is down, stopped, or empty: nothing is lost that this node
// knows, nothing wrong comes back, one line each in the log.
func TestRedisDown(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	n := redistest.Start(t)
	a := openRedis(t, RedisOptions{URL: n.URL("t:"), Log: zap.New(core)})
	b := openRedis(t, RedisOptions{URL: n.URL("t:")})
	old, known, gone := "http://a/old", "http://a/known", "http://a/gone"
	for _, key := range []string{old, known, gone} {
		put(t, a, key, storedFor(key, 1), bodyFor(key, 1, 1000))
		lookup(t, a, key)
		lookup(t, b, key)
	}
	for name, fail := range map[string]struct{ down, up func() }{
		"stopped": {func() { n.Stop() }, func() { n.Continue() }},
		"killed":  {n.Kill, n.Start},
	} {
		logs.TakeAll()
		for _, key := range []string{known, gone} {
			if len(lookup(t, a, key)) == 0 {
				put(t, a, key, storedFor(key, 1), bodyFor(key, 1, 1000))
			}
			lookup(t, a, key)
		}
		fail.down()
		waitFor(t, "the engine to count as down", func() bool { _, down := a.Outages(); return down })
		began := time.Now()
		if entries := lookup(t, a, known); len(entries) != 1 {
			t.Errorf("%s: %d found of what was in memory", name, len(entries))
		} else if got, err := bodyOf(t, entries[0]); err != nil || !bytes.Equal(got, bodyFor(known, 1, 1000)) {
			t.Errorf("%s: its body: %v", name, err)
		}
		key := "http://a/new/" + name
		put(t, a, key, storedFor(key, 1), bodyFor(key, 1, 1000))
		if len(lookup(t, a, key)) != 1 {
			t.Errorf("%s: what was stored meanwhile is not found", name)
		}
		a.Invalidate(t.Context(), gone)
		a.Invalidate(t.Context(), key)
		if len(lookup(t, a, gone))+len(lookup(t, a, key)) != 0 {
			t.Errorf("%s: found after it was invalidated", name)
		}
		if took := time.Since(began); took > 500*time.Millisecond {
			t.Errorf("%s: it took %v", name, took)
		}
		fail.up()
		waitFor(t, "the engine to count as up", func() bool { _, down := a.Outages(); return !down })
		waitFor(t, "the other node as well", func() bool { _, down := b.Outages(); return !down })
		if len(lookup(t, a, gone))+len(lookup(t, b, gone)) != 0 {
			t.Errorf("%s: what was invalidated meanwhile is found again", name)
		}
		if name == "killed" && len(lookup(t, a, known))+len(lookup(t, b, known)) != 0 {
			t.Errorf("%s: the engine is empty, and memory is not", name)
		}
		if logs.Len() != 2 {
			t.Errorf("%s: %d lines in the log, want 2: %v", name, logs.Len(), logs.All())
		}
	}
}

// An engine that is full refuses what is stored, with one line; what is there
// can be read.
func TestRedisFull(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	n := redistest.Start(t, "--maxmemory", "8mb", "--maxmemory-policy", "noeviction")
	r := openRedis(t, RedisOptions{URL: n.URL("t:"), Log: zap.New(core)})
	refused, hits := 0, 0
	for i := range 40 {
		key := fmt.Sprintf("http://a/%d", i)
		if _, err := commit(t, r, key, storedFor(key, 1), bodyFor(key, 0, 500<<10)); err != nil {
			refused++
		}
	}
	for i := range 40 {
		key := fmt.Sprintf("http://a/%d", i)
		for _, e := range lookup(t, r, key) {
			if got, err := bodyOf(t, e); err == nil && bytes.Equal(got, bodyFor(key, 0, 500<<10)) {
				hits++
			} else {
				t.Errorf("%s: %d bytes, %v", key, len(got), err)
			}
		}
	}
	if refused == 0 || hits == 0 || refused+hits != 40 {
		t.Errorf("%d refused, %d hits of 40", refused, hits)
	}
	if _, down := r.Outages(); down || logs.Len() != 1 {
		t.Errorf("down: %v, %d lines, want one that it is full: %v", down, logs.Len(), logs.All())
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

// A body is handed out whole and right or not at all.
func TestRedisDamage(t *testing.T) {
	n := redistest.Start(t)
	r := openRedis(t, RedisOptions{URL: n.URL("t:"), Memory: 1 << 20}) // bodies do not stay in memory
	for name, damage := range map[string]func(chunk string){
		"a chunk is gone":    func(c string) { n.CLI("DEL", c) },
		"a chunk is changed": func(c string) { n.CLI("SETRANGE", c, "1000", "x") },
		"a chunk is short":   func(c string) { n.CLI("SET", c, "x") },
		"a chunk is long":    func(c string) { n.CLI("APPEND", c, "x") },
		"a chunk is no text": func(c string) { n.CLI("DEL", c); n.CLI("RPUSH", c, "x") },
	} {
		key := "http://a/" + name
		put(t, r, key, storedFor(key, 1), bodyFor(key, 0, 600<<10))
		chunks := strings.Fields(n.CLI("--scan", "--pattern", "t:b:*"))
		if len(chunks) != 3 {
			t.Fatalf("%s: chunks %q, want 3", name, chunks)
		}
		damage(chunks[rand.IntN(3)])
		entries := lookup(t, r, key)
		if len(entries) != 1 {
			t.Fatalf("%s: %d entries", name, len(entries))
		}
		if got, err := bodyOf(t, entries[0]); !errors.Is(err, ErrGone) && name != "a chunk is no text" || err == nil {
			t.Errorf("%s: %d bytes, %v, want ErrGone", name, len(got), err)
		}
		r.Invalidate(t.Context(), key)
	}
	key := "http://a/record"
	put(t, r, key, storedFor(key, 1), make([]byte, 10))
	hash := r.hashKey(primaryOf(key))
	for field := range strings.FieldsSeq(n.CLI("HKEYS", hash)) {
		if field[0] == 'v' {
			n.CLI("HSET", hash, field, "nonsense")
		}
	}
	if n := len(lookup(t, r, key)); n != 0 {
		t.Errorf("%d entries of a record that is nonsense", n)
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
	if took := time.Since(began); took < 200*time.Millisecond || took > 2*time.Second {
		t.Errorf("waited %v for a dead holder", took)
	}
}

// Three engines in a cluster are one store.
func TestRedisCluster(t *testing.T) {
	var hosts []string
	var engines []*redistest.Engine
	for range 3 {
		n := redistest.Start(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "1000")
		engines = append(engines, n)
		hosts = append(hosts, n.Addr())
	}
	first := engines[0]
	first.CLI(append([]string{"--cluster", "create", "--cluster-yes"}, hosts...)...)
	whole := func() bool {
		for _, n := range engines {
			if !strings.Contains(n.CLI("CLUSTER", "INFO"), "cluster_state:ok") {
				return false
			}
		}
		return true
	}
	waitFor(t, "the cluster", whole)
	a := openRedis(t, RedisOptions{URL: "redis+cluster://" + strings.Join(hosts, ",")})
	b := openRedis(t, RedisOptions{URL: "redis+cluster://" + hosts[0]})
	for i := range 30 {
		key := fmt.Sprintf("http://a/%d", i)
		put(t, a, key, storedFor(key, 1), bodyFor(key, 0, 300<<10))
		entries := lookup(t, b, key)
		if len(entries) != 1 {
			t.Fatalf("%s: %d entries", key, len(entries))
		}
		if got, err := bodyOf(t, entries[0]); err != nil || !bytes.Equal(got, bodyFor(key, 0, 300<<10)) {
			t.Fatalf("%s: %d bytes, %v", key, len(got), err)
		}
		if i%3 == 0 {
			b.Invalidate(t.Context(), key)
			waitFor(t, "the invalidation", func() bool { return len(lookup(t, a, key)) == 0 })
		}
	}
	// A third of it stands still while a purge happens.
	var there []string // what that third has
	for hash := range strings.FieldsSeq(first.CLI("--scan", "--pattern", "topdown:h:*")) {
		if p, ok := a.primaryIn(hash); ok {
			for i := range 30 {
				if key := fmt.Sprintf("http://a/%d", i); i%3 != 0 && primaryOf(key) == p {
					there = append(there, key)
				}
			}
		}
	}
	first.Stop()
	a.Invalidate(t.Context(), there[0])
	if n := len(lookup(t, a, there[0])); n != 0 {
		t.Error("found where it was purged")
	}
	for _, node := range []*Redis{a, b} {
		waitFor(t, "the cluster to count as down", func() bool { _, down := node.Outages(); return down })
	}
	first.Continue()
	waitFor(t, "the cluster to be whole", whole)
	for _, node := range []*Redis{a, b} {
		waitFor(t, "the cluster to count as up", func() bool { _, down := node.Outages(); return !down })
	}
	waitFor(t, "the purge to reach the other node", func() bool { return len(lookup(t, b, there[0])) == 0 })
	put(t, a, there[0], storedFor(there[0], 2), nil)
	if n := b.Clear(t.Context()); n != 20 {
		t.Errorf("Clear removed %d, want 20", n)
	}
}

// Valkey is as good as Redis, where it is installed: Debian 12 has it in its
// backports alone.
func TestValkey(t *testing.T) {
	if _, err := exec.LookPath("valkey-server"); err != nil {
		t.Skip("valkey-server is not installed")
	}
	t.Setenv("TOPDOWN_ENGINE", "valkey")
	t.Run("nodes", TestRedisNodes)
	t.Run("down", TestRedisDown)
	t.Run("full", TestRedisFull)
	t.Run("lease", TestRedisLease)
	t.Run("cluster", TestRedisCluster)
}

// chaosProxy passes a connection on, and cuts it in the middle at times.
func chaosProxy(t *testing.T, to string, cut *atomic.Bool) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer client.Close()
				server, err := net.Dial("tcp", to)
				if err != nil {
					return
				}
				defer server.Close()
				go io.Copy(server, client)
				buf := make([]byte, 64<<10)
				for {
					n, err := server.Read(buf)
					if err != nil {
						return
					}
					if cut.Load() && rand.IntN(50) == 0 {
						client.Write(buf[:n/2])
						return
					}
					if _, err = client.Write(buf[:n]); err != nil {
						return
					}
				}
			}()
		}
	}()
	return ln.Addr().String()
}

// Whatever happens to the engine, three nodes serve what was stored, whole, and
// not what was invalidated on the same node; no call takes long.
func TestRedisChaos(t *testing.T) {
	requests := 5000
	if os.Getenv("TOPDOWN_REQUIRE_REAL") == "1" {
		requests = 100_000 // minutes of it under the race detector
	}
	n := redistest.Start(t, "--maxmemory", "24mb", "--maxmemory-policy", "noeviction", "--enable-debug-command", "local")
	fill := func() {
		n.CLI("DEBUG", "POPULATE", "300", "filler", "100000")
		if out := n.CLI("EVAL", "return redis.pcall('SET', KEYS[1], 'x').err or 'taken'", "1", "one-more"); !strings.Contains(out, "OOM") {
			t.Errorf("the engine is not full: %s", out)
		}
	}
	var cut atomic.Bool
	addr := chaosProxy(t, n.Addr(), &cut)
	const (
		keys     = 60
		patience = 300 * time.Millisecond // with all these workers on few processors
	)
	var nodes []*Redis
	allowed := make([][keys]atomic.Int64, 3) // per node: the oldest version that it may find
	for range 3 {
		nodes = append(nodes, openRedis(t, RedisOptions{URL: "redis://" + addr, Memory: 4 << 20, Patience: patience}))
	}
	var clock, hits, done, slow atomic.Int64
	var over atomic.Bool
	var tasks sync.WaitGroup
	for worker := range 6 {
		tasks.Go(func() {
			node, limit := nodes[worker%3], &allowed[worker%3]
			for ; !over.Load(); done.Add(1) {
				i := rand.IntN(keys)
				key := fmt.Sprintf("http://a/%d", i)
				size := 1 + i*i*80
				least := limit[i].Load()
				began := time.Now()
				entries, gen := node.Lookup(t.Context(), key)
				took := time.Since(began)
				for _, e := range entries {
					if v := version(e); v < least {
						t.Errorf("%s: version %d is found on a node that had invalidated all before %d", key, v, least)
					}
					began = time.Now()
					got, err := bodyOf(t, e)
					took += time.Since(began)
					if err == nil {
						hits.Add(1)
						if !bytes.Equal(got, bodyFor(key, int(version(e)), size)) {
							t.Errorf("%s: wrong body of %d bytes", key, len(got))
						}
					}
				}
				switch {
				case rand.IntN(100) == 0:
					before := clock.Add(1)
					began = time.Now()
					node.Invalidate(t.Context(), key)
					took += time.Since(began)
					limit[i].Store(before)
				case len(entries) == 0:
					at := clock.Add(1)
					body := bodyFor(key, int(at), size)
					began = time.Now()
					if w, err := node.Create(t.Context(), key, gen, -1); err == nil {
						if _, err = w.Write(body); err == nil {
							w.Commit(storedFor(key, at))
						}
						w.Close()
					}
					took += time.Since(began)
				}
				if took > 20*patience {
					slow.Add(1)
				}
			}
		})
	}
	each := func(wantDown bool) func() bool { // has been so since
		var was [3]bool
		return func() bool {
			for i, node := range nodes {
				_, down := node.Outages()
				was[i] = was[i] || down == wantDown
			}
			return was == [3]bool{true, true, true}
		}
	}
	var since int64
	more := func() bool { return done.Load() > since+500 }
	rounds := 0
	for ; rounds == 0 || done.Load() < int64(requests); rounds++ {
		for _, trouble := range []struct {
			what  string
			begin func()
			until func() bool
		}{
			{"connections that are cut", func() { cut.Store(true) }, more},
			{"whole connections", func() { cut.Store(false) }, each(false)},
			{"an engine that stands still", n.Stop, each(true)},
			{"one that goes on", n.Continue, each(false)},
			{"one that is killed", n.Kill, each(true)},
			{"one that is empty", n.Start, each(false)},
			{"one that is full", fill, more},
			{"one that is emptied", func() { n.CLI("FLUSHALL") }, each(false)},
		} {
			since = done.Load()
			trouble.begin()
			waitFor(t, trouble.what, trouble.until)
		}
	}
	over.Store(true)
	tasks.Wait()
	if hits.Load() < int64(requests)/10 || slow.Load() > int64(requests)/1000 {
		t.Errorf("%d hits, %d slow of %d requests", hits.Load(), slow.Load(), requests)
	}
	for i, node := range nodes {
		if downs, _ := node.Outages(); downs < uint64(2*rounds) {
			t.Errorf("node %d: %d outages in %d rounds", i, downs, rounds)
		}
	}
	t.Logf("%d hits in %d requests, %d rounds of trouble", hits.Load(), done.Load(), rounds)
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
