package store

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"

	"topdown/pkg/httpmsg"
)

// name identifies a stored response: 16 octets of the hash of its key and 16 of
// that of what tells it from others under that key. In hexadecimal it is the
// name of its file.
type name [32]byte

// primary is the half of a name that all responses under a key share.
type primary [16]byte

func primaryOf(key string) (p primary) {
	sum := sha256.Sum256([]byte(key))
	copy(p[:], sum[:])
	return p
}

func (n name) primary() (p primary) {
	copy(p[:], n[:])
	return p
}

// nameOf hashes the key, and the Vary values and the range.
func nameOf(h *Head) (n name) {
	p := primaryOf(h.Key)
	copy(n[:], p[:])
	var b []byte
	for _, field := range h.Vary {
		b = appendString(appendString(b, field.Name), field.Value)
	}
	if h.Partial {
		b = binary.AppendVarint(append(b, 0xff), h.First)
	}
	sum := sha256.Sum256(b)
	copy(n[16:], sum[:])
	return n
}

var errHead = errors.New("the stored head is malformed")

const maxHead = 1 << 20 // octets of an encoded head

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendFields(b []byte, f httpmsg.Fields) []byte {
	b = binary.AppendUvarint(b, uint64(len(f)))
	for _, field := range f {
		b = appendString(appendString(b, field.Name), field.Value)
	}
	return b
}

// encodeHead encodes h.
func encodeHead(h *Head) []byte {
	b := appendString(make([]byte, 0, 512), h.Key)
	b = appendFields(b, h.Vary)
	b = binary.AppendUvarint(b, uint64(h.Status)) //nolint:gosec // a status is small
	b = appendString(b, h.Reason)
	b = binary.BigEndian.AppendUint64(b, uint64(h.RequestTime))  //nolint:gosec // bits
	b = binary.BigEndian.AppendUint64(b, uint64(h.ResponseTime)) //nolint:gosec // bits
	b = binary.BigEndian.AppendUint64(b, uint64(h.First))        //nolint:gosec // bits
	b = binary.BigEndian.AppendUint64(b, uint64(h.Total))        //nolint:gosec // bits
	partial := byte(0)
	if h.Partial {
		partial = 1
	}
	return appendFields(append(b, partial), h.Fields)
}

// decoder reads what encodeHead wrote. Its strings are slices of one copy.
type decoder struct {
	s   string
	bad bool
}

func (d *decoder) uvarint() uint64 {
	var n uint64
	for i := 0; i < len(d.s) && i < 9; i++ {
		n |= uint64(d.s[i]&0x7f) << (7 * i)
		if d.s[i] < 0x80 {
			d.s = d.s[i+1:]
			return n
		}
	}
	d.bad, d.s = true, ""
	return 0
}

func (d *decoder) str() string {
	n := d.uvarint()
	if n > uint64(len(d.s)) {
		d.bad, d.s = true, ""
		return ""
	}
	s := d.s[:n]
	d.s = d.s[n:]
	return s
}

func (d *decoder) int64() int64 {
	if len(d.s) < 8 {
		d.bad, d.s = true, ""
		return 0
	}
	n := int64(binary.BigEndian.Uint64([]byte(d.s[:8]))) //nolint:gosec // bits
	d.s = d.s[8:]
	return n
}

func (d *decoder) fields() httpmsg.Fields {
	n := d.uvarint()
	if n > uint64(len(d.s))/2 {
		d.bad, d.s = true, ""
		return nil
	}
	if n == 0 {
		return nil
	}
	f := make(httpmsg.Fields, n)
	for i := range f {
		f[i].Name, f[i].Value = d.str(), d.str()
		if !httpmsg.IsToken(f[i].Name) || !httpmsg.IsValue(f[i].Value) {
			d.bad = true
			return nil
		}
	}
	return f
}

// decodeHead decodes b, which may come from anywhere.
func decodeHead(b []byte) (*Head, error) {
	d := decoder{s: string(b)}
	h := &Head{Key: d.str(), Vary: d.fields()}
	status := d.uvarint()
	h.Reason = d.str()
	h.RequestTime, h.ResponseTime = d.int64(), d.int64()
	h.First, h.Total = d.int64(), d.int64()
	if d.s == "" || d.s[0] > 1 {
		return nil, errHead
	}
	h.Partial = d.s[0] == 1
	d.s = d.s[1:]
	h.Fields = d.fields()
	if d.bad || d.s != "" || status < 200 || status > 999 || h.Key == "" || !httpmsg.IsValue(h.Reason) ||
		h.First < 0 || h.Total < -1 {
		return nil, errHead
	}
	h.Status = int(status)
	return h, nil
}
