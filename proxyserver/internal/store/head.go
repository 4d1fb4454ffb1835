package store

import (
	"encoding/binary"
	"errors"
	"strconv"
	"time"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/rules"
)

// A head is encoded as a list of strings, each with its length before it: the
// key, the reason, headNumbers numbers in decimal, and names and values of the
// selecting fields and of the response's.

const (
	headNumbers = 7
	maxHead     = 1 << 20 // bytes of an encoded head
)

var errHead = errors.New("the stored head is malformed")

// encodeHead encodes a key and the head that is stored under it.
func encodeHead(key string, h *rules.Head) []byte {
	b := appendString(appendString(make([]byte, 0, 512), key), h.Reason)
	partial := int64(0)
	if h.Partial {
		partial = 1
	}
	for _, n := range [headNumbers]int64{
		int64(h.Status), h.RequestTime.UnixNano(), h.ResponseTime.UnixNano(), partial, h.First, h.Total, int64(len(h.Vary)),
	} {
		b = appendString(b, strconv.FormatInt(n, 10))
	}
	for _, fields := range []httpmsg.Fields{h.Vary, h.Fields} {
		for _, f := range fields {
			b = appendString(appendString(b, f.Name), f.Value)
		}
	}
	return b
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// decodeHead decodes b, which may come from anywhere.
func decodeHead(b []byte) (key string, h rules.Head, err error) {
	var list []string // slices of one copy
	for s, rest := string(b), b; len(rest) > 0; {
		n, k := binary.Uvarint(rest)
		if k <= 0 || n > uint64(len(rest)-k) {
			return "", h, errHead
		}
		at := len(s) - len(rest) + k
		list = append(list, s[at:at+int(n)])
		rest = rest[k+int(n):]
	}
	const begin = 2 + headNumbers
	if len(list) < begin || (len(list)-begin)%2 != 0 {
		return "", h, errHead
	}
	var n [headNumbers]int64
	for i := range n {
		if n[i], err = strconv.ParseInt(list[2+i], 10, 64); err != nil {
			return "", h, errHead
		}
	}
	var fields httpmsg.Fields
	for i := begin; i < len(list); i += 2 {
		if !httpmsg.IsToken(list[i]) || !httpmsg.IsValue(list[i+1]) {
			return "", h, errHead
		}
		fields = append(fields, httpmsg.Field{Name: list[i], Value: list[i+1]})
	}
	key, h.Reason = list[0], list[1]
	status, first, total, vary := n[0], n[4], n[5], n[6]
	if key == "" || !httpmsg.IsValue(h.Reason) || status < 200 || status > 999 || n[3] < 0 || n[3] > 1 ||
		first < 0 || total < -1 || vary < 0 || vary > int64(len(fields)) {
		return "", h, errHead
	}
	h.Status, h.Partial, h.First, h.Total = int(status), n[3] == 1, first, total
	h.RequestTime, h.ResponseTime = time.Unix(0, n[1]), time.Unix(0, n[2])
	if h.Fields = fields[vary:]; vary > 0 {
		h.Vary = fields[:vary:vary]
	}
	return key, h, nil
}
