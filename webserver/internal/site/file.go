package site

import (
	"errors"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"time"
)

// Why a transfer must be broken off.
var (
	ErrChanged = errors.New("the file has changed")
	ErrShrunk  = errors.New("the file has become shorter")
)

// LargeFile is a file while a part of it is being sent, and the means to keep
// the promise that a client that gets all of that has got one version: a transfer that
// cannot keep it is broken off, so that the client knows.
//
// The bytes of a version are told from another's by the file's identity (inode,
// size, both times). Where that changes, and the content may be the same all the
// same (the file was touched, or added to), the content decides: by its hash, if
// that is known, else by a checksum of what has been sent, which Sent is told of.
type LargeFile struct {
	*os.File
	rep      *Representation
	sealed   *sealed  // a copy to be sent instead, unless nil: nothing else matters then
	id       identity // when it was last looked at
	suspect  bool     // it has grown: what was sent must be compared at the end
	verified int      // how often the content has decided

	first, next int64 // what Sent was told of
	sum         uint32
	lent        bool // some was sent that the checksum is not of: without Sent, or a part before
}

// maxVerified is how often the content is compared during one transfer. It costs
// as much as sending it.
const maxVerified = 3

// Open opens the file of a representation without Body, or its sealed copy. It
// returns nil without an error when the file is no longer the one that rep describes:
// find it again.
func (s *Site) Open(rep *Representation) (*LargeFile, error) {
	if rep.sealed != nil {
		return &LargeFile{rep: rep, sealed: rep.sealed}, nil
	}
	opened, err := s.root().open(rep.name)
	if err != nil {
		if isMissing(err) {
			err = nil
		}
		return nil, err
	}
	file, ok := opened.(*os.File)
	if ok {
		var info fs.FileInfo
		if info, err = file.Stat(); err == nil {
			id := identify(info)
			// Of a file that never rests, any state will do that has the length.
			if id == rep.id || !rep.settled && id.size >= rep.Size {
				return &LargeFile{File: file, rep: rep, id: id}, nil
			}
		}
	}
	opened.Close()
	return nil, err
}

// Sealed reports whether it is a copy that cannot change.
func (f *LargeFile) Sealed() bool { return f.sealed != nil }

// ReadAt implements io.ReaderAt.
func (f *LargeFile) ReadAt(p []byte, at int64) (int, error) {
	if f.sealed != nil {
		return f.sealed.ReadAt(p, at)
	}
	return f.File.ReadAt(p, at)
}

// Close closes the file.
func (f *LargeFile) Close() {
	if f.sealed == nil {
		_ = f.File.Close() // it was only read from
	}
}

// Start begins a part of the file.
func (f *LargeFile) Start(first int64) {
	f.lent = f.lent || f.next > f.first
	f.first, f.next, f.sum = first, first, 0
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Sent adds to the checksum of the part what was sent of it.
func (f *LargeFile) Sent(p []byte) {
	if f.rep.ETag == "" {
		f.sum = crc32.Update(f.sum, castagnoli, p)
		f.next += int64(len(p))
	}
}

// Lent notes that bytes were sent without being seen.
func (f *LargeFile) Lent() { f.lent = true }

// quietTime is how long a file must have been left alone for nothing to be
// expected to change it.
const quietTime = 10 * time.Second

// Lendable reports whether the file may be sent without its bytes being seen: a
// change can then still be told from an addition, or is not to be expected.
func (f *LargeFile) Lendable(now time.Time) bool {
	return f.rep.settled && (f.rep.ETag != "" || now.Sub(time.Unix(0, f.id.ctime)) > quietTime)
}

// Check looks at the file after a piece of it was read and before that is sent.
// It returns ErrChanged or ErrShrunk if no version that was sent so far can be
// gone on with. last is for the piece that makes the transfer complete.
func (f *LargeFile) Check(last bool) error {
	if f.sealed != nil {
		return nil
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	id := identify(info)
	switch {
	case id.size < f.rep.Size:
		return ErrShrunk
	case id == f.id && (!f.suspect || !last):
		return nil
	case id.size > f.id.size && !last:
		f.id, f.suspect = id, true
		return nil
	}
	if f.verified++; f.verified > maxVerified || !f.same() {
		return ErrChanged
	}
	// Nothing may have happened while the content was compared.
	if info, err = f.Stat(); err != nil {
		return err
	}
	if now := identify(info); now != id && now.size <= id.size {
		return ErrChanged
	}
	f.id, f.suspect = id, false
	return nil
}

// same reports whether the file still begins with what is being sent.
func (f *LargeFile) same() bool {
	if tag := f.rep.ETag; tag != "" {
		now, err := hash(io.NewSectionReader(f, 0, f.rep.Size), f.rep.Size)
		return err == nil && now == tag
	}
	if f.lent || f.next == f.first {
		return false
	}
	sum := crc32.New(castagnoli)
	_, err := io.Copy(sum, io.NewSectionReader(f, f.first, f.next-f.first))
	return err == nil && sum.Sum32() == f.sum
}
