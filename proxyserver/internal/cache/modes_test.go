package cache

import (
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"topdown/proxyserver/internal/cachetest"
	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/rules"
	"topdown/proxyserver/internal/store"
)

func TestLab(t *testing.T) {
	for name, newStore := range stores {
		t.Run(name, func(t *testing.T) { cachetest.Run(t, cachetest.LabCases(), alone(newStore, rules.Config{Lab: true})) })
	}
}

func TestGroups(t *testing.T) {
	for name, newStore := range stores {
		t.Run(name, func(t *testing.T) {
			cachetest.Run(t, cachetest.GroupCases(), alone(newStore, rules.Config{Groups: true}))
		})
	}
}

// Without it nothing of all this is stored.
func TestNoLab(t *testing.T) {
	for _, reply := range []string{"200\n-Date: ", "404\n-Date: ", "200\nContent-Type: text/html"} {
		cachetest.Run(t, []cachetest.Case{{Name: reply, Section: "RFC 9111, 3", Steps: []cachetest.Step{
			{Reply: reply}, {Wait: 5, Reply: reply},
		}}}, alone(inMemory, rules.Config{}))
	}
}

// In the lab clients of one URL do not wait for each other: the handout's
// origin answers each connection on its own, or not at all.
func TestLabDoesNotCollapse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin := &slowOrigin{serve: func(ctx context.Context, n int, _ *exchange.Request) (*exchange.Response, error) {
			if n == 1 {
				<-ctx.Done() // the first one never gets an answer
				return nil, ctx.Err()
			}
			return response("max-age=100", io.NopCloser(strings.NewReader("hello")), 5), nil
		}}
		c := &Cache{Next: origin, Store: store.NewMemory(0, 0), Rules: rules.Config{Lab: true}}
		ctx, leave := context.WithCancel(t.Context())
		var first sync.WaitGroup
		first.Go(func() {
			if _, _, err := readAll(ctx, c, get("/")); err == nil {
				t.Error("an answer from an origin that gives none")
			}
		})
		synctest.Wait()
		began := time.Now()
		for range 40 {
			if _, got, err := readAll(t.Context(), c, get("/")); err != nil || string(got) != "hello" {
				t.Errorf("got %q, %v", got, err)
			}
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("the others waited for %v", took)
		}
		leave()
		first.Wait()
		c.Close()
	})
}
