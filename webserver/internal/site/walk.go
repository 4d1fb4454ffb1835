package site

import (
	"errors"
	"hash/maphash"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// errTooMany ends a walk that finds more names than it was to look at.
var errTooMany = errors.New("too many files and folders")

// walk looks at every name below a directory that may be seen, in order, without
// following links, and tells visit. It goes into a folder if visit says so, and into
// none that cannot be read.
func walk(t tree, dir string, limit *int, visit func(name string, info fs.FileInfo) (into bool)) error {
	names, err := t.names(dir, *limit+1)
	if err != nil {
		return err
	}
	if *limit -= len(names); *limit < 0 {
		return errTooMany
	}
	slices.Sort(names)
	for _, base := range names {
		name := path.Join(dir, base)
		if hidden("/" + name) {
			continue
		}
		info, err := t.lstat(name)
		if err != nil || !visit(name, info) || !info.IsDir() {
			continue // it is gone again, or nobody wants to know
		}
		if err := walk(t, name, limit, visit); errors.Is(err, errTooMany) {
			return err
		}
	}
	return nil
}

// State returns a number that is another one after a change of the files below the
// root that may be seen, as far as the first limit names go. whole is false if there
// are more.
func (s *Site) State(limit int) (state uint64, whole bool) {
	var h maphash.Hash
	h.SetSeed(stateSeed)
	t := s.root()
	add := func(name string, id identity) {
		h.WriteString(name)
		maphash.WriteComparable(&h, id)
	}
	if id, ok := t.identity("."); ok {
		add(".", id)
	}
	err := walk(t, ".", &limit, func(name string, info fs.FileInfo) bool {
		add(name, identify(info))
		return true
	})
	return h.Sum64(), !errors.Is(err, errTooMany)
}

var stateSeed = maphash.MakeSeed()

// servable reports whether a URL can name a file of that name: some names, which are
// an attempt upon others' systems rather than names, are refused in requests.
func servable(name string) bool {
	clean, err := CleanPath(EscapePath("/" + name))
	return err == nil && clean == "/"+name && !strings.Contains(name, "//")
}
