package session

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"topdown/smtpclient/internal/tracefile"

	"github.com/google/go-cmp/cmp"
)

var lessons = &Lessons{
	Steps: map[string]Lesson{
		"connect": {"Connect", "RFC 5321 section 3.1", "A TCP connection."},
		"MAIL":    {"Sender", "RFC 5321 section 4.1.1.2", "Who sends."},
		"RCPT":    {"Recipient", "RFC 5321 section 4.1.1.3", "Who gets it."},
	},
	Meaning: func(line string) string {
		if strings.HasPrefix(line, "550") {
			return "refused for good"
		}
		return ""
	},
}

func ExampleTranscript() {
	at := time.Unix(0, 0)
	show := Transcript(os.Stdout, Trace, lessons)
	show(Event{at, Client, "MAIL", "MAIL FROM:<a@lab.test>"})
	show(Event{at, Client, "RCPT", "RCPT TO:<b@lab.test>"})
	show(Event{at.Add(1500 * time.Microsecond), Server, "MAIL", "250 ok"})
	show(Event{at.Add(2 * time.Second), Server, "RCPT", "550 nobody"})
	show(Event{at.Add(2 * time.Second), Verdict, "RCPT", "250 reply not received from server."})
	// Output:
	// # Sender (RFC 5321 section 4.1.1.2)
	// #   Who sends.
	//    0.000s C: MAIL FROM:<a@lab.test>
	//
	// # Recipient (RFC 5321 section 4.1.1.3)
	// #   Who gets it.
	//    0.000s C: RCPT TO:<b@lab.test>
	//
	// # Sender: the answer
	//    0.002s S: 250 ok
	//
	// # Recipient: the answer
	//    2.000s S: 550 nobody
	// #   refused for good
	//    2.000s !: 250 reply not received from server.
}

func TestTranscriptDetail(t *testing.T) {
	if Transcript(os.Stdout, Nothing, lessons) != nil {
		t.Error("Nothing is watched")
	}
	for detail, want := range map[Detail]string{
		Replies: "550 no\n250 reply not received from server.\n",
		Both:    "   0.000s C: RCPT\n   0.000s S: 550 no\n   0.000s !: 250 reply not received from server.\n   0.000s -: TLS\n",
	} {
		var b strings.Builder
		show := Transcript(&b, detail, lessons)
		for _, e := range []Event{
			{From: Client, Step: "RCPT", Line: "RCPT"},
			{From: Server, Step: "RCPT", Line: "550 no"},
			{From: Verdict, Step: "RCPT", Line: "250 reply not received from server."},
			{From: Note, Step: "x", Line: "TLS"},
		} {
			show(e)
		}
		if diff := cmp.Diff(want, b.String()); diff != "" {
			t.Error(diff)
		}
	}
}

// TestTracer writes a session to a trace file: lines, content in one event and
// cut, secrets masked, explanations once.
func TestTracer(t *testing.T) {
	var out strings.Builder
	file := tracefile.New(&out, "smtpclient", "client", time.Now())
	cfg := &Config{Trace: NewTracer(file), Lessons: lessons, Mask: &Mask{}}
	cfg.Mask.Add("top-secret")
	c, stop := connected(t, cfg, "550 top-secret is no reason")
	c.Step("RCPT")
	if err := c.Command("RCPT", "RCPT TO:<top-secret@lab.test>", time.Minute); err != nil {
		t.Fatal(err)
	}
	line, err := c.ReadLine()
	if err != nil {
		t.Fatal(err)
	}
	c.Emit(Server, line)
	c.Emit(Verdict, "250 reply not received from server.")
	c.Received([]byte("Subject: top-secret\r\n"))
	c.Received([]byte(strings.Repeat("x", 10<<10)))
	c.Emit(Client, "QUIT")
	stop()
	if err := file.Err(); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "top-secret") {
		t.Errorf("the trace has the secret:\n%s", out.String())
	}
	var got []string
	for line := range strings.Lines(out.String()) {
		var e struct {
			From, To, What, Text, Why, Section string
			RFC                                int
			Size                               int
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if len(e.Text) > 100 {
			e.Text = e.Text[:30] + "…"
		}
		got = append(got, fmt.Sprintf("%s %s %s %q %d %s %q %d", e.From, e.To, e.What, e.Text, e.RFC, e.Section, e.Why, e.Size))
	}
	want := []string{
		`client server state "open" 5321 3.1 "A TCP connection." 0`,
		`client server line "RCPT TO:<****@lab.test>\\r\\n" 5321 4.1.1.3 "Who gets it." 0`,
		`server client line "550 **** is no reason\\r\\n" 5321 4.1.1.3 "refused for good" 0`,
		`client  decision "250 reply not received from server." 5321 4.1.1.3 "" 0`,
		`server client bytes "Subject: ****\\r\\nxxxxxxxxxxxxx…" 0  "" 10261`,
		`client server line "QUIT\\r\\n" 5321 4.1.1.3 "" 0`,
		`client server state "close" 0  "" 0`,
	}
	if diff := cmp.Diff(want, got[len(got)-len(want):]); diff != "" {
		t.Error(diff)
	}
}
