package store

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"topdown/proxyserver/internal/rules"

	"github.com/redis/rueidis"
)

// redisWriter takes a body: in memory as long as it may be shared, in the local
// store from then on.
type redisWriter struct {
	*buffer
	redis *Redis
	ctx   context.Context //nolint:containedctx // Create says so
	key   string
	gen   Generation
	size  int64 // announced; -1 if unknown
	err   error
	local atomic.Pointer[Writer]
}

// Create implements Store.
func (r *Redis) Create(ctx context.Context, key string, gen Generation, size int64) (Writer, error) {
	if gen == redisAway {
		return nil, errDown
	}
	w := &redisWriter{buffer: newBuffer(min(size, r.object), r.mem), redis: r, ctx: ctx, key: key, gen: gen, size: size}
	if gen&redisAway != 0 || size > r.object {
		if err := w.keepLocal(); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// Write implements Writer.
func (w *redisWriter) Write(p []byte) (n int, err error) {
	if w.err != nil {
		return 0, w.err
	}
	local := w.local.Load()
	if local == nil {
		if int64(len(w.buf)+len(p)) <= w.redis.object && w.append(p) {
			return len(p), nil
		}
		if w.err = w.keepLocal(); w.err != nil {
			return 0, w.err
		}
		local = w.local.Load()
	}
	n, w.err = (*local).Write(p)
	return n, w.err
}

// keepLocal goes on in the local store. It needs a generation, or nothing would
// tell later that the response was invalidated.
func (w *redisWriter) keepLocal() error {
	r := w.redis
	if w.gen == 0 {
		client, err := r.up()
		if err != nil {
			return err
		}
		ctx, cancel := r.patient(w.ctx, 1)
		defer cancel()
		p, gen := primaryOf(w.key), newGeneration()
		got, err := ensureGeneration.Exec(ctx, client, []string{r.hashKey(p)}, []string{gen.String(), milliseconds(redisKept)}).ToString()
		if r.checkWrite(err) != nil {
			return err
		}
		r.changed(p, nil)
		if got != gen.String() {
			return ErrGone // stored or invalidated by another meanwhile
		}
		w.gen = gen
	}
	r.kept.Store(true)
	r.endLease(primaryOf(w.key)) // the other nodes will not have it from here
	_, gen := r.local.Lookup(w.ctx, localKey(w.key, w.gen))
	local, err := r.local.Create(w.ctx, localKey(w.key, w.gen), gen, w.size)
	if err != nil {
		return err
	}
	if _, err = local.Write(w.buf); err != nil {
		local.Close() //nolint:errcheck // it was not committed
		return err
	}
	w.local.Store(&local)
	w.release()
	return nil
}

// ReadAt implements Writer.
func (w *redisWriter) ReadAt(p []byte, off int64) (int, error) {
	if local := w.local.Load(); local != nil {
		return (*local).ReadAt(p, off)
	}
	n, err := w.buffer.ReadAt(p, off)
	if local := w.local.Load(); local != nil { // the buffer was given up meanwhile, perhaps
		return (*local).ReadAt(p, off)
	}
	return n, err
}

// Commit implements Writer: first the chunks, then the record that makes them
// count.
func (w *redisWriter) Commit(stored *rules.Stored) (*Entry, error) {
	r := w.redis
	if local := w.local.Load(); local != nil && w.err == nil {
		e, err := (*local).Commit(stored)
		if err != nil {
			return nil, err
		}
		r.distrust(primaryOf(w.key)) // that nothing is there in the local store, too
		return r.renamed(e), nil
	}
	n := int64(len(w.buf))
	if w.err == nil && w.size >= 0 && n != w.size {
		w.err = fmt.Errorf("a body of %d bytes ended after %d: %w", w.size, n, io.ErrUnexpectedEOF)
	}
	if w.err != nil {
		return nil, w.err
	}
	client, err := r.up()
	if err != nil {
		return nil, err
	}
	p, life, c := primaryOf(w.key), lifeOf(stored), w.content()
	body := *c.data.Load()
	rec := record{
		until: time.Now().Add(life), size: n, sum: sumOf(body),
		id: fmt.Sprintf("%0*x", idLength, rand.Uint64()), head: encodeHead(w.key, &stored.Head),
	}
	ctx, cancel := r.patient(w.ctx, 10)
	defer cancel()
	var sets []rueidis.Completed
	for i := range chunksOf(n) {
		chunk := body[i*redisChunk : min((i+1)*redisChunk, n)]
		sets = append(sets, client.B().Set().Key(r.chunkKey(p, rec.id, i)).Value(rueidis.BinaryString(chunk)).Px(life).Build())
	}
	for _, result := range client.DoMulti(ctx, sets...) {
		if err == nil {
			err = result.Error()
		}
	}
	if r.checkWrite(err) == nil {
		err = w.commitRecord(ctx, client, p, stored, &rec, life)
	}
	if err != nil {
		r.removeBody(client, p, rec.id, n)
		return nil, err
	}
	if n > r.small {
		c = new(content)
	}
	c.source = &redisBody{redis: r, id: rec.id, sum: rec.sum}
	e := newEntry(w.key, stored, n, c)
	r.changed(p, e)
	return e, nil
}

func (w *redisWriter) commitRecord(ctx context.Context, client rueidis.Client, p primary, stored *rules.Stored, rec *record, life time.Duration) error {
	r := w.redis
	old, err := storeRecord.Exec(ctx, client, []string{r.hashKey(p), r.leaseKey(p)}, []string{
		w.gen.String(), newGeneration().String(), fieldOf(&stored.Head), rec.encode(), milliseconds(life),
		r.token(p), strconv.Itoa(maxVariants),
	}).ToString()
	if rueidis.IsRedisNil(err) {
		r.changed(p, nil)
		return ErrGone
	}
	if r.checkWrite(err) != nil {
		r.distrust(p) // it may be done yet
		return err
	}
	if before, ok := decodeRecord(old); ok {
		r.removeBody(client, p, before.id, before.size)
	}
	return nil
}

// Close implements Writer.
func (w *redisWriter) Close() error {
	w.release()
	if local := w.local.Load(); local != nil {
		return (*local).Close()
	}
	return nil
}
