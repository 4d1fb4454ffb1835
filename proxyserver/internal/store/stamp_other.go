//go:build !linux

package store

import "os"

func stampOf(info os.FileInfo) stamp {
	return stamp{known: true, size: info.Size(), modified: info.ModTime().UnixNano()}
}
