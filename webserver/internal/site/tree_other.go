//go:build !linux

package site

import "io/fs"

// openRoot opens a directory to serve.
func openRoot(dir string) (tree, error) { return openPortableRoot(dir) }

// identify has no change time to go by here, so the modification time stands
// for it.
func identify(info fs.FileInfo) identity {
	mtime := info.ModTime().UnixNano()
	return identity{size: info.Size(), mtime: mtime, ctime: mtime}
}
