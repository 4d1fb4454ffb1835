package access

import (
	"sync"
	"time"
)

// Quota counts the bytes of each user's day (UTC) against one limit.
type Quota struct {
	Limit int64 // bytes a day, both directions together

	mu   sync.Mutex
	day  int64
	used map[string]int64
}

// Add counts n bytes for user.
func (q *Quota) Add(user string, n int64, now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.roll(now)
	q.used[user] += n
}

// Left returns how many bytes user has left today, and how long the day still
// lasts. It is never negative.
func (q *Quota) Left(user string, now time.Time) (bytes int64, rest time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.roll(now)
	tomorrow := now.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
	return max(q.Limit-q.used[user], 0), tomorrow.Sub(now)
}

func (q *Quota) roll(now time.Time) {
	day := now.Unix() / 86400
	if day != q.day || q.used == nil {
		q.day, q.used = day, make(map[string]int64)
	}
}
