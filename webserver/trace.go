package main

import (
	"errors"
	"io"
	"os"
	"time"

	"topdown/webserver/internal/server"
	"topdown/webserver/internal/tracefile"

	"go.uber.org/zap"
)

// trace sets up the transcript, as text and as a file.
func (p *parts) trace(stderr io.Writer) (stop func(), err error) {
	stop = func() {}
	var file *tracefile.File
	if name := p.config.traceFile; name != "" {
		out, err := os.Create(name)
		if err != nil {
			return nil, fileError("--trace-file", name, err)
		}
		file = tracefile.New(out, "webserver", "server", time.Now(), server.TraceHelpers...)
		stop = func() {
			if err := errors.Join(file.Err(), out.Close()); err != nil {
				p.log.Warn("the trace file is not complete", zap.Error(err))
			}
		}
	}
	if !p.config.trace {
		stderr = nil
	}
	if stderr != nil || file != nil {
		p.server.Trace = server.NewTracer(stderr, time.Now)
		p.server.Trace.File = file
	}
	return stop, nil
}
