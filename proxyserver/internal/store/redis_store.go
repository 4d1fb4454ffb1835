package store

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"topdown/proxyserver/internal/rules"

	"github.com/redis/rueidis"
)

// up returns the client, or errDown.
func (r *Redis) up() (rueidis.Client, error) {
	client := r.engine.Load()
	if client == nil || r.outage.Load() != 0 {
		return nil, errDown
	}
	return *client, nil
}

// patient is ctx for some answers of the engine. That a client has gone is not
// the engine's fault, so it does not count.
func (r *Redis) patient(ctx context.Context, answers int) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), time.Duration(answers)*r.patience)
}

// checkWrite notes whether the engine took something that was to be stored, and
// returns err. It may be full.
func (r *Redis) checkWrite(err error) error {
	if no, answered := rueidis.IsRedisErr(err); err == nil || answered && !no.IsNil() {
		r.writing.report("store a response in "+r.name, err)
	}
	return err
}

// newGeneration is never 0, which stands for a key without one, and never one of
// an outage.
func newGeneration() Generation { return Generation(rand.Int64N(1<<62) + 1) }

func (g Generation) String() string { return strconv.FormatUint(uint64(g), 10) }

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// lifeOf is how long a response stays in the engine.
func lifeOf(stored *rules.Stored) time.Duration { return max(stored.Life(), time.Second) }

// localKey is the key in the local store of what is stored of a key in a
// generation.
func localKey(key string, gen Generation) string { return key + "\n" + gen.String() }

// renamed is an entry of the local store as an entry of this one.
func (r *Redis) renamed(e *Entry) *Entry {
	shown := *e
	shown.Key, _, _ = strings.Cut(e.Key, "\n")
	shown.local = e
	return &shown
}

// changed notes that this node has changed a key, and that e, if it is not nil,
// is the newest there: its body need not be read again.
func (r *Redis) changed(p primary, e *Entry) {
	r.mem.mu.Lock()
	defer r.mem.mu.Unlock()
	var entries []*Entry
	if e != nil {
		known, _ := r.mem.get(p)
		entries, _ = replaced(known, e)
	}
	r.mem.put(p, entries)
	if s := r.mem.sets[p]; s != nil {
		s.trusted = 1 // right, but the engine is asked for the rest
	}
}

// Limit implements Store.
func (r *Redis) Limit() int64 { return max(r.object, r.local.Limit()) }

// Update implements Store: the record alone is written.
func (r *Redis) Update(ctx context.Context, e *Entry, stored *rules.Stored) (*Entry, error) {
	if e.local != nil {
		updated, err := r.local.Update(ctx, e.local, stored)
		if err != nil {
			return nil, err
		}
		return r.renamed(updated), nil
	}
	client, err := r.up()
	at, ok := e.content.source.(*redisBody)
	if err != nil || !ok {
		return nil, errors.Join(ErrGone, err)
	}
	p, life := primaryOf(e.Key), lifeOf(stored)
	rec := record{until: time.Now().Add(life), size: e.Size, sum: at.sum, id: at.id, head: encodeHead(e.Key, &stored.Head)}
	ctx, cancel := r.patient(ctx, 5)
	defer cancel()
	var longer []rueidis.Completed
	for n := range chunksOf(e.Size) {
		longer = append(longer, client.B().Pexpire().Key(r.chunkKey(p, at.id, n)).Milliseconds(life.Milliseconds()).Gt().Build())
	}
	client.DoMulti(ctx, longer...) // where that fails the next one does as well
	done, err := updateRecord.Exec(ctx, client, []string{r.hashKey(p)}, []string{
		at.id, fieldOf(&e.Stored.Head), fieldOf(&stored.Head), rec.encode(), milliseconds(life),
	}).AsInt64()
	if r.checkWrite(err) != nil || done == 0 {
		r.changed(p, nil)
		return nil, errors.Join(ErrGone, err)
	}
	updated := newEntry(e.Key, stored, e.Size, e.content)
	r.changed(p, updated)
	return updated, nil
}

