package store

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"topdown/proxyserver/internal/rules"

	"github.com/redis/rueidis"
	"go.uber.org/zap"
)

// RedisOptions are the options of OpenRedis.
type RedisOptions struct {
	// URL is redis://[user@]host:port[/db][?prefix=…], rediss:// for TLS, or
	// redis+cluster://[user@]host:port,host:port…[?prefix=…]. The prefix goes
	// before every key, default "topdown:".
	URL      string
	Password string         // in the place of one in URL
	Roots    *x509.CertPool // whom rediss:// trusts, default the system's authorities
	Object   int64          // bytes of the largest body that is shared, default 1 MiB
	Memory   int64          // bytes held in memory in front of the engine, default 64 MiB
	Local    *Disk          // for larger bodies, and for all while the engine is down; Close closes it
	Patience time.Duration  // for an answer of the engine, default 20 ms: a slower one counts as down
	Rules    rules.Config   // what heads are read with
	Log      *zap.Logger    // default: none
}

// Redis is a store that several proxies share, in Redis 7 or Valkey. For each
// key there is a hash with the key's generation and a record for each stored
// response: its head, and where the body lies. A body is in chunks of 256 KiB,
// written before its record, and good only if all of it is there and its
// checksum is right.
//
// Each node holds heads and small bodies in memory and trusts them until the
// engine says that their key has changed, which it does unasked (see tracker).
// Bodies that are too large to share stay on the node that fetched them, in its
// local store, under the key and its generation, so that an invalidation on any
// node reaches them.
//
// An engine that is down, slow, full or empty costs hits, never answers: what
// is in memory and the local store go on.
type Redis struct {
	engine   atomic.Pointer[rueidis.Client] // nil until it was reached for the first time
	prefix   string
	name     string // the URL without a password
	object   int64
	small    int64
	patience time.Duration
	rules    rules.Config
	log      *zap.Logger
	local    *Disk
	kept     atomic.Bool // something has been stored there
	mem      *memory

	beat  atomic.Int64 // when the node last knew that it runs, in nanoseconds since 1970
	epoch uint64       // how often all that is in memory has lost its trust; mem.mu guards it

	downs   atomic.Uint64 // how often it went down
	outage  atomic.Uint64 // the first generation while the engine is down; 0 while it is up
	writing health

	stop    context.CancelFunc
	stopped context.Context //nolint:containedctx // the store's own
	tasks   sync.WaitGroup

	mu     sync.Mutex // guards what follows
	missed map[string]struct{}
	tokens map[primary]held // the leases that this node has
}

const (
	redisChunk  = 256 << 10
	redisTrust  = time.Minute            // for how long memory is trusted without a word of the engine
	redisBeat   = 100 * time.Millisecond // between looks at the engine
	redisLooks  = 3                      // in a row without an answer, and the engine counts as down; with one, as up
	redisMissed = 10_000                 // invalidations that are remembered for an engine that is down
	redisKept   = 24 * time.Hour         // how long a generation is kept that an invalidation made
	redisAway   = 1 << 63                // the bit of generations that are not the engine's
)

var errDown = errors.New("the shared store is down")

