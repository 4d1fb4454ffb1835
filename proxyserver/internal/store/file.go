package store

import (
	"encoding/base32"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"topdown/proxyserver/internal/rules"
)

// A file is
//
//	body
//	head     see encodeHead
//	trailer  52 bytes: magic, name of the file, length and checksum of the
//	         body, length of the head, checksum of head and trailer
//
// The body comes first so that it can be written as it arrives, and sent from
// the file's beginning. A file is made under another name, renamed when it is
// whole, and never written to again. After a 304 the new head of a large body
// goes into a head file beside it, head and trailer alone, which counts instead.
// It is made and renamed likewise.
const (
	magic       = "topdown2"
	trailerSize = 52
	blockSize   = 4096 // disks give whole blocks of this size, or of a part of it
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errDamaged = errors.New("damaged")

// name is the name of a file: the primary, a serial number that no other file
// has, and the blocks that it takes, so that a scan need not look at the file.
type name [24]byte

func newName(p primary, serial uint64, blocks int64) (n name) {
	copy(n[:], p[:])
	binary.BigEndian.PutUint64(n[12:], serial)
	binary.BigEndian.PutUint32(n[20:], uint32(blocks))
	return n
}

func (n name) primary() primary { return primary(n[:12]) }
func (n name) serial() uint64   { return binary.BigEndian.Uint64(n[12:]) }
func (n name) blocks() int64    { return int64(binary.BigEndian.Uint32(n[20:])) }

var nameEncoding = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

func (n name) String() string { return nameEncoding.EncodeToString(n[:]) }

// headSuffix ends the name of a head file.
const headSuffix = ".head"

// parseName reads the name of a file, or of its head file.
func parseName(s string) (n name, isHead, ok bool) {
	s, isHead = strings.CutSuffix(s, headSuffix)
	b, err := nameEncoding.DecodeString(s)
	if err != nil || len(b) != len(n) {
		return n, false, false
	}
	n = name(b)
	return n, isHead, n.String() == s
}

// folder returns the number of the folder in which a primary's files lie. There
// are few, since each takes a block and more, and a cache may have a mebibyte.
func (p primary) folder() int { return int(p[0] >> 4) }

const folders = 16

// folderPath returns the path of a folder.
func (d *Disk) folderPath(i int) string {
	return filepath.Join(d.dir, strconv.FormatInt(int64(i), folders))
}

// path returns the path of a file.
func (d *Disk) path(n name) string { return d.folderPath(n.primary().folder()) + "/" + n.String() }

// headPath returns the path of the head that counts.
func (d *Disk) headPath(f file) string {
	if f.head > 0 {
		return d.path(f.name) + headSuffix
	}
	return d.path(f.name)
}

// blocksOf returns the blocks that size bytes take.
func blocksOf(size int64) int64 { return (size + blockSize - 1) / blockSize }

// appendTrailer completes a head to what follows the body.
func appendTrailer(head []byte, n name, size int64, sum uint32) []byte {
	b := append(append(head, magic...), n[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(size))
	b = binary.BigEndian.AppendUint32(b, sum)
	b = binary.BigEndian.AppendUint32(b, uint32(len(head)))
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// readHead reads an entry from the end of a file, or of a head file. The error
// is errDamaged if the file is worth nothing, else that of reading it.
func readHead(f *os.File, n name, isHead bool, config rules.Config) (e *Entry, sum uint32, err error) {
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	length := info.Size()
	buf := make([]byte, min(length, 2048))
	if err = readFull(f, buf, length-int64(len(buf))); err != nil {
		return nil, 0, err
	}
	if len(buf) < trailerSize {
		return nil, 0, errDamaged
	}
	t := buf[len(buf)-trailerSize:]
	if string(t[:8]) != magic || name(t[8:32]) != n {
		return nil, 0, errDamaged
	}
	size := int64(binary.BigEndian.Uint64(t[32:]))
	sum = binary.BigEndian.Uint32(t[40:])
	tail := int64(binary.BigEndian.Uint32(t[44:])) + trailerSize
	want := tail
	if !isHead {
		want += size
	}
	if tail > maxHead+trailerSize || size < 0 || length != want {
		return nil, 0, errDamaged
	}
	if int64(len(buf)) < tail {
		buf = make([]byte, tail)
		if err = readFull(f, buf, length-tail); err != nil {
			return nil, 0, err
		}
	}
	buf = buf[int64(len(buf))-tail:]
	end := len(buf) - 4
	if crc32.Checksum(buf[:end], castagnoli) != binary.BigEndian.Uint32(buf[end:]) {
		return nil, 0, errDamaged
	}
	key, h, err := decodeHead(buf[:len(buf)-trailerSize])
	if err != nil || primaryOf(key) != n.primary() {
		return nil, 0, errDamaged
	}
	return newEntry(key, rules.NewStored(h, config), size, nil), sum, nil
}

// readFull reads len(b) bytes at off; a file that is shorter is damaged.
func readFull(f *os.File, b []byte, off int64) error {
	_, err := f.ReadAt(b, off)
	if errors.Is(err, io.EOF) {
		return errDamaged
	}
	return err
}

// checkBody compares the checksum of the first size bytes of a file.
func checkBody(f io.ReaderAt, size int64, want uint32) error {
	buf := make([]byte, min(max(size, 1), 128<<10))
	sum := uint32(0)
	for off := int64(0); off < size; {
		n, err := f.ReadAt(buf[:min(size-off, int64(len(buf)))], off)
		sum = crc32.Update(sum, castagnoli, buf[:n])
		off += int64(n)
		if errors.Is(err, io.EOF) && off < size {
			return errDamaged
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
	if sum != want {
		return errDamaged
	}
	return nil
}
