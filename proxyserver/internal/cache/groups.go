package cache

import (
	"slices"
	"sync"
	"time"

	"topdown/proxyserver/internal/rules"
	"topdown/proxyserver/internal/store"

	"go.uber.org/zap"
)

// A group of responses (RFC 9875) is made invalid by a mark that is stored like
// a response, under a key of the group: what was asked for before the mark was
// set is out of date. So there is no index of what is in a group: every
// response that names one asks for its mark when it is looked up, and others
// cost nothing. It holds for every variant, for what is on its way and, where a
// store is shared, for all who share it; and it survives a restart. A store may
// fail, or evict a mark before what it is about, so marks are remembered here too.

// marks are the groups that this cache has made invalid since it began.
type marks struct {
	mu  sync.Mutex
	at  map[string]time.Time // by the group's key
	all time.Time            // of every group that is not remembered any more, or earlier
}

// maxMarks is how many groups are remembered: beyond it, all that is in any group
// is out of date.
const maxMarks = 10_000

func (m *marks) set(key string, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.at) >= maxMarks {
		m.all, m.at = now, nil
	}
	if m.at == nil {
		m.at = map[string]time.Time{}
	}
	m.at[key] = now
}

// since reports whether the group of key was made invalid since s was asked for.
func (m *marks) since(key string, s *rules.Stored) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	at, ok := m.at[key]
	return ok && !s.RequestTime.After(at) || !s.RequestTime.After(m.all)
}

// drop returns entries without those that are out of date because one of their
// groups is, which are removed.
func (q *query) drop(entries []*store.Entry) []*store.Entry {
	if !slices.ContainsFunc(entries, func(e *store.Entry) bool { return len(e.Stored.Groups()) > 0 }) {
		return entries
	}
	kept := make([]*store.Entry, 0, len(entries))
	for _, e := range entries {
		if q.isOutOfDate(e.Stored) {
			q.c.Store.Remove(q.ctx, e)
			continue
		}
		kept = append(kept, e)
	}
	return kept
}

// isOutOfDate reports whether a group of s has been made invalid since s was
// asked for.
func (q *query) isOutOfDate(s *rules.Stored) bool {
	for _, group := range s.Groups() {
		key := rules.GroupKey(q.key, group)
		if marks, _ := q.c.Store.Lookup(q.ctx, key); len(marks) > 0 && s.Before(marks[0].Stored) || q.c.marks.since(key, s) {
			if q.explained() {
				q.say("RFC 9875, 2.2", "a stored response is out of date: its group \""+group+"\" was invalidated")
			}
			return true
		}
	}
	return false
}

// invalidateGroups makes groups of q's origin invalid.
func (q *query) invalidateGroups(groups []string) {
	for _, group := range groups {
		if err := q.mark(rules.GroupKey(q.key, group)); err != nil {
			q.c.Log.Warn("cache: invalidate a group", zap.Error(err))
		}
		if q.explained() {
			q.say("RFC 9875, 3", "the group \""+group+"\" is invalidated")
		}
	}
}

func (q *query) mark(key string) error {
	now := q.c.Now()
	q.c.marks.set(key, now)
	_, gen := q.c.Store.Lookup(q.ctx, key)
	w, err := q.c.Store.Create(q.ctx, key, gen, 0)
	if err != nil {
		return err
	}
	defer w.Close() //nolint:errcheck // given up
	_, err = w.Commit(rules.GroupMark(now))
	return err
}

// groupsUnder returns the groups of what is stored under keys: those go with
// them (RFC 9875, section 2.2.1).
func (q *query) groupsUnder(keys []string) (groups []string) {
	for _, key := range keys {
		entries, _ := q.c.Store.Lookup(q.ctx, key)
		for _, e := range entries {
			groups = append(groups, e.Stored.Groups()...)
		}
	}
	slices.Sort(groups)
	return slices.Compact(groups)
}
