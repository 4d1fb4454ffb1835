package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"topdown/udppinger/internal/ping"
	"topdown/udppinger/internal/report"
	"topdown/udppinger/internal/socket"
	"topdown/udppinger/internal/wire"
)

// pingTargets pings what the command line names.
func pingTargets(ctx context.Context, c *config, std stdio) error {
	show := func(targets int) (*views, error) { return newViews(c, std, targets) }
	return c.pingAll(ctx, std, show, func(jobs []*job, failed error) error { return finish(c, std, jobs, failed) })
}

// pingAll pings all targets with the views that show makes for so many, and has end
// report on what is over.
func (c *config) pingAll(ctx context.Context, std stdio, show func(targets int) (*views, error), end func([]*job, error) error) error {
	targets, missing, err := c.resolve(ctx, std)
	if err != nil {
		return err
	}
	v, err := show(len(targets))
	if err != nil {
		return err
	}
	jobs, bad := c.openAll(ctx, std, targets, v)
	missing = missing || bad
	defer closeAll(jobs)
	if len(jobs) == 0 {
		return errReported
	}
	stopTrace, err := c.trace(std, jobs)
	if err != nil {
		return err
	}
	defer stopTrace()
	stopMetrics, err := serveMetrics(c, v, jobs)
	if err != nil {
		return err
	}
	defer stopMetrics()
	stop := onStatisticsSignal(func() {
		for _, j := range jobs {
			fmt.Fprintln(std.err, j.status())
		}
	})
	defer stop()
	err = end(jobs, runAll(ctx, jobs))
	if missing && (err == nil || errors.Is(err, errNoReply)) {
		return errReported
	}
	return err
}

// openAll gets ready to ping all targets, and says of those that cannot be that
// they are left out.
func (c *config) openAll(ctx context.Context, std stdio, targets []named, v *views) (jobs []*job, missing bool) {
	for _, target := range targets {
		j, err := c.open(ctx, target, len(targets) > 1, v)
		if err != nil {
			fmt.Fprintf(std.err, "%s: %v\n", name, err)
			missing = true
			continue
		}
		jobs = append(jobs, j)
	}
	return jobs, missing
}

// job is the run of one target and its report.
type job struct {
	pinger  *ping.Pinger
	summary *report.Summary
	views   *views
	conn    interface{ Close() }
	trace   *ping.Trace
}

// open gets ready to ping a target.
func (c *config) open(ctx context.Context, target named, labelled bool, v *views) (*job, error) {
	format := wire.Format{Nonce: nonce(), Size: c.size}
	about := report.Target{
		Name: target.name, Address: target.addr.Addr().String(), Port: target.addr.Port(), V6: target.addr.Addr().Is6(),
		TCP: c.tcp, TTL: c.options.TTL, Bytes: len(format.Append(nil, 1, time.Now())),
		Count: c.schedule.Count, Timeout: c.schedule.Timeout, Interval: c.schedule.Interval,
	}
	j := &job{views: v, pinger: &ping.Pinger{Format: format, Schedule: c.schedule, Target: target.addr}}
	if c.tcp {
		conn, err := socket.DialTCP(ctx, target.addr, c.options.Source, c.schedule.Timeout)
		if err != nil {
			return nil, err
		}
		about.Connect = conn.Connect
		j.pinger.Conn, j.conn = conn, conn
	} else {
		conn, err := socket.Dial(target.addr, c.options)
		if err != nil {
			return nil, err
		}
		j.pinger.Conn, j.conn = conn, conn
	}
	if labelled {
		about.Label = about.String() + " "
	}
	j.summary = report.NewSummary(about, time.Now(), c.window)
	if c.command == "watch" {
		j.summary.Endless()
	}
	j.pinger.Emit = func(e ping.Event) {
		j.trace.Event(e)
		v.mu.Lock()
		defer v.mu.Unlock()
		j.summary.Observe(e)
		for _, view := range v.all {
			view.Event(j.summary, e)
		}
	}
	return j, nil
}

func closeAll(jobs []*job) {
	for _, j := range jobs {
		j.conn.Close()
	}
}

// runAll runs all jobs at the same time.
func runAll(ctx context.Context, jobs []*job) error {
	var wg sync.WaitGroup
	failed := make([]error, len(jobs))
	for _, j := range jobs {
		for _, view := range j.views.all {
			view.Begin(j.summary)
		}
	}
	for i, j := range jobs {
		wg.Go(func() {
			start := time.Now()
			j.views.mu.Lock()
			j.summary.Start = start
			j.views.mu.Unlock()
			if err := j.pinger.Run(ctx, start); err != nil {
				failed[i] = fmt.Errorf("%s: %w", &j.summary.Target, err)
			}
			j.views.mu.Lock()
			j.summary.Elapsed = time.Since(start)
			j.views.mu.Unlock()
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

// finish reports on jobs that are over.
func finish(c *config, std stdio, jobs []*job, failed error) error {
	var summaries []*report.Summary
	silent := false
	for _, j := range jobs {
		summaries = append(summaries, j.summary)
		failed = errors.Join(failed, j.end())
		silent = silent || j.summary.Counts.Received() == 0
	}
	if len(jobs) > 1 && (c.format == "lab" || c.format == "ping") {
		failed = errors.Join(failed, report.Table(std.out, summaries))
	}
	switch {
	case failed != nil:
		return failed
	case silent:
		return errNoReply
	}
	return nil
}

// nonce returns a number that names a run and cannot be guessed.
func nonce() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint64(b[:])
}
