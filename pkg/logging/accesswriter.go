package logging

import (
	"bytes"
	"io"
	"time"
)

// newBuffer returns memory for a batch and for what comes while the writer wakes
// up; what is not used costs nothing.
func newBuffer() []byte { return make([]byte, 0, 4*flushSize) }

// writeLoop writes out what Append leaves in l.buf. It is the only one to touch
// the sink, so nobody else ever waits for it.
func (l *AccessLog) writeLoop() {
	defer close(l.done)
	timer := time.NewTimer(flushAfter)
	defer timer.Stop()
	spare := newBuffer()
	for {
		<-l.wake
		timer.Reset(flushAfter)
		select {
		case <-l.full:
		case <-timer.C:
		}

		l.mu.Lock()
		batch, lines, next, closed := l.buf, l.lines, l.next, l.closed
		l.buf, l.lines, l.writing, l.next = spare[:0], 0, lines, nil
		l.mu.Unlock()

		if len(batch) > 0 {
			l.write(batch, lines)
			l.mu.Lock()
			l.writing = 0
			l.mu.Unlock()
		}
		if next != nil {
			l.file.Close()
			l.out, l.file, l.torn = next, next, false
		}
		if closed {
			if l.file != nil {
				l.file.Close()
			}
			return
		}
		// A burst's memory is given back.
		if spare = batch; cap(spare) > 16*flushSize {
			spare = newBuffer()
		}
	}
}

// write writes a batch of lines, or as many of them as the sink takes.
func (l *AccessLog) write(batch []byte, lines int64) {
	if l.torn {
		// The sink took only a part of a line before: end that one.
		if _, err := io.WriteString(l.out, "\n"); err != nil {
			l.fail(lines, err)
			return
		}
		l.torn = false
	}
	n, err := l.out.Write(batch)
	if err != nil {
		whole := batch[:max(0, min(n, len(batch)))]
		l.torn = len(whole) > 0 && whole[len(whole)-1] != '\n'
		l.fail(lines-int64(bytes.Count(whole, []byte{'\n'})), err)
	}
}

func (l *AccessLog) fail(lines int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lose(lines, err)
}