// OpenRedis connects to an engine. One that is down now is not an error.
func OpenRedis(o RedisOptions) (*Redis, error) {
	option, prefix, name, err := parseRedisURL(o.URL, o.Password)
	if err != nil {
		return nil, err
	}
	if o.Object <= 0 {
		o.Object = 1 << 20
	}
	if o.Memory <= 0 {
		o.Memory = 64 << 20
	}
	if o.Patience <= 0 {
		o.Patience = 20 * time.Millisecond
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Local == nil {
		o.Local = NewMemory(o.Memory, 0)
	}
	if option.TLSConfig != nil {
		option.TLSConfig.RootCAs = o.Roots
	}
	r := &Redis{
		prefix: prefix, name: name, object: o.Object, small: min(o.Object, o.Memory/16), patience: o.Patience, rules: o.Rules, log: o.Log,
		local: o.Local, mem: newMemory(o.Memory, o.Rules.Lab), missed: map[string]struct{}{}, tokens: map[primary]held{},
		writing: health{log: o.Log, what: "the shared store takes nothing", well: "the shared store takes responses again"},
	}
	r.kept.Store(o.Local.dir != "")
	r.stopped, r.stop = context.WithCancel(context.Background())
	option.NewCacheStoreFn = func(rueidis.CacheStoreOption) rueidis.CacheStore { return tracker{r} }
	if err := r.connect(option); err != nil {
		r.goDown(err)
	}
	r.beat.Store(time.Now().UnixNano())
	r.tasks.Go(func() { r.watch(option) })
	return r, nil
}

// HasPassword reports whether a URL for OpenRedis has a password in it.
func HasPassword(raw string) bool {
	_, rest, _ := strings.Cut(raw, "://")
	at := strings.LastIndexByte(rest, '@')
	return at >= 0 && strings.Contains(rest[:at], ":")
}

// parseRedisURL reads the URL; name is how it may be shown.
func parseRedisURL(raw, password string) (option rueidis.ClientOption, prefix, name string, err error) {
	fail := func(why string) error {
		return fmt.Errorf("the shared store's URL is redis://[user@]host:port[/db][?prefix=…]: %s", why)
	}
	scheme, rest, _ := strings.Cut(raw, "://")
	cluster := scheme == "redis+cluster"
	if scheme != "redis" && scheme != "rediss" && !cluster {
		return option, "", "", fail("the scheme is redis, rediss or redis+cluster")
	}
	// A list of hosts is nothing that net/url knows; it is checked one by one.
	rest, query, _ := strings.Cut(rest, "?")
	rest, db, _ := strings.Cut(rest, "/")
	at := strings.LastIndexByte(rest, '@')
	hosts := strings.Split(rest[at+1:], ",")
	if len(hosts) > 1 && !cluster {
		return option, "", "", fail("only redis+cluster has several hosts")
	}
	for i, host := range hosts {
		u, bad := url.Parse("redis://" + host)
		if bad != nil || u.Hostname() == "" {
			return option, "", "", fail(strconv.Quote(host) + " is no host:port")
		}
		if u.Port() == "" {
			hosts[i] = host + ":6379"
		}
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return option, "", "", fail("the part after ? cannot be read")
	}
	prefix = "topdown:"
	for k := range values {
		if k != "prefix" {
			return option, "", "", fail(strconv.Quote(k) + " is not known")
		}
		prefix = values.Get(k)
	}
	option = rueidis.ClientOption{
		InitAddress: hosts, ForceSingleClient: !cluster, DisableRetry: true, ClientName: "topdown",
		ConnWriteTimeout: time.Second, Password: password,
		// A node knows what it has changed itself.
		ClientTrackingOptions: []string{"OPTIN", "NOLOOP"},
	}
	option.Dialer.Timeout = time.Second
	if db != "" {
		if option.SelectDB, err = strconv.Atoi(db); err != nil || cluster && option.SelectDB != 0 {
			return option, "", "", fail(strconv.Quote(db) + " is no number of a database")
		}
	}
	user := ""
	if at >= 0 {
		user, err = url.PathUnescape(rest[:at])
		if err != nil {
			return option, "", "", fail("the user cannot be read")
		}
		var secret string
		if option.Username, secret, _ = strings.Cut(user, ":"); password == "" {
			option.Password = secret
		}
	}
	if scheme == "rediss" {
		host, _, err := net.SplitHostPort(hosts[0])
		if err != nil {
			return option, "", "", fail(strconv.Quote(hosts[0]) + " is no host:port")
		}
		option.TLSConfig = &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	}
	return option, prefix, scheme + "://" + strings.Join(hosts, ","), nil
}

// connect makes the client, which connects again by itself later.
func (r *Redis) connect(option rueidis.ClientOption) error {
	client, err := rueidis.NewClient(option)
	if err == nil {
		r.engine.Store(&client)
	}
	return err
}

// watch looks at the engine as long as the store is open.
func (r *Redis) watch(option rueidis.ClientOption) {
	tick := time.NewTicker(redisBeat)
	defer tick.Stop()
	good, bad := 0, 0 // looks in a row
	for {
		select {
		case <-r.stopped.Done():
			return
		case <-tick.C:
		}
		now := time.Now().UnixNano()
		if !r.awake(now) {
			r.distrustAll()
		}
		r.beat.Store(now)
		err := r.ping(option)
		late := time.Now().UnixNano()-now > int64(2*r.patience)
		switch {
		case err == nil:
			bad = 0
			if good++; r.outage.Load() != 0 && good >= redisLooks {
				r.comeBack()
			}
		case r.stopped.Err() == nil:
			// Where this process had to wait for a processor as long as that,
			// the engine may have answered in time.
			if good = 0; !late || r.outage.Load() != 0 {
				bad++
			}
			if bad >= redisLooks {
				r.goDown(err)
			}
		}
	}
}

// ping asks for a key that is not there: in a cluster that has lost a part, or an
// engine that still loads, a PING would be answered.
func (r *Redis) ping(option rueidis.ClientOption) error {
	client := r.engine.Load()
	if client == nil {
		return r.connect(option)
	}
	ctx, cancel := r.patient(r.stopped, 1)
	defer cancel()
	err := (*client).Do(ctx, (*client).B().Get().Key(r.prefix+"look:"+strconv.Itoa(rand.Int())).Build()).Error()
	if rueidis.IsRedisNil(err) {
		return nil
	}
	return err
}

// goDown begins an outage. Its generations are its own, so that what is stored
// in it is not found after it, when an invalidation may have been missed.
func (r *Redis) goDown(err error) {
	if r.outage.CompareAndSwap(0, redisAway|uint64(rand.Uint32N(1<<31-1)+1)<<32) {
		r.downs.Add(1)
		r.log.Warn("cache: the shared store is down; this proxy goes on with its own", zap.String("store", r.name), zap.Error(inWords(err)))
	}
}

// inWords says what to do about an engine that does not let this proxy in.
func inWords(err error) error {
	said, answered := rueidis.IsRedisErr(err)
	switch {
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return errors.New("nobody whom this proxy trusts has issued its certificate; give the authority's with --store-ca-file")
	case answered && strings.HasPrefix(said.Error(), "NOAUTH"):
		return errors.New("it asks for a password; give it with --store-password-file")
	}
	return err
}

// comeBack ends an outage, after the engine has been told what was invalidated.
func (r *Redis) comeBack() {
	for {
		r.mu.Lock()
		missed := r.missed
		if len(missed) == 0 {
			r.outage.Store(0) // with mu locked: no further one is noted
			r.mu.Unlock()
			r.log.Info("cache: the shared store is there again", zap.String("store", r.name))
			return
		}
		r.missed = map[string]struct{}{}
		r.mu.Unlock()
		for key := range missed {
			_, err := r.invalidateEngine(r.stopped, key)
			if err == nil {
				delete(missed, key)
				continue
			}
			r.mu.Lock()
			for key := range missed {
				r.missed[key] = struct{}{}
			}
			r.mu.Unlock()
			return // the next beat tries again
		}
	}
}

// miss notes an invalidation that the engine could not be told of; false if it
// is there again.
func (r *Redis) miss(key string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.outage.Load() == 0 {
		return false
	}
	if len(r.missed) >= redisMissed {
		r.missed = map[string]struct{}{everything: {}}
	}
	if _, all := r.missed[everything]; !all {
		r.missed[key] = struct{}{}
	}
	return true
}

// everything stands for all keys among those that were invalidated.
const everything = ""

// Close implements Store. It closes the local store too.
func (r *Redis) Close() error {
	r.stop()
	r.tasks.Wait()
	if client := r.engine.Load(); client != nil {
		(*client).Close()
	}
	return r.local.Close()
}

// Stats returns the figures of now: of this node's memory and local store. What
// only the engine has is not counted, which would take a look at every key.
func (r *Redis) Stats() Stats {
	s := r.local.Stats()
	r.mem.mu.Lock()
	defer r.mem.mu.Unlock()
	s.Entries += r.mem.entries
	s.Bytes += r.mem.bytes
	s.HotBytes += r.mem.bytes
	s.Evictions += r.mem.evicted
	s.Failing = s.Failing || r.outage.Load() != 0
	return s
}

// Outages returns how often the engine went down, and whether it is down now.
func (r *Redis) Outages() (n uint64, down bool) { return r.downs.Load(), r.outage.Load() != 0 }
