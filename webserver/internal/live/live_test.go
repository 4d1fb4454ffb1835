package live

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// TestWait: a page hears of the next change, and of one since it began to load.
func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		state := uint64(1)
		set := func(s uint64) {
			mu.Lock()
			defer mu.Unlock()
			state = s
		}
		var pages Pages
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			pages.Run(ctx, func() uint64 {
				mu.Lock()
				defer mu.Unlock()
				return state
			})
		}()
		time.Sleep(10 * time.Second)
		loaded := time.Now()
		time.Sleep(time.Second)
		one, leave, _ := pages.Wait(loaded)
		two, _, _ := pages.Wait(loaded)
		time.Sleep(10 * time.Second)
		if closed(one) {
			t.Error("told without a change")
		}
		set(2)
		time.Sleep(time.Second)
		if !closed(one) || !closed(two) {
			t.Error("not told of a change")
		}
		leave()
		if late, _, _ := pages.Wait(loaded); !closed(late) {
			t.Error("a page that was loaded before the change and waits after it is not told")
		}
		if fresh, _, _ := pages.Wait(time.Now()); closed(fresh) {
			t.Error("a page that was loaded after the change is told of it")
		}
		// Files that change all the time: told now and then, not each time.
		began := time.Now()
		told := 0
		for i := uint64(3); time.Since(began) < 20*time.Second; i++ {
			next, leave, ok := pages.Wait(time.Now())
			if !ok {
				t.Fatal("no more pages may wait")
			}
			set(i)
			time.Sleep(50 * time.Millisecond)
			if closed(next) {
				told++
			}
			leave()
		}
		if told < 5 || told > 12 {
			t.Errorf("told %d times in 20 s of changes, want about ten", told)
		}
		stop()
		<-done
	})
}

// TestMaxPages: not more wait than may, and who leaves makes room.
func TestMaxPages(t *testing.T) {
	var pages Pages
	var leave func()
	for range MaxPages {
		var ok bool
		if _, leave, ok = pages.Wait(time.Now()); !ok {
			t.Fatal("refused too early")
		}
	}
	if _, _, ok := pages.Wait(time.Now()); ok {
		t.Error("one too many may wait")
	}
	leave()
	if _, _, ok := pages.Wait(time.Now()); !ok {
		t.Error("no room after one has left")
	}
}
