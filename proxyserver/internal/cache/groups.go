package cache

import (
	"slices"

	"topdown/proxyserver/internal/rules"
	"topdown/proxyserver/internal/store"

	"go.uber.org/zap"
)

// A group of responses (RFC 9875) is made invalid by a mark that is stored like
// a response, under a key of the group: what was asked for before the mark was
// set is out of date. So there is no index of what is in a group: every
// response that names one asks for its mark when it is looked up, and others
// cost nothing. It holds for every variant, for what is on its way and, where a
// store is shared, for all who share it; and it survives a restart.

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
		if marks, _ := q.c.Store.Lookup(q.ctx, rules.GroupKey(q.key, group)); len(marks) > 0 && s.Before(marks[0].Stored) {
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
	_, gen := q.c.Store.Lookup(q.ctx, key)
	w, err := q.c.Store.Create(q.ctx, key, gen, 0)
	if err != nil {
		return err
	}
	defer w.Close() //nolint:errcheck // given up
	_, err = w.Commit(rules.GroupMark(q.c.Now()))
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
