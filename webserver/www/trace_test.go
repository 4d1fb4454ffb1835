package www

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The format of a trace, as README.md describes it.
type (
	traceHeader struct {
		Trace   string    `json:"trace"`
		Version int       `json:"version"`
		Lab     string    `json:"lab"`
		At      string    `json:"at"`
		Start   time.Time `json:"start"`
	}
	traceEvent struct {
		Time         *int64 `json:"time"`
		Conversation string `json:"conversation"`
		From         string `json:"from"`
		To           string `json:"to"`
		What         string `json:"what"`
		Text         string `json:"text"`
		Size         *int64 `json:"size"`
		ID           string `json:"id"`
		Fate         string `json:"fate"`
		Why          string `json:"why"`
		RFC          int    `json:"rfc"`
		Section      string `json:"section"`
		Step         string `json:"step"`
		Transport    string `json:"transport"`
		Source       string `json:"source"`
		Destination  string `json:"destination"`
		Func         string `json:"func"`
		File         string `json:"file"`
	}
)

var (
	traceText    = regexp.MustCompile(`^([ -\[\]-~]|\\([\\rnt]|x[0-9a-f]{2}))*$`)
	traceSection = regexp.MustCompile(`^\d+(\.\d+)*$`)
	traceFile    = regexp.MustCompile(`^\w+\.go:\d+$`)
)

// TestTraces: the recorded traces are what the description says, line by line, and
// hold each lab's events that the viewer is to show.
func TestTraces(t *testing.T) {
	want := map[string][]string{ // lab: what its trace must have
		"webserver":     {`"what":"decision"`, `"rfc":9110`, `"step":"7 open"`, `image.png`},
		"udppinger":     {`"what":"timer"`, `"fate":"lost"`, `"fate":"late"`, `"fate":"duplicate"`, `"fate":"reordered"`},
		"udppingserver": {`"what":"datagram"`, `"fate":"lost"`},
		"smtpclient":    {`"text":"tls"`, `STARTTLS`, `RETR 1`},
		"proxyserver":   {`"fate":"miss"`, `"fate":"hit"`, `"rfc":9111`},
	}
	for lab, parts := range want {
		t.Run(lab, func(t *testing.T) {
			text, err := fs.ReadFile(Files, lab+".ndjson")
			if err != nil {
				t.Fatal(err)
			}
			for _, part := range parts {
				if !strings.Contains(string(text), part) {
					t.Errorf("no %s", part)
				}
			}
			if !bytes.HasSuffix(text, []byte("}\n")) {
				t.Error("the last line is cut")
			}
			lines := bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
			var header traceHeader
			strict(t, lines[0], &header)
			if header.Trace != "topdown" || header.Version != 1 || header.Lab != lab || header.Start.IsZero() {
				t.Errorf("header %s", lines[0])
			}
			parties := map[string]bool{}
			for _, line := range lines[1:] {
				var e traceEvent
				strict(t, line, &e)
				parties[e.From] = true
				if problem := e.problem(); problem != "" {
					t.Errorf("%s: %s", problem, line)
				}
			}
			if !parties[header.At] {
				t.Errorf("the one who writes, %q, takes no part", header.At)
			}
		})
	}
}

func strict(t *testing.T, line []byte, into any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		t.Errorf("%v: %s", err, line)
	}
}

// problem says how an event is not as described, "" if it is.
func (e *traceEvent) problem() string {
	switch e.What {
	case "line", "bytes", "datagram":
		if e.To == "" || e.To == e.From {
			return "a message to nobody"
		}
	case "state":
		switch e.Text {
		case "open", "reused", "tls", "close", "reset":
		default:
			return "an unknown state"
		}
	case "decision", "timer":
	default:
		return "an unknown kind of event"
	}
	switch {
	case e.Time == nil || *e.Time < 0:
		return "no time"
	case e.Conversation == "" || e.From == "":
		return "no conversation or nobody speaks"
	case e.What != "decision" && e.What != "timer" && !traceText.MatchString(e.Text):
		return "text with other than printable ASCII and escapes"
	case e.Size != nil && *e.Size <= 0:
		return "no size"
	case e.Section != "" && (e.RFC == 0 || !traceSection.MatchString(e.Section)):
		return "no section of an RFC"
	case (e.Source == "") != (e.Destination == "") || e.Transport != "" && e.Transport != "tcp" && e.Transport != "udp":
		return "half an address or an unknown transport"
	case e.Func != "" && !traceFile.MatchString(e.File):
		return "no file and line"
	}
	return ""
}
