package wire

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// vectors reads testdata/extension.txt, which both ends of the protocol test
// themselves against: pairs of lines, a request and the server's reply to it.
func vectors(tb testing.TB) (pairs [][2]string) {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "extension.txt"))
	if err != nil {
		tb.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "#") && line != "\n" {
			lines = append(lines, strings.TrimSuffix(line, "\n"))
		}
	}
	for i := 0; i+1 < len(lines); i += 2 {
		pairs = append(pairs, [2]string{lines[i], lines[i+1]})
	}
	if len(pairs) < 3 {
		tb.Fatalf("only %d vectors", len(pairs))
	}
	return pairs
}

// reports are the reports behind the replies of testdata/extension.txt.
var reports = []Report{
	{Received: time.Unix(0, 1763678999123500000), Residence: 1500, Count: 1, Answered: 1, Top: 1},
	{
		Received: time.Unix(0, 1763679000000000001), Residence: time.Hour, Count: 9, Answered: 6, Top: 12,
		SeenMask: 0b10111111011, AnsMask: 0b10101101010,
	},
	{
		Received: time.Unix(0, 1763679000999999999), Residence: 0, Count: 4294967295, Answered: 2863311530, Top: 4294967295,
		SeenMask: 1<<48 - 1, AnsMask: 0xABCDEF012345,
	},
}

func TestGoldenVectors(t *testing.T) {
	for i, pair := range vectors(t) {
		msg := []byte(pair[0])
		req, ok := Parse(msg)
		if !ok {
			t.Fatalf("vector %d: request %q is not understood", i+1, msg)
		}
		Upper(msg)
		if i < len(reports) { // the rest go to a server without the extension
			Fill(msg, req, reports[i])
		}
		if diff := cmp.Diff(pair[1], string(msg)); diff != "" {
			t.Errorf("vector %d: reply (-want +got):\n%s", i+1, diff)
		}
		if again, ok := Parse(msg); i < len(reports) && (!ok || !again.Answered || again.Extended) {
			t.Errorf("vector %d: a filled reply is not known for one: %+v", i+1, again)
		}
	}
}

func TestVectorsAreTheClientsOwn(t *testing.T) {
	ours, err := os.ReadFile(filepath.Join("testdata", "extension.txt"))
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := os.ReadFile(filepath.Join("..", "..", "..", "udppinger", "internal", "wire", "testdata", "extension.txt"))
	if os.IsNotExist(err) {
		t.Skip("this lab stands alone: there is no udppinger beside it to compare with")
	}
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(ours, theirs) {
		t.Error("testdata/extension.txt differs between udppinger and udppingserver")
	}
}

func TestParse(t *testing.T) {
	slot := strings.Repeat(".", SlotLen)
	for _, tt := range []struct {
		name, msg string
		want      Request
		ok        bool
	}{
		{"the lab's line", "Ping 3 1763678999.5", Request{Verb: Ping, Seq: 3, Sent: 1763678999500 * time.Millisecond}, true},
		{"whole seconds", "ping 10 17", Request{Verb: Ping, Seq: 10, Sent: 17 * time.Second}, true},
		{"Python prints 7 digits", "PING 1 1763678999.1234567", Request{Verb: Ping, Seq: 1, Sent: 1763678999123456700}, true},
		{"many digits", "PING 1 1.12345678912345", Request{Verb: Ping, Seq: 1, Sent: 1123456789}, true},
		{"line end", "Ping 1 5.0\r\n", Request{Verb: Ping, Seq: 1, Sent: 5 * time.Second}, true},
		{"heartbeat", "Heartbeat 2 4.25", Request{Verb: Heartbeat, Seq: 2, Sent: 4250 * time.Millisecond}, true},
		{"another verb", "Hello 2 4.25", Request{Verb: Other, Seq: 2, Sent: 4250 * time.Millisecond}, true},
		{
			"extension", "Ping 7 1.5 TD1 00000000000000FF " + slot,
			Request{Verb: Ping, Seq: 7, Sent: 1500 * time.Millisecond, Nonce: 255, Extended: true},
			true,
		},
		{
			"padding after the slot", "Ping 7 1.5 TD1 00000000000000FF " + slot + " xxx",
			Request{Verb: Ping, Seq: 7, Sent: 1500 * time.Millisecond, Nonce: 255, Extended: true},
			true,
		},
		{"slot too short", "Ping 7 1.5 TD1 00000000000000FF " + slot[1:], Request{Verb: Ping, Seq: 7, Sent: 1500 * time.Millisecond}, true},
		{"nonce in small letters", "Ping 7 1.5 TD1 00000000000000ff " + slot, Request{Verb: Ping, Seq: 7, Sent: 1500 * time.Millisecond}, true},
		{
			"slot half filled", "Ping 7 1.5 TD1 00000000000000FF " + slot[1:] + "0",
			Request{Verb: Ping, Seq: 7, Sent: 1500 * time.Millisecond, Nonce: 255, Damaged: true},
			true,
		},
		{"empty", "", Request{}, false},
		{"no sequence", "Ping", Request{}, false},
		{"bad sequence", "Ping x 1.5", Request{}, false},
		{"negative", "Ping -1 1.5", Request{}, false},
		{"no time", "Ping 1", Request{}, false},
		{"bad time", "Ping 1 soon", Request{}, false},
		{"time beyond the clock", "Ping 1 99999999999", Request{}, false},
		{"free text", "how do you do", Request{}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := Parse([]byte(tt.msg))
			if ok != tt.ok {
				t.Fatalf("Parse(%q) reports %v", tt.msg, ok)
			}
			if !ok {
				return
			}
			got.slot = 0
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(Request{})); diff != "" {
				t.Errorf("Parse(%q) (-want +got):\n%s", tt.msg, diff)
			}
		})
	}
}

func TestUpperLeavesOtherBytesAlone(t *testing.T) {
	for c := range 256 {
		msg := []byte{byte(c)}
		Upper(msg)
		want := byte(c)
		if c >= 'a' && c <= 'z' {
			want -= 32
		}
		if msg[0] != want {
			t.Errorf("Upper turns byte %d into %d, want %d", c, msg[0], want)
		}
	}
}

func TestNothingIsAllocated(t *testing.T) {
	request := []byte(vectors(t)[0][0])
	msg := make([]byte, len(request))
	if n := testing.AllocsPerRun(1000, func() {
		copy(msg, request)
		req, _ := Parse(msg)
		Upper(msg)
		Fill(msg, req, reports[0])
	}); n != 0 {
		t.Errorf("%v allocations a packet, want 0", n)
	}
}

func FuzzParse(f *testing.F) {
	for _, pair := range vectors(f) {
		f.Add([]byte(pair[0]))
		f.Add([]byte(pair[1]))
	}
	f.Add([]byte("Heartbeat 18446744073709551616 9223372036.999"))
	f.Add([]byte("Ping 1 1..5 TD1 "))
	f.Fuzz(func(t *testing.T, msg []byte) {
		req, ok := Parse(msg)
		if !ok {
			return
		}
		if req.Extended && req.Answered || req.Sent < 0 {
			t.Fatalf("Parse(%q) = %+v", msg, req)
		}
		reply := bytes.Clone(msg)
		Upper(reply)
		Fill(reply, req, reports[1])
		if len(reply) != len(msg) {
			t.Fatalf("reply of %d bytes to a request of %d", len(reply), len(msg))
		}
		if again, ok := Parse(reply); req.Extended && (!ok || !again.Answered || again.Nonce != req.Nonce || again.Seq != req.Seq) {
			t.Fatalf("reply %q to %q is read as %+v", reply, msg, again)
		}
	})
}
