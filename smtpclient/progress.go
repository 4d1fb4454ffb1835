package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"topdown/smtpclient/internal/mailbox"
	"topdown/smtpclient/internal/smtp"
)

// A bar shows how far something has come, on one line of a terminal. A nil bar
// shows nothing.
type bar struct {
	w     io.Writer
	label string
	total int64
	unit  string

	mu    sync.Mutex
	start time.Time
	drawn time.Time
	done  int64
}

// drawEvery is how often the line is drawn anew.
const drawEvery = 100 * time.Millisecond

func newBar(w io.Writer, label string, total int64, unit string) *bar {
	return &bar{w: w, label: label, total: total, unit: unit, start: time.Now()}
}

// add moves on by n.
func (b *bar) add(n int64) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.done += n
	if now := time.Now(); now.Sub(b.drawn) >= drawEvery {
		b.drawn = now
		b.draw(now)
	}
}

func (b *bar) draw(now time.Time) {
	const width = 30
	share := 1.0
	if b.total > 0 {
		share = min(1, float64(b.done)/float64(b.total))
	}
	full := int(share * width)
	rate := float64(b.done) / max(now.Sub(b.start).Seconds(), 0.001)
	amount, speed := fmt.Sprintf("%d/%d", b.done, b.total), fmt.Sprintf("%.0f %s/s", rate, b.unit)
	if b.unit == "B" {
		amount, speed = mailbox.SizeText(b.done)+"/"+mailbox.SizeText(b.total), mailbox.SizeText(int64(rate))+"/s"
	}
	fmt.Fprintf(b.w, "\r%s [%s%s] %3.0f%% %s %s\x1b[K", b.label, strings.Repeat("#", full), strings.Repeat(".", width-full), share*100, amount, speed)
}

// clear takes the line away.
func (b *bar) clear() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	fmt.Fprint(b.w, "\r\x1b[K")
}

// Write implements io.Writer: it counts.
func (b *bar) Write(p []byte) (int, error) {
	b.add(int64(len(p)))
	return len(p), nil
}

// watched is a message whose sending moves a bar.
type watched struct {
	smtp.Message
	bar *bar
}

// WriteTo implements io.WriterTo.
func (m watched) WriteTo(w io.Writer) (int64, error) {
	n, err := m.Message.WriteTo(io.MultiWriter(w, m.bar))
	m.bar.clear()
	return n, err
}
