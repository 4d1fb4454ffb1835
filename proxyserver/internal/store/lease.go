package store

import (
	"context"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/redis/rueidis"
)

// Leaser is a store that several proxies share, and through which they fetch
// what all of them miss but once.
type Leaser interface {
	// Lease asks for the right to fetch what key stands for. Where another
	// proxy has it, Lease waits until that one has stored the response, has
	// given the right back or is dead, or until ctx ends. The caller looks the
	// key up again, asks the origin if nothing is there, and calls release when
	// it has stored the response or knows that it will not: until then the
	// right is its own, or nobody's if it has waited. A store that is down lets
	// everybody go.
	Lease(ctx context.Context, key string) (release func())
}

const (
	leaseLife = 3 * time.Second       // of a holder that no longer renews it
	leasePoll = 10 * time.Millisecond // between looks at another's lease
)

// renewLease and releaseLease do so only for the holder. KEYS lease; ARGV token,
// life in ms.
var (
	renewLease = rueidis.NewLuaScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])`)
	releaseLease = rueidis.NewLuaScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])`)
)

// token returns the token of the lease that this node has on a key, or "".
func (r *Redis) token(p primary) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tokens[p].token
}

// held is a lease that this node has.
type held struct {
	token   string
	release func()
}

// endLease gives the lease on a key back early, if this node has it.
func (r *Redis) endLease(p primary) {
	r.mu.Lock()
	release := r.tokens[p].release
	r.mu.Unlock()
	if release != nil {
		release()
	}
}

// Lease implements Leaser. A lease has a token, without which nothing can be
// stored under the key as long as it lasts: a holder that was stopped, and wakes
// when another has taken over, stores nothing.
func (r *Redis) Lease(ctx context.Context, key string) (release func()) {
	p := primaryOf(key)
	// What another node has stored must be seen, whether or not the engine's
	// message that something has changed is here already.
	defer r.distrust(p)
	if r.token(p) != "" {
		// This node has it, for a fetch that the cache has given up on. To wait
		// for that is nothing that another node could be spared by.
		return func() {}
	}
	token := strconv.FormatUint(rand.Uint64(), 36)
	waited := false
	for {
		client, err := r.up()
		if err != nil {
			return func() {}
		}
		asking, cancel := r.patient(ctx, 5) // the origin would take longer
		err = client.Do(asking, client.B().Set().Key(r.leaseKey(p)).Value(token).Nx().Px(leaseLife).Build()).Error()
		cancel()
		switch {
		case err == nil && waited:
			// The one before has ended: what it left is to be looked at first.
			r.giveBack(client, p, token)
			return func() {}
		case err == nil:
			return r.hold(client, p, token)
		case !rueidis.IsRedisNil(err):
			return func() {}
		}
		waited = true
		select {
		case <-time.After(leasePoll):
		case <-ctx.Done():
			return func() {}
		}
	}
}

// hold renews a lease until it is released.
func (r *Redis) hold(client rueidis.Client, p primary, token string) (release func()) {
	ctx, cancel := context.WithCancel(r.stopped)
	r.mu.Lock()
	r.tokens[p] = held{token, cancel}
	r.mu.Unlock()
	r.tasks.Go(func() {
		tick := time.NewTicker(leaseLife / 3)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				r.mu.Lock()
				if r.tokens[p].token == token {
					delete(r.tokens, p)
				}
				r.mu.Unlock()
				r.giveBack(client, p, token)
				return
			case <-tick.C:
			}
			asking, done := r.patient(ctx, 1)
			renewLease.Exec(asking, client, []string{r.leaseKey(p)}, []string{token, milliseconds(leaseLife)})
			done()
		}
	})
	return cancel
}

func (r *Redis) giveBack(client rueidis.Client, p primary, token string) {
	ctx, cancel := r.patient(r.stopped, 1)
	defer cancel()
	releaseLease.Exec(ctx, client, []string{r.leaseKey(p)}, []string{token})
}
