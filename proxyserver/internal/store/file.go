package store

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"sync"
	"sync/atomic"
)

// A file is
//
//	prefix  64 octets, never changed: magic, room for head A, length and
//	        checksum of the body, the file's own name, checksum of all that
//	head A  in its room
//	body
//	head B  to the end of the file; absent at first
//
// Each head has a sequence number and a checksum of its own. A new head goes
// to the place of the older one, so that one whole head is there at any moment;
// of two the one with the higher number counts. The body never changes.
const (
	magic      = "topdown1"
	prefixSize = 64
	slotHeader = 12 // sequence number, length, checksum
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errDamaged = errors.New("damaged")

// place is where an entry lies in its file.
type place struct {
	room uint32               // octets that head A may take, its header included
	seq  uint32               // of the head that counts
	inB  bool                 // which is head B
	sum  uint32               // checksum of the body
	slot atomic.Pointer[slot] // in the index; nil if there is no file (yet)

	mu    sync.Mutex
	stamp stamp // of the file when its body was last known to be right
}

// stamp tells whether a file was touched.
type stamp struct {
	known             bool
	inode             uint64
	size              int64
	modified, changed int64 // in nanoseconds since 1970
}

func (p *place) base() int64 { return prefixSize + int64(p.room) }

// roomFor returns the room for a head of n octets: some of it for a later,
// longer one.
func roomFor(n int) uint32 { return uint32(n+slotHeader+128+63) &^ 63 }

// appendPrefix encodes the prefix.
func appendPrefix(b []byte, n name, p *place, size int64) []byte {
	start := len(b)
	b = append(b, magic...)
	b = binary.BigEndian.AppendUint32(b, p.room)
	b = binary.BigEndian.AppendUint64(b, uint64(size)) //nolint:gosec // not negative
	b = binary.BigEndian.AppendUint32(b, p.sum)
	b = append(b, n[:]...)
	b = append(b, 0, 0, 0, 0)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// parsePrefix checks it against the name of the file.
func parsePrefix(b []byte, n name) (room, sum uint32, size int64, err error) {
	if len(b) < prefixSize || string(b[:8]) != magic ||
		binary.BigEndian.Uint32(b[60:]) != crc32.Checksum(b[:60], castagnoli) || name(b[24:56]) != n {
		return 0, 0, 0, errDamaged
	}
	room = binary.BigEndian.Uint32(b[8:])
	size = int64(binary.BigEndian.Uint64(b[12:])) //nolint:gosec // checked below
	sum = binary.BigEndian.Uint32(b[20:])
	if room > maxHead || size < 0 {
		return 0, 0, 0, errDamaged
	}
	return room, sum, size, nil
}

// encodeSlot encodes a head with its sequence number.
func encodeSlot(seq uint32, head []byte) []byte {
	b := make([]byte, 0, slotHeader+len(head))
	b = binary.BigEndian.AppendUint32(b, seq)
	b = binary.BigEndian.AppendUint32(b, uint32(len(head))) //nolint:gosec // below maxHead
	sum := crc32.Update(crc32.Checksum(b, castagnoli), castagnoli, head)
	return append(binary.BigEndian.AppendUint32(b, sum), head...)
}

// parseSlot returns the encoded head in b.
func parseSlot(b []byte) (seq uint32, head []byte, ok bool) {
	if len(b) < slotHeader {
		return 0, nil, false
	}
	n := binary.BigEndian.Uint32(b[4:])
	if uint64(n) > uint64(len(b)-slotHeader) {
		return 0, nil, false
	}
	head = b[slotHeader : slotHeader+n]
	sum := crc32.Update(crc32.Checksum(b[:8], castagnoli), castagnoli, head)
	return binary.BigEndian.Uint32(b), head, sum == binary.BigEndian.Uint32(b[8:])
}

// readEntry reads the head of an open file. errDamaged means that the file is
// worth nothing; any other error is that of reading it.
func readEntry(f *os.File, n name) (*Entry, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	buf := make([]byte, min(info.Size(), 4096))
	if _, err = f.ReadAt(buf, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	e := &Entry{name: n}
	p := &e.place
	if p.room, p.sum, e.Size, err = parsePrefix(buf, n); err != nil {
		return nil, err
	}
	end := p.base() + e.Size
	if end > info.Size() || end < 0 {
		return nil, errDamaged
	}
	if p.base() > int64(len(buf)) {
		buf = make([]byte, p.base())
		if _, err = f.ReadAt(buf, 0); err != nil {
			return nil, err
		}
	}
	seq, head, ok := parseSlot(buf[prefixSize:p.base()])
	if rest := info.Size() - end; rest > 0 && rest <= maxHead {
		tail := make([]byte, rest)
		if _, err = f.ReadAt(tail, end); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if s, h, valid := parseSlot(tail); valid && (!ok || s > seq) {
			seq, head, ok, p.inB = s, h, true, true
		}
	}
	if !ok {
		return nil, errDamaged
	}
	p.seq = seq
	h, err := decodeHead(head)
	if err != nil || nameOf(h) != n {
		return nil, errDamaged
	}
	e.Head = h
	return e, nil
}

// checkBody reads a body from f and compares its checksum.
func checkBody(f io.ReaderAt, base, size int64, want uint32) error {
	buf := make([]byte, min(max(size, 1), 128<<10))
	r := io.NewSectionReader(f, base, size)
	sum, total := uint32(0), int64(0)
	for {
		n, err := r.Read(buf)
		sum = crc32.Update(sum, castagnoli, buf[:n])
		total += int64(n)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if total != size || sum != want {
		return errDamaged
	}
	return nil
}

// checked reports whether the body was found right in a file with that stamp.
func (p *place) checked(now stamp) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stamp.known && p.stamp == now
}

// check notes that it was; the zero stamp, that it was not.
func (p *place) check(now stamp) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stamp = now
}

func (p *place) copyFrom(old *place) {
	old.mu.Lock()
	defer old.mu.Unlock()
	p.room, p.seq, p.inB, p.sum, p.stamp = old.room, old.seq, old.inB, old.sum, old.stamp
	p.slot.Store(old.slot.Load())
}
