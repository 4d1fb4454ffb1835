package echo

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"topdown/udppingserver/internal/impair"
	"topdown/udppingserver/internal/wire"
)

// Truth writes what was done to each UDP packet, one JSON object a line, so that
// what a client claims can be checked.
type Truth struct {
	mu  sync.Mutex
	out *bufio.Writer
	row []byte
	err error
}

// NewTruth returns a Truth that writes to w. Call Flush at the end.
func NewTruth(w io.Writer) *Truth {
	return &Truth{out: bufio.NewWriterSize(w, 1<<16)}
}

// Flush writes out what is left, and reports the first error there was.
func (t *Truth) Flush() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.out.Flush(); t.err == nil {
		t.err = err
	}
	return t.err
}

func (t *Truth) packet(p *packet, now time.Time, req wire.Request, verdict Verdict, number uint64, fate impair.Fate) {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := append(t.row[:0], `{"time":"`...)
	b = now.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","client":"`...)
	b = p.from.AppendTo(b)
	b = append(b, `","number":`...)
	b = strconv.AppendUint(b, number, 10)
	if req.Sent > 0 || req.Seq > 0 { // a message of the lab's form
		b = append(b, `,"seq":`...)
		b = strconv.AppendUint(b, req.Seq, 10)
	}
	if req.Extended {
		b = fmt.Appendf(b, `,"run":"%016X"`, req.Nonce)
	}
	b = append(b, `,"bytes":`...)
	b = strconv.AppendInt(b, int64(len(p.data)), 10)
	b = append(b, `,"verdict":"`...)
	b = append(b, verdict...)
	b = append(b, '"')
	if verdict == Answered {
		b = append(b, `,"delay_ns":`...)
		b = strconv.AppendInt(b, int64(fate.Delay), 10)
		b = strconv.AppendBool(append(b, `,"duplicate":`...), fate.Duplicate)
		b = strconv.AppendBool(append(b, `,"reorder":`...), fate.Reorder)
		b = strconv.AppendBool(append(b, `,"corrupt":`...), fate.Corrupt)
	}
	b = append(b, "}\n"...)
	if _, err := t.out.Write(b); t.err == nil {
		t.err = err
	}
	t.row = b
}