// Remove implements Store.
func (r *Redis) Remove(ctx context.Context, e *Entry) {
	if e.local != nil {
		r.local.Remove(ctx, e.local)
		return
	}
	p := primaryOf(e.Key)
	r.changed(p, nil)
	client, err := r.up()
	at, ok := e.content.source.(*redisBody)
	if err != nil || !ok {
		return
	}
	ctx, cancel := r.patient(ctx, 1)
	defer cancel()
	keys, args := []string{r.hashKey(p)}, []string{at.id, fieldOf(&e.Stored.Head)}
	if removeRecord.Exec(ctx, client, keys, args).Error() == nil {
		r.removeBody(client, p, at.id, e.Size)
	}
	r.changed(p, nil)
}

// removeBody removes the chunks of a body. What is left goes at its time.
func (r *Redis) removeBody(client rueidis.Client, p primary, id string, size int64) {
	var keys []string
	for n := range chunksOf(size) {
		keys = append(keys, r.chunkKey(p, id, n))
	}
	if len(keys) > 0 {
		ctx, cancel := r.patient(r.stopped, 1)
		defer cancel()
		client.Do(ctx, client.B().Unlink().Key(keys...).Build())
	}
}

// Invalidate implements Store. While the engine is down it holds here at once,
// and elsewhere before the engine is used again.
func (r *Redis) Invalidate(ctx context.Context, key string) int {
	p := primaryOf(key)
	m := r.mem
	m.mu.Lock()
	held, _ := m.get(p)
	n := len(under(held, key))
	gen := Generation(r.outage.Load()) | m.generation(p)
	if s := m.sets[p]; s != nil && gen < redisAway {
		gen = s.generation
	}
	m.invalidate(p)
	m.put(p, nil)
	m.mu.Unlock()
	local := 0
	if r.kept.Load() {
		local = r.local.Invalidate(ctx, localKey(key, gen))
	}
	if shared, told := r.tell(ctx, key); told {
		n = shared
	}
	return n + local
}

// Clear implements Store. What another node is fetching, and was never stored
// before, may still be stored.
func (r *Redis) Clear(ctx context.Context) int {
	n := r.local.Clear(ctx)
	shared, _ := r.tell(ctx, everything)
	return n + shared
}

// tell invalidates a key in the engine and returns how many entries there were.
// An engine that cannot be told counts as down, and is told before it is used
// again; told is false then.
func (r *Redis) tell(ctx context.Context, key string) (n int, told bool) {
	for {
		err := errDown
		if r.outage.Load() == 0 {
			if n, err = r.invalidateEngine(ctx, key); err != nil {
				r.goDown(err)
			}
		}
		// From memory goes what was read meanwhile.
		if key != everything {
			r.changed(primaryOf(key), nil)
		} else {
			r.mem.mu.Lock()
			r.mem.clear()
			r.mem.mu.Unlock()
		}
		if err == nil {
			return n, true
		}
		if r.miss(key) {
			return 0, false
		}
	}
}

// invalidateEngine invalidates a key, or everything, in the engine.
func (r *Redis) invalidateEngine(ctx context.Context, key string) (n int, err error) {
	at := r.engine.Load()
	if at == nil {
		return 0, errDown
	}
	client := *at
	invalidate := func(hash string, p primary) error {
		asking, cancel := r.patient(ctx, 5)
		defer cancel()
		args := []string{newGeneration().String(), milliseconds(redisKept)}
		all, failed := invalidateKey.Exec(asking, client, []string{hash, r.leaseKey(p)}, args).AsStrSlice()
		if failed != nil {
			return failed
		}
		for _, value := range all {
			if rec, ok := decodeRecord(value); ok {
				n++
				r.removeBody(client, p, rec.id, rec.size)
			}
		}
		return nil
	}
	if key != everything {
		p := primaryOf(key)
		err = invalidate(r.hashKey(p), p)
		return n, err
	}
	failed := r.eachKey(context.WithoutCancel(ctx), client, func(hash string) bool {
		if p, ok := r.primaryIn(hash); ok {
			err = invalidate(hash, p)
		}
		return err == nil
	})
	return n, errors.Join(failed, err)
}
