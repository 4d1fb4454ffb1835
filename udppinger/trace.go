package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"topdown/udppinger/internal/ping"
	"topdown/udppinger/internal/tracefile"
)

// trace begins the file of --trace-file.
func (c *config) trace(std stdio, jobs []*job) (stop func(), err error) {
	if c.traceFile == "" {
		return func() {}, nil
	}
	out, err := os.Create(c.traceFile)
	if err != nil {
		return nil, fileError("--trace-file", c.traceFile, err)
	}
	file := tracefile.New(out, name, "client", time.Now(), ping.TraceHelpers...)
	for i, j := range jobs {
		j.trace = ping.NewTrace(file, strconv.Itoa(i+1), j.pinger.Target, c.tcp, c.schedule.Timeout)
		j.pinger.Conn = j.trace.Conn(j.pinger.Conn)
	}
	return func() {
		if err := errors.Join(file.Err(), out.Close()); err != nil {
			fmt.Fprintf(std.err, "%s: warning: --trace-file %s: %v\n", name, c.traceFile, err)
		}
	}, nil
}
