package store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"topdown/proxyserver/internal/rules"

	"github.com/redis/rueidis"
)

// A key's hash has the field "g", its generation, and a record for each
// response. The names of all that belongs to a key have the same tag, which
// keeps them on one node of a cluster.

func (r *Redis) hashKey(p primary) string { return r.prefix + "h:{" + hex.EncodeToString(p[:]) + "}" }

// primaryIn is what hashKey made a name from.
func (r *Redis) primaryIn(hash string) (p primary, ok bool) {
	tag := strings.TrimSuffix(strings.TrimPrefix(hash, r.prefix+"h:{"), "}")
	if len(tag) != hex.EncodedLen(len(p)) {
		return p, false
	}
	_, err := hex.Decode(p[:], []byte(tag))
	return p, err == nil
}

func (r *Redis) leaseKey(p primary) string { return r.prefix + "l:{" + hex.EncodeToString(p[:]) + "}" }

func (r *Redis) chunkKey(p primary, id string, n int64) string {
	return r.prefix + "b:{" + hex.EncodeToString(p[:]) + "}:" + id + ":" + strconv.FormatInt(n, 10)
}

// chunksOf returns how many chunks a body of size bytes has.
func chunksOf(size int64) int64 { return (size + redisChunk - 1) / redisChunk }

// record is what the engine has of a response besides the body.
type record struct {
	until time.Time // when it goes
	size  int64
	sum   uint32
	id    string // of the body: idLength random digits
	head  []byte
}

const (
	idLength     = 16
	recordLength = 8 + 8 + 4 + 4 + idLength // without the head
)

func (rec *record) encode() string {
	b := binary.BigEndian.AppendUint64(nil, uint64(rec.until.UnixMilli()))
	b = binary.BigEndian.AppendUint64(b, uint64(rec.size))
	b = binary.BigEndian.AppendUint32(b, rec.sum)
	b = append(append(b, 0, 0, 0, 0), rec.id...)
	b = append(b, rec.head...)
	binary.BigEndian.PutUint32(b[20:], crc32.Checksum(b, castagnoli))
	return string(b)
}

func decodeRecord(s string) (rec record, ok bool) {
	if len(s) < recordLength {
		return rec, false
	}
	b := []byte(s)
	sum := binary.BigEndian.Uint32(b[20:])
	clear(b[20:24])
	rec.until = time.UnixMilli(int64(binary.BigEndian.Uint64(b)))
	rec.size = int64(binary.BigEndian.Uint64(b[8:]))
	rec.sum = binary.BigEndian.Uint32(b[16:])
	rec.id, rec.head = s[24:recordLength], b[recordLength:]
	return rec, rec.size >= 0 && crc32.Checksum(b, castagnoli) == sum
}

// fieldOf names the record of a response in its key's hash: responses for the
// same requests share one.
func fieldOf(h *rules.Head) string {
	var b []byte
	for _, f := range h.Vary {
		b = appendString(appendString(b, f.Name), f.Value)
	}
	if h.Partial {
		b = binary.AppendVarint(append(b, 0xff), h.First)
	}
	sum := sha256.Sum256(b)
	return "v" + hex.EncodeToString(sum[:8])
}

// redisBody is where a body lies in the engine.
type redisBody struct {
	redis *Redis
	id    string
	sum   uint32
	mu    sync.Mutex // for whoever reads it: the others would read the same
}

// entriesOf reads the records of a key, the newest first. Bodies that are in
// memory in known are kept.
func (r *Redis) entriesOf(key string, fields map[string]string, known []*Entry) (entries []*Entry) {
	now := time.Now()
	for name, value := range fields {
		rec, ok := decodeRecord(value)
		if name[0] != 'v' || !ok || rec.until.Before(now) {
			continue
		}
		have, h, err := decodeHead(rec.head)
		if err != nil || key != "" && have != key {
			continue
		}
		c := &content{source: &redisBody{redis: r, id: rec.id, sum: rec.sum}}
		for _, e := range known {
			if at, ok := e.content.source.(*redisBody); ok && at.id == rec.id {
				c = e.content
			}
		}
		entries = append(entries, newEntry(have, rules.NewStored(h, r.rules), rec.size, c))
	}
	sortEntries(entries)
	return entries
}

