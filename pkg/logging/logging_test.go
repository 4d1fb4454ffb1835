package logging

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
)

func TestLevelFilters(t *testing.T) {
	for _, tt := range []struct {
		level string
		want  []string
	}{
		{"debug", []string{"debug", "info", "warn", "error"}},
		{"", []string{"info", "warn", "error"}},
		{"info", []string{"info", "warn", "error"}},
		{"warn", []string{"warn", "error"}},
		{"error", []string{"error"}},
	} {
		t.Run("level="+tt.level, func(t *testing.T) {
			var out bytes.Buffer
			log, err := New(&out, tt.level, "json")
			if err != nil {
				t.Fatal(err)
			}
			log.Debug("debug")
			log.Info("info")
			log.Warn("warn")
			log.Error("error")
			var got []string
			for line := range strings.Lines(out.String()) {
				var entry struct{ Msg string }
				if err := json.Unmarshal([]byte(line), &entry); err != nil {
					t.Fatalf("line %q: %v", line, err)
				}
				got = append(got, entry.Msg)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("entries (-want +got):\n%s", diff)
			}
		})
	}
}

func TestConsoleIsOneLine(t *testing.T) {
	var out bytes.Buffer
	log, err := New(&out, "info", "console")
	if err != nil {
		t.Fatal(err)
	}
	log.Info("listening", zap.String("address", "line one\nline two"))
	if n := strings.Count(out.String(), "\n"); n != 1 {
		t.Errorf("entry takes %d lines, want 1: %q", n, out.String())
	}
}

func TestUnknownValuesAreNamed(t *testing.T) {
	for _, tt := range []struct{ level, format, want string }{
		{"loud", "json", "debug, info, warn, error"},
		{"panic", "json", "debug, info, warn, error"},
		{"info", "xml", "console, json"},
	} {
		_, err := New(&bytes.Buffer{}, tt.level, tt.format)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("New(%q, %q): error %v, want one that lists %q", tt.level, tt.format, err, tt.want)
		}
	}
}
