package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"topdown/proxyserver/internal/freeport"
	"topdown/proxyserver/internal/redistest"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

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
		if took := time.Since(began); took > 1900*time.Millisecond { // one that waits for the engine does for 2 s
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

// Three engines in a cluster are one store.
func TestRedisCluster(t *testing.T) {
	var hosts, nodes []string
	var engines []*redistest.Engine
	for range 3 {
		// Else their own port is 10000 above, where the system gives it to anybody.
		among := strconv.Itoa(freeport.Take(t))
		n := redistest.Start(t, "--cluster-enabled", "yes", "--cluster-port", among, "--cluster-node-timeout", "1000")
		engines = append(engines, n)
		hosts = append(hosts, n.Addr())
		nodes = append(nodes, n.Addr()+"@"+among)
	}
	first := engines[0]
	first.CLI(append([]string{"--cluster", "create", "--cluster-yes"}, nodes...)...)
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
	requests := 3000
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
	pace := time.Tick(200 * time.Microsecond) // some processor is left for the engine
	var tasks sync.WaitGroup
	for worker := range 6 {
		tasks.Go(func() {
			node, limit := nodes[worker%3], &allowed[worker%3]
			for ; !over.Load(); done.Add(1) {
				<-pace
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
