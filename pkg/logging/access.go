package logging

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	flushSize  = 64 << 10               // bytes that are written without waiting
	flushAfter = 250 * time.Millisecond // the longest that a line waits
	maxPending = 4 << 20                // bytes that may wait for a slow sink
	closeWait  = 2 * time.Second        // how long Close waits for a stuck sink
	reportWait = time.Second            // and for a report of what was lost

	firstReport = time.Second // from the first lost line to its report
	nextReport  = time.Minute // from one report to the next
)

// AccessOptions are the parts of a log that OpenAccess is handed.
type AccessOptions struct {
	Format AccessFormat
	// Stdout is where the path "-" leads. A program that hands in os.Stdout
	// must ignore SIGPIPE, or a reader that goes away ends it.
	Stdout io.Writer
	// Report is told of lost lines, first after a second and then at most once
	// a minute. It is called on a goroutine of the log, or by Close. Nil: nobody.
	Report func(error)
}

// AccessLog writes one line per request. Append only copies the line into memory:
// a goroutine writes it out when 64 KiB have come together and 250 ms after the
// first line at the latest. So a slow disk, a full one or a reader that has gone
// away never holds up a request; the lines that find no room are dropped, counted
// and reported. What came over the network is escaped: one request is one line.
//
// A nil *AccessLog is one that is off: its methods do nothing. All methods may be
// called concurrently.
type AccessLog struct {
	path   string
	format AccessFormat
	report func(error)
	lost   atomic.Int64 // lines lost since OpenAccess

	wake chan struct{} // there is a first line in buf
	full chan struct{} // do not wait any longer
	done chan struct{} // the writer has ended

	mu       sync.Mutex
	buf      []byte
	lines    int64 // in buf
	writing  int64 // lines in the batch that is being written
	stamp    stamp
	next     *os.File // what to go on with, after Reopen
	closed   bool
	reported int64 // lines lost that have been reported
	lastErr  error // why the last of them was lost
	reporter *time.Timer

	// Only the writer goroutine uses these.
	out  io.Writer
	file *os.File // out, if it is ours to close
	torn bool     // out ends in the middle of a line
}

var (
	errSlow   = errors.New("the lines come faster than they can be written")
	errClosed = errors.New("it was closed before they could be written")
	errStuck  = errors.New("nothing reads them")
)

// OpenAccess returns the log for path: a file to append to, "-" for
// AccessOptions.Stdout, or "off", for which the *AccessLog is nil. A new file can
// be read by its owner and group only: a log of addresses is personal data.
func OpenAccess(path string, opts AccessOptions) (*AccessLog, error) {
	l := &AccessLog{
		path: path, format: opts.Format, report: opts.Report,
		wake: make(chan struct{}, 1), full: make(chan struct{}, 1), done: make(chan struct{}),
		buf: newBuffer(),
	}
	switch path {
	case "off":
		return nil, nil
	case "-":
		if opts.Stdout == nil {
			return nil, errors.New("access log: no standard output to write to")
		}
		l.out = opts.Stdout
	default:
		file, err := openFile(path)
		if err != nil {
			return nil, err
		}
		l.out, l.file = file, file
	}
	go l.writeLoop()
	return l, nil
}

func openFile(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		return nil, fmt.Errorf("access log: %w", err)
	}
	return file, nil
}

// Append adds the line of a request. It does not keep e.
func (l *AccessLog) Append(e *AccessEntry) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.buf) >= maxPending {
		err := errSlow
		if l.closed {
			err = errClosed
		}
		l.lose(1, err)
		return
	}
	if len(l.buf) == 0 {
		signal(l.wake)
	}
	switch l.format {
	case JSONLines:
		l.buf = appendJSON(l.buf, e, &l.stamp)
	default:
		l.buf = appendCombined(l.buf, e, &l.stamp)
	}
	l.lines++
	if len(l.buf) >= flushSize {
		signal(l.full)
	}
}

// Reopen opens the log's path anew, after the file there has been renamed, and
// goes on with that file; what waits goes to the old one. On an error the old
// file stays in use. It does nothing for standard output.
func (l *AccessLog) Reopen() error {
	if l == nil || l.path == "-" {
		return nil
	}
	file, err := openFile(l.path)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return file.Close()
	}
	if l.next != nil {
		l.next.Close()
	}
	l.next = file
	signal(l.wake)
	signal(l.full)
	return nil
}

// Lost returns the number of lines that could not be written since OpenAccess.
func (l *AccessLog) Lost() int64 {
	if l == nil {
		return 0
	}
	return l.lost.Load()
}

// Close writes what waits, for 2 s at most if the sink is stuck, closes the file
// and reports what was lost, for another second at most: where standard output is
// stuck, standard error often is as well. Lines appended later are lost.
func (l *AccessLog) Close() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	signal(l.wake)
	signal(l.full)
	l.mu.Unlock()

	var err error
	if !within(closeWait, l.done) {
		l.mu.Lock()
		l.lose(l.lines+l.writing, errStuck)
		l.mu.Unlock()
		err = fmt.Errorf("access log %s: the last lines could not be written in %v", l.path, closeWait)
	}
	l.mu.Lock()
	if l.reporter != nil {
		l.reporter.Stop()
	}
	l.mu.Unlock()
	reported := make(chan struct{})
	go func() {
		defer close(reported)
		l.reportLost()
	}()
	within(reportWait, reported)
	return err
}

// within waits for c to be closed and reports whether it was in time.
func within(d time.Duration, c <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-c:
		return true
	case <-timer.C:
		return false
	}
}

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// lose counts lines that are lost because of err. The caller holds l.mu.
func (l *AccessLog) lose(lines int64, err error) {
	l.lost.Add(lines)
	l.lastErr = err
	if l.reporter == nil && l.report != nil {
		l.reporter = time.AfterFunc(firstReport, l.reportLost)
	}
}

// reportLost reports the lines lost since the last report, if there are any,
// and comes back after a while if there were.
func (l *AccessLog) reportLost() {
	l.mu.Lock()
	lost, err := l.lost.Load()-l.reported, l.lastErr
	l.reported += lost
	switch {
	case lost == 0:
		l.reporter = nil
	case !l.closed:
		l.reporter = time.AfterFunc(nextReport, l.reportLost)
	}
	l.mu.Unlock()
	if lost > 0 && l.report != nil {
		l.report(fmt.Errorf("access log %s: %d lines lost: %w", l.path, lost, err))
	}
}
