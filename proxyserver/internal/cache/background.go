package cache

import (
	"context"
	"runtime/debug"
	"sync"

	"go.uber.org/zap"
)

// maxBackground bounds how many fetches of a kind go on that no client waits
// for.
const maxBackground = 64

// tasks are the goroutines of a cache: one for each fetch. All of them end
// before close returns.
type tasks struct {
	log       *zap.Logger
	ctx       context.Context //nolint:containedctx // ends with the cache
	cancel    context.CancelFunc
	validated slots // of revalidations
	finished  slots // of transfers that their clients have left

	mu      sync.Mutex // guards closed, so that no goroutine begins beside Wait
	closed  bool
	running sync.WaitGroup
}

func (t *tasks) init(log *zap.Logger) {
	t.log = log
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.validated, t.finished = make(slots, maxBackground), make(slots, maxBackground)
}

func (t *tasks) close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.cancel()
	t.running.Wait()
}

// run runs task in a goroutine, and then ended; failed before that after a fault
// in task. It reports whether it does: not once the cache is closed.
func (t *tasks) run(task, failed, ended func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.running.Go(func() {
		defer ended()
		defer func() {
			if fault := recover(); fault != nil {
				t.log.Error("cache: fault in a fetch", zap.Any("fault", fault), zap.ByteString("stack", debug.Stack()))
				failed()
			}
		}()
		task()
	})
	return true
}

// slots is a bound on a number of things.
type slots chan struct{}

func (s slots) take() bool {
	select {
	case s <- struct{}{}:
		return true
	default:
		return false
	}
}

func (s slots) free() { <-s }
