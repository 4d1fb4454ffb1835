package server

import (
	"sync/atomic"
	"time"

	"topdown/pkg/httpmsg"
)

// dateLine is the Date field, rendered once a second (RFC 9110, section 6.6.1).
type dateLine struct {
	coarse atomic.Int64 // the watch's clock, ns since 1970
	line   atomic.Pointer[renderedDate]
}

type renderedDate struct {
	second int64
	text   []byte
}

func (d *dateLine) append(dst []byte, now time.Time) []byte {
	second := now.Unix()
	line := d.line.Load()
	if line == nil || line.second != second {
		text := append(httpmsg.AppendDate([]byte("Date: "), now), "\r\n"...)
		line = &renderedDate{second, text}
		d.line.Store(line)
	}
	return append(dst, line.text...)
}
