package store

import (
	"encoding/binary"
	"errors"
	"time"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/rules"
)

var errHead = errors.New("the stored head is malformed")

const maxHead = 1 << 20 // bytes of an encoded head

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

func appendInt64(b []byte, n int64) []byte {
	return binary.BigEndian.AppendUint64(b, uint64(n)) //nolint:gosec // bits
}

// encodeHead encodes a key and the head that is stored under it.
func encodeHead(key string, h *rules.Head) []byte {
	b := appendString(make([]byte, 0, 512), key)
	b = appendFields(b, h.Vary)
	b = binary.AppendUvarint(b, uint64(h.Status)) //nolint:gosec // three digits
	b = appendString(b, h.Reason)
	for _, n := range []int64{h.RequestTime.UnixNano(), h.ResponseTime.UnixNano(), h.First, h.Total} {
		b = appendInt64(b, n)
	}
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

func (d *decoder) fail() { d.bad, d.s = true, "" }

func (d *decoder) uvarint() uint64 {
	var n uint64
	for i := 0; i < len(d.s) && i < 9; i++ {
		n |= uint64(d.s[i]&0x7f) << (7 * i)
		if d.s[i] < 0x80 {
			d.s = d.s[i+1:]
			return n
		}
	}
	d.fail()
	return 0
}

// take returns the next n bytes.
func (d *decoder) take(n uint64) string {
	if n > uint64(len(d.s)) {
		d.fail()
		return ""
	}
	s := d.s[:n]
	d.s = d.s[n:]
	return s
}

func (d *decoder) str() string { return d.take(d.uvarint()) }

func (d *decoder) int64() int64 {
	b := d.take(8)
	if b == "" {
		return 0
	}
	return int64(binary.BigEndian.Uint64([]byte(b))) //nolint:gosec // bits
}

func (d *decoder) fields() httpmsg.Fields {
	n := d.uvarint()
	if n > uint64(len(d.s))/2 { // a field takes two bytes at least
		d.fail()
		return nil
	}
	if n == 0 {
		return nil
	}
	f := make(httpmsg.Fields, n)
	for i := range f {
		f[i].Name, f[i].Value = d.str(), d.str()
		if !httpmsg.IsToken(f[i].Name) || !httpmsg.IsValue(f[i].Value) {
			d.fail()
			return nil
		}
	}
	return f
}

// decodeHead decodes b, which may come from anywhere.
func decodeHead(b []byte) (key string, h rules.Head, err error) {
	d := decoder{s: string(b)}
	key, h.Vary = d.str(), d.fields()
	status := d.uvarint()
	h.Reason = d.str()
	h.RequestTime, h.ResponseTime = time.Unix(0, d.int64()), time.Unix(0, d.int64())
	h.First, h.Total = d.int64(), d.int64()
	partial := d.take(1)
	h.Partial = partial == "\x01"
	h.Fields = d.fields()
	if d.bad || d.s != "" || partial > "\x01" || status < 200 || status > 999 || key == "" || !httpmsg.IsValue(h.Reason) ||
		h.First < 0 || h.Total < -1 {
		return "", rules.Head{}, errHead
	}
	h.Status = int(status)
	return key, h, nil
}
