package store

import (
	"context"
	"strconv"
	"time"

	"github.com/redis/rueidis"
)

// Lookup implements Store. An engine that does not answer at once is an empty
// answer, with a generation under which nothing will be stored.
func (r *Redis) Lookup(ctx context.Context, key string) ([]*Entry, Generation) {
	p := primaryOf(key)
	s, known := r.remembered(p)
	if !known {
		s = r.lookupShared(ctx, key, p)
	}
	entries := under(s.entries, key)
	if !s.local {
		return entries, s.generation
	}
	local, _ := r.local.Lookup(ctx, localKey(key, s.generation))
	if len(local) == 0 {
		return entries, s.generation
	}
	all := make([]*Entry, 0, len(entries)+len(local))
	for _, e := range local {
		all = append(all, r.renamed(e))
	}
	all = append(all, entries...)
	sortEntries(all)
	return all, s.generation
}

// remembered returns what memory has under p, if that can be trusted. It asks
// nobody: a hit in memory costs no more with an engine than without
// (BenchmarkRedis).
func (r *Redis) remembered(p primary) (s set, ok bool) {
	now := time.Now().UnixNano()
	if r.outage.Load() != 0 || !r.awake(now) {
		return set{}, false
	}
	m := r.mem
	m.mu.Lock()
	defer m.mu.Unlock()
	if at := m.sets[p]; at != nil && now < at.trusted && at.epoch == r.epoch {
		m.queue.use(at.node)
		return *at, true
	}
	return set{}, false
}

// awake reports whether the process was running all the time until now: one
// that was stopped has perhaps not read yet what the engine has said meanwhile.
func (r *Redis) awake(now int64) bool { return now-r.beat.Load() < int64(4*redisBeat) }

// lookupShared asks the engine, and keeps what it answers in memory.
func (r *Redis) lookupShared(ctx context.Context, key string, p primary) set {
	m := r.mem
	m.mu.Lock()
	known, _ := m.get(p)
	before, epoch := m.counter(p).changes, r.epoch
	m.mu.Unlock()
	fields, err := r.readHash(ctx, p)
	if err != nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		if outage := r.outage.Load(); outage != 0 {
			// On with what was right when the engine was last heard.
			if known, _ = m.get(p); known != nil && m.sets[p].trusted == 0 {
				known = nil
			}
			return set{entries: known, generation: Generation(outage) | m.generation(p), local: r.kept.Load()}
		}
		return set{generation: redisAway}
	}
	number, err := strconv.ParseUint(fields["g"], 10, 62)
	if err != nil {
		return set{}
	}
	s := set{entries: r.entriesOf(key, fields, known), generation: Generation(number)}
	if r.kept.Load() {
		local, _ := r.local.Lookup(ctx, localKey(key, s.generation))
		s.local = len(local) > 0
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.counter(p).changes == before {
		m.put(p, nil)
		at := m.hold(p, s.entries)
		at.generation, at.local, at.epoch, at.trusted = s.generation, s.local, epoch, time.Now().Add(redisTrust).UnixNano()
	}
	return s
}

// readHash reads what the engine has under p. From then on the tracker is told
// of the next change.
func (r *Redis) readHash(ctx context.Context, p primary) (map[string]string, error) {
	client, err := r.up()
	if err != nil {
		return nil, err
	}
	ctx, cancel := r.patient(ctx, 1)
	defer cancel()
	hash := r.hashKey(p)
	fields, err := client.DoCache(ctx, client.B().Hgetall().Key(hash).Cache().ToStaticTTL(), redisTrust).AsStrMap()
	if _, answered := rueidis.IsRedisErr(err); answered {
		// A full engine refuses what a client is to be told of.
		fields, err = client.Do(ctx, client.B().Hgetall().Key(hash).Build()).AsStrMap()
		r.distrust(p)
	}
	return fields, err
}

// tracker hears what has changed in the engine. rueidis takes it for the cache
// of a connection; it holds nothing: that is memory's business.
type tracker struct{ redis *Redis }

// Flight implements rueidis.CacheStore: nothing is there.
func (tracker) Flight(string, string, time.Duration, time.Time) (v rueidis.RedisMessage, e rueidis.CacheEntry) {
	return v, nil
}

// Update implements rueidis.CacheStore.
func (tracker) Update(string, string, rueidis.RedisMessage) (pxat int64) { return 0 }

// Cancel implements rueidis.CacheStore.
func (tracker) Cancel(string, string, error) {}

// Delete is told the keys that have changed, nil for all.
func (t tracker) Delete(keys []rueidis.RedisMessage) {
	if keys == nil {
		t.redis.distrustAll()
	}
	for _, key := range keys {
		if hash, err := key.ToString(); err == nil {
			if p, ok := t.redis.primaryIn(hash); ok {
				t.redis.distrust(p)
			}
		}
	}
}

// Close is told that the connection is lost, and with it what was to come.
func (t tracker) Close(error) { t.redis.distrustAll() }

// distrust has the next lookup of a key ask the engine. What one under way
// brings is not kept.
func (r *Redis) distrust(p primary) {
	r.mem.mu.Lock()
	defer r.mem.mu.Unlock()
	r.mem.counter(p).changes++
	if s := r.mem.sets[p]; s != nil {
		s.trusted = 0
	}
}

// distrustAll does so for all keys.
func (r *Redis) distrustAll() {
	r.mem.mu.Lock()
	defer r.mem.mu.Unlock()
	r.epoch++
}
