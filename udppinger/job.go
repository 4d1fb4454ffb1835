package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"topdown/udppinger/internal/doctor"
	"topdown/udppinger/internal/ping"
	"topdown/udppinger/internal/report"
	"topdown/udppinger/internal/socket"
	"topdown/udppinger/internal/wire"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"
)

// job is the run of one target and its report.
type job struct {
	pinger  *ping.Pinger
	summary *report.Summary
	views   *views
	conn    interface{ Close() }
}

// open gets ready to ping a target.
func (p *plan) open(ctx context.Context, target named, labelled bool, v *views) (*job, error) {
	if err := matches(p.options, target.addr); err != nil {
		return nil, err
	}
	format := wire.Format{Nonce: nonce(), Size: p.size}
	about := report.Target{
		Name: target.name, Address: target.addr.Addr().String(), Port: target.addr.Port(), V6: target.addr.Addr().Is6(),
		TCP: p.tcp, Bytes: len(format.Append(nil, 1, time.Now())),
		Count: p.schedule.Count, Timeout: p.schedule.Timeout, Interval: p.schedule.Interval,
	}
	j := &job{views: v, pinger: &ping.Pinger{Format: format, Schedule: p.schedule, Target: target.addr}}
	if p.tcp {
		conn, err := socket.DialTCP(ctx, target.addr, p.options.Source, p.schedule.Timeout)
		if err != nil {
			return nil, err
		}
		about.Connect = conn.Connect
		j.pinger.Conn, j.conn = conn, conn
	} else {
		conn, err := socket.Dial(target.addr, p.options)
		if err != nil {
			return nil, err
		}
		j.pinger.Conn, j.conn = conn, conn
	}
	if labelled {
		about.Label = about.String() + " "
	}
	j.summary = report.NewSummary(about, time.Now())
	j.pinger.Emit = func(e ping.Event) {
		v.mu.Lock()
		defer v.mu.Unlock()
		j.summary.Observe(e)
		for _, view := range v.all {
			view.Event(j.summary, e)
		}
	}
	return j, nil
}

func (j *job) close() { j.conn.Close() }

// runAll runs all jobs at the same time.
func runAll(ctx context.Context, jobs []*job) error {
	var wg sync.WaitGroup
	failed := make([]error, len(jobs))
	for i, j := range jobs {
		for _, view := range j.views.all {
			view.Begin(j.summary)
		}
		wg.Go(func() {
			j.summary.Start = time.Now()
			if err := j.pinger.Run(ctx, j.summary.Start); err != nil {
				failed[i] = fmt.Errorf("%s: %w", &j.summary.Target, err)
			}
			j.summary.Elapsed = time.Since(j.summary.Start)
		})
	}
	wg.Wait()
	return errors.Join(failed...)
}

// status returns the line for those who ask how it is going.
func (j *job) status() string {
	counts := j.pinger.Counts() // before the lock of the views: see Emit
	j.views.mu.Lock()
	defer j.views.mu.Unlock()
	j.summary.Counts = counts
	return report.StatusLine(j.summary)
}

// end shows what there is to show of a job that is over.
func (j *job) end() (err error) {
	j.summary.Counts = j.pinger.Counts()
	for _, view := range j.views.all {
		err = errors.Join(err, view.End(j.summary))
	}
	return err
}

// views are all views of a program's jobs, which share them.
type views struct {
	mu  sync.Mutex
	all []report.View
}

func newViews(stdout, stderr io.Writer, p *plan) *views {
	v := &views{}
	lines := !p.quiet
	switch p.format {
	case "lab":
		v.all = append(v.all, &report.Lab{W: stdout, Quiet: p.quiet, Explain: p.explain})
	case "ping":
		v.all = append(v.all, &report.Ping{W: stdout, Quiet: p.quiet})
	case "fping":
		v.all = append(v.all, &report.Fping{W: stdout, Err: stderr, Quiet: p.quiet})
	case "json":
		v.all = append(v.all, &report.JSON{W: stdout})
	case "ndjson":
		v.all = append(v.all, &report.NDJSON{W: stdout})
	case "csv":
		v.all = append(v.all, &report.CSV{W: stdout})
	}
	// Progress is for eyes that see nothing else move.
	if _, ok := terminal(stderr); ok {
		if _, shown := terminal(stdout); !lines || !shown {
			v.all = append([]report.View{&report.Live{W: stderr, Now: time.Now}}, v.all...)
		}
	}
	if p.graph {
		width, ok := terminal(stdout)
		if !ok {
			width = 80
		}
		v.all = append(v.all, &report.Graph{W: stdout, Width: width})
	}
	if p.plot != "" {
		v.all = append(v.all, &report.Plot{Name: p.plot})
	}
	return v
}

// terminal reports whether w is a terminal, and how wide it is.
func terminal(w io.Writer) (width int, ok bool) {
	file, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return 0, false
	}
	width, _, err := term.GetSize(int(file.Fd()))
	if err != nil || width <= 0 {
		width = 80
	}
	return width, true
}

// nonce returns a number that names a run and cannot be guessed.
func nonce() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint64(b[:])
}

// examine is the command doctor.
func examine(c *cli.Context) error {
	if c.NArg() != 1 {
		return usageError{errors.New("doctor: name one target, as in 'udppinger doctor HOST:PORT'")}
	}
	targets, err := resolveAll(c, c.Args().Slice())
	if err != nil {
		return err
	}
	options, err := socketOptions(c)
	if err != nil {
		return usageError{err}
	}
	if err = matches(options, targets[0].addr); err != nil {
		return err
	}
	timeout := timeOf(c, "timeout")
	if timeout < time.Millisecond {
		return usageError{errors.New("timeout: choose 1 ms or more")}
	}
	d := doctor.Doctor{
		Target: targets[0].addr, Options: options, Timeout: timeout, Nonce: nonce(),
		Say: func(format string, args ...any) { fmt.Fprintf(c.App.Writer, format+"\n", args...) },
	}
	finding, err := d.Examine(c.Context)
	if err != nil {
		return err
	}
	if finding != doctor.Open {
		return errNoReply
	}
	return nil
}

// heartbeat is the command heartbeat.
func heartbeat(c *cli.Context) error {
	if c.NArg() > 1 {
		return usageError{errors.New("heartbeat: name one target")}
	}
	targets, err := resolveAll(c, c.Args().Slice())
	if err != nil {
		return err
	}
	options, err := socketOptions(c)
	if err != nil {
		return usageError{err}
	}
	if err = matches(options, targets[0].addr); err != nil {
		return err
	}
	interval := timeOf(c, "interval")
	if interval < time.Millisecond {
		return usageError{errors.New("interval: choose 1 ms or more")}
	}
	conn, err := socket.Dial(targets[0].addr, options)
	if err != nil {
		return err
	}
	defer conn.Close()
	var mu sync.Mutex
	refused := false
	ping.Heartbeat(c.Context, conn, interval, c.Uint64("count"), func(seq uint64, err error) {
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			fmt.Fprintf(c.App.Writer, "Heartbeat %d not sent: %v\n", seq, err)
			return
		}
		fmt.Fprintf(c.App.Writer, "Heartbeat %d sent to %s\n", seq, targets[0].addr)
	}, func(err error) {
		mu.Lock()
		defer mu.Unlock()
		refused = true
		fmt.Fprintf(c.App.Writer, "Refused: %v: is the server running?\n", err)
	})
	mu.Lock()
	defer mu.Unlock()
	if refused {
		return errNoReply
	}
	return nil
}
