// Package logging writes what the labs log.
//
// New makes the one kind of logger that every lab uses for life-cycle events and
// faults: a zap logger set up from two command-line flags, a level and a format.
//
// AccessLog is what the daemons tell of each request: a line in the combined
// format that log analysers read, or a JSON object. It never holds a request up.
//
// Results (round-trip times, transcripts) are output, not logs, and do not pass
// through here.
package logging

import (
	"fmt"
	"io"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Levels and Formats name the accepted values, for a flag's usage text.
const (
	Levels  = "debug, info, warn, error"
	Formats = "console, json"
)

// New returns a logger that writes entries of the given level and above to w,
// one line each. Level is one of Levels, format one of Formats; empty strings
// mean "info" and "console". An unknown level or format is an error that names
// the accepted ones.
func New(w io.Writer, level, format string) (*zap.Logger, error) {
	if level == "" {
		level = "info"
	}
	min, err := zapcore.ParseLevel(level)
	if err != nil || min > zapcore.ErrorLevel {
		return nil, fmt.Errorf("log level %q is unknown: use one of %s", level, Levels)
	}
	config := zapcore.EncoderConfig{
		TimeKey:        "time",
		LevelKey:       "level",
		NameKey:        "logger",
		MessageKey:     "msg",
		EncodeTime:     zapcore.ISO8601TimeEncoder,
		EncodeLevel:    zapcore.LowercaseLevelEncoder,
		EncodeDuration: zapcore.StringDurationEncoder,
	}
	var encoder zapcore.Encoder
	switch format {
	case "", "console":
		encoder = zapcore.NewConsoleEncoder(config)
	case "json":
		encoder = zapcore.NewJSONEncoder(config)
	default:
		return nil, fmt.Errorf("log format %q is unknown: use one of %s", format, Formats)
	}
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(w)), min)), nil
}
