package rules

import (
	"slices"
	"time"

	"topdown/pkg/httpmsg"

	"github.com/dunglas/httpsfv"
)

// maxGroups is how many groups of one response count (RFC 9875, section 2,
// wants 128 at least).
const maxGroups = 256

// Groups returns the groups that a stored response is in (RFC 9875, section 2).
func (s *Stored) Groups() []string { return s.groups }

// InvalidatedGroups returns the groups that a response to an unsafe request
// makes invalid (RFC 9875, section 3).
func InvalidatedGroups(f httpmsg.Fields) []string { return groupsOf(f, "Cache-Group-Invalidation") }

// groupsOf reads a list of strings; what is no list is ignored as a whole, a
// member that is no string alone.
func groupsOf(f httpmsg.Fields, name string) (groups []string) {
	if !f.Has(name) {
		return nil
	}
	list, err := httpsfv.UnmarshalList(slices.Collect(f.Values(name)))
	if err != nil {
		return nil
	}
	for _, member := range list[:min(len(list), maxGroups)] {
		if item, ok := member.(httpsfv.Item); ok {
			if group, ok := item.Value.(string); ok && !slices.Contains(groups, group) {
				groups = append(groups, group)
			}
		}
	}
	return groups
}

// GroupKey returns the key of a group's mark. A group is one of responses of
// the same origin; key is that of any of them (RFC 9875, section 2.1).
func GroupKey(key, group string) string { return "cache-group " + Origin(key) + " " + group }

// GroupMark returns what is stored under a group's key when the group is made
// invalid.
func GroupMark(now time.Time) *Stored {
	return NewStored(Head{Status: 410, Reason: "Invalidated", RequestTime: now, ResponseTime: now}, Config{})
}

// Before reports whether a response was asked for before a mark of one of its
// groups was set, so that it may be out of date.
func (s *Stored) Before(mark *Stored) bool { return !s.RequestTime.After(mark.ResponseTime) }