// open implements source: it reads the chunks and checks them.
func (b *redisBody) open(e *Entry) (*Body, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if data, ok := e.Bytes(); ok {
		return &Body{data: data, size: e.Size}, nil
	}
	r, p := b.redis, primaryOf(e.Key)
	client, err := r.up()
	if err != nil {
		return nil, err
	}
	ctx, cancel := r.patient(r.stopped, 5)
	defer cancel()
	var gets []rueidis.Completed
	for n := range chunksOf(e.Size) {
		gets = append(gets, client.B().Get().Key(r.chunkKey(p, b.id, n)).Build())
	}
	var data []byte
	for i, result := range client.DoMulti(ctx, gets...) {
		chunk, err := result.AsBytes()
		if rueidis.IsRedisNil(err) || err == nil && int64(len(data)+len(chunk)) > e.Size {
			break // evicted, or not what was written
		}
		if err != nil {
			return nil, err
		}
		if i == 0 {
			data = slices.Grow(chunk, int(e.Size)-len(chunk)) // no copy if it is all
		} else {
			data = append(data, chunk...)
		}
	}
	if int64(len(data)) != e.Size || sumOf(data) != b.sum {
		r.Remove(r.stopped, e)
		return nil, fmt.Errorf("%w: its body is not in the shared store", ErrGone)
	}
	if e.Size <= r.small && e.content.data.CompareAndSwap(nil, &data) {
		r.mem.mu.Lock()
		r.mem.grown(p)
		r.mem.mu.Unlock()
	}
	return &Body{data: data, size: e.Size}, nil
}

// List implements Managed: of the shared store and of this node's own.
func (r *Redis) List(visit func(Info) bool) {
	more := true
	client, err := r.up()
	if err != nil {
		return
	}
	_ = r.eachKey(r.stopped, client, func(hash string) bool { // of an engine that fails as much as it tells
		fields, err := client.Do(r.stopped, client.B().Hgetall().Key(hash).Build()).AsStrMap()
		if err != nil {
			return false
		}
		for _, e := range r.entriesOf("", fields, nil) {
			if more = visit(Info{Entry: e, Path: hash}); !more {
				break
			}
		}
		return more
	})
	if !more {
		return
	}
	r.local.List(func(i Info) bool { return visit(r.shown(i)) })
}

// shown is an entry of the local store under the key that users know.
func (r *Redis) shown(i Info) Info {
	i.Entry = r.renamed(i.Entry)
	return i
}

// Find implements Managed.
func (r *Redis) Find(key string) (infos []Info) {
	entries, _ := r.Lookup(r.stopped, key)
	for _, e := range entries {
		i := Info{Entry: e}
		if _, ok := e.content.source.(*redisBody); ok {
			i.Path = r.hashKey(primaryOf(key))
		}
		infos = append(infos, i)
	}
	return slices.Clip(infos)
}

// eachKey calls do for the hash of each key, on each node of a cluster, until it
// returns false.
func (r *Redis) eachKey(ctx context.Context, client rueidis.Client, do func(hash string) bool) error {
	for _, node := range client.Nodes() {
		for cursor := uint64(0); ; {
			page, err := node.Do(ctx, node.B().Scan().Cursor(cursor).Match(r.prefix+"h:*").Count(1000).Build()).AsScanEntry()
			if err != nil {
				return err
			}
			for _, hash := range page.Elements {
				if !do(hash) {
					return nil
				}
			}
			if cursor = page.Cursor; cursor == 0 {
				break
			}
		}
	}
	return nil
}
