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
		if !strings.HasPrefix(line, "#") {
			lines = append(lines, strings.TrimSuffix(line, "\n"))
		}
	}
	for i := 0; i+1 < len(lines); i += 2 {
		pairs = append(pairs, [2]string{lines[i], lines[i+1]})
	}
	if len(pairs) != 5 {
		tb.Fatalf("%d vectors, want 5", len(pairs))
	}
	return pairs
}

// reports are the reports in the replies of testdata/extension.txt.
var reports = []*Report{
	{Received: time.Unix(0, 1763678999123500000), Residence: 1500, Count: 1, Answered: 1, Top: 1},
	{
		Received: time.Unix(0, 1763679000000000001), Residence: 0xFFFFFFFF, Count: 9, Answered: 6, Top: 12,
		SeenMask: 0b10111111011, AnsMask: 0b10101101010,
	},
	{
		Received: time.Unix(0, 1763679000999999999), Count: 4294967295, Answered: 2863311530, Top: 4294967295,
		SeenMask: 1<<48 - 1, AnsMask: 0xABCDEF012345,
	},
	nil,
	nil,
}

func TestGoldenVectors(t *testing.T) {
	for i, pair := range vectors(t) {
		quality, report := Judge([]byte(pair[0]), []byte(pair[1]))
		if quality != Intact {
			t.Errorf("vector %d: quality %d", i+1, quality)
		}
		if diff := cmp.Diff(reports[i], report); diff != "" {
			t.Errorf("vector %d: report (-want +got):\n%s", i+1, diff)
		}
	}
}

func TestFormatWritesTheGoldenRequests(t *testing.T) {
	pairs := vectors(t)
	at := func(micros int64) time.Time { return time.UnixMicro(micros) }
	full := Format{Nonce: 0x0123456789ABCDEF}
	short := Format{Nonce: 0x0123456789ABCDEF, Size: 40}
	for _, tt := range []struct{ want, got string }{
		{pairs[0][0], string(full.Append(nil, 1, at(1763678999123456)))},
		{pairs[3][0], string(full.Append(nil, 3, at(1763679001500000)))},
		{pairs[4][0], string(short.Append(nil, 4, at(1763679002500000)))},
		{"Heartbeat 5 1763679002.000007", string(AppendHeartbeat(nil, 5, at(1763679002000007)))},
	} {
		if diff := cmp.Diff(tt.want, tt.got); diff != "" {
			t.Errorf("message (-want +got):\n%s", diff)
		}
	}
}

func TestSizes(t *testing.T) {
	now := time.Unix(1763679002, 0)
	for _, size := range []int{MinSize, MinSize + 1, FullSize - 1, FullSize, 1024, 1500, MaxSize} {
		f := Format{Nonce: 1, Size: size}
		for _, seq := range []uint64{1, 9_999_999_999} {
			msg := f.Append(nil, seq, now)
			if len(msg) != size {
				t.Errorf("size %d, sequence %d: message has %d bytes", size, seq, len(msg))
			}
			if got, ok := f.Identify(bytes.ToUpper(msg)); !ok || got != seq {
				t.Errorf("size %d: sequence %d is read as %d, %v", size, seq, got, ok)
			}
			if has := slot(msg) > 0; has != (size >= FullSize) {
				t.Errorf("size %d: extension %v", size, has)
			}
		}
	}
}

func TestJudge(t *testing.T) {
	request, filled := vectors(t)[1][0], vectors(t)[1][1]
	plain := strings.ToUpper(request)
	flip := func(s string, at int) string { return s[:at] + string(s[at]^1) + s[at+1:] }
	at := strings.Index(request, "....")
	for _, tt := range []struct {
		name, reply string
		want        Quality
		report      bool
	}{
		{"plain server", plain, Intact, false},
		{"our server", filled, Intact, true},
		{"cut in the line", plain[:10], Truncated, false},
		{"cut in the free slot", plain[:at+5], Truncated, false},
		{"cut in the filled slot", filled[:at+5], Truncated, false},
		{"cut behind the filled slot", filled[:len(filled)-1], Truncated, false},
		{"nothing left", "", Truncated, false},
		{"one bit in the line", flip(filled, 3), Corrupt, false},
		{"one bit in the free slot", flip(plain, at+4), Corrupt, false},
		{"one bit in the filled slot", flip(filled, at+4), Corrupt, false},
		{"one bit in the checksum", flip(filled, at+79), Corrupt, false},
		{"one bit in the padding", flip(filled, len(filled)-1), Corrupt, false},
		{"cut and damaged", flip(plain[:30], 29), Corrupt, false},
		{"longer", filled + "X", Corrupt, false},
		{"not in capitals", request, Unchanged, false},
		{"something else", "how do you do", Corrupt, false},
	} {
		quality, report := Judge([]byte(request), []byte(tt.reply))
		if quality != tt.want || (report != nil) != tt.report {
			t.Errorf("%s: quality %d, report %v; want %d, %v", tt.name, quality, report, tt.want, tt.report)
		}
	}
}

func TestEveryFlippedBitIsFound(t *testing.T) {
	request, filled := []byte(vectors(t)[1][0]), []byte(vectors(t)[1][1])
	for bit := range 8 * len(filled) {
		damaged := bytes.Clone(filled)
		damaged[bit/8] ^= 1 << (bit % 8)
		if quality, _ := Judge(request, damaged); quality != Corrupt {
			t.Errorf("bit %d turned over: quality %d", bit, quality)
		}
	}
}

func TestIdentify(t *testing.T) {
	f := Format{Nonce: 0xFEDCBA9876543210}
	reply := vectors(t)[1][1]
	for _, tt := range []struct {
		name, reply string
		seq         uint64
		ok          bool
	}{
		{"own", reply, 12, true},
		{"another run's", strings.Replace(reply, "FEDC", "FEDD", 1), 0, false},
		{"cut in the nonce", reply[:40], 0, false},
		{"a plain ping", "PING 12 1763679000.000000", 0, false},
		{"no number", strings.Replace(reply, " 12 ", " X2 ", 1), 0, false},
		{"empty", "", 0, false},
	} {
		if seq, ok := f.Identify([]byte(tt.reply)); ok != tt.ok || ok && seq != tt.seq {
			t.Errorf("%s: %d, %v; want %d, %v", tt.name, seq, ok, tt.seq, tt.ok)
		}
	}
}

func TestText(t *testing.T) {
	pairs := vectors(t)
	for _, tt := range []struct{ reply, want string }{
		{pairs[0][1], "PING 1 1763678999.123456"},
		{pairs[3][1], "PING 3 1763679001.500000"},
		{pairs[4][1], "PING 4 1763679002.500000"},
		{"PING 1 17 how do you do", "PING 1 17 how do you do"},
		{"\x1b[2J\x07\xff ok", "?[2J?? ok"},
		{strings.Repeat("A", 5000), strings.Repeat("A", 200)},
	} {
		if got := Text([]byte(tt.reply)); got != tt.want {
			t.Errorf("Text(%.40q) = %q, want %q", tt.reply, got, tt.want)
		}
	}
}

func TestDistanceIsLeastForTheRightRequest(t *testing.T) {
	f := Format{Nonce: 77}
	var requests [][]byte
	for seq := range uint64(30) {
		requests = append(requests, f.Append(nil, seq, time.Unix(1763679000, int64(seq)*10_123_457)))
	}
	for i, request := range requests {
		reply := bytes.ToUpper(request)
		reply[5] ^= 4 // the sequence itself is damaged
		best, at := 1<<30, -1
		for j, other := range requests {
			if d := Distance(other, reply); d < best {
				best, at = d, j
			}
		}
		if at != i || best != 1 {
			t.Errorf("reply %d is nearest to request %d, at %d", i, at, best)
		}
	}
}

func FuzzJudge(f *testing.F) {
	for _, pair := range vectors(f) {
		f.Add([]byte(pair[1]), uint16(pair[0][5]), uint16(0))
		f.Add([]byte(pair[1][:30]), uint16(1), uint16(1400))
	}
	f.Fuzz(func(t *testing.T, reply []byte, seq, size uint16) {
		format := Format{Nonce: 0x0123456789ABCDEF}
		if size >= MinSize {
			format.Size = int(size)
		}
		request := format.Append(nil, uint64(seq), time.UnixMicro(1763678999123456))
		quality, report := Judge(request, reply)
		if quality == Intact && len(reply) != len(request) || quality == Truncated && len(reply) >= len(request) {
			t.Errorf("quality %d for %d bytes of %d", quality, len(reply), len(request))
		}
		if report != nil && quality != Intact {
			t.Error("a damaged reply has a report")
		}
		if got, ok := format.Identify(reply); quality == Intact && (!ok || got != uint64(seq)) {
			t.Errorf("intact reply %q is not identified", reply)
		}
		for _, c := range []byte(Text(reply)) {
			if c < ' ' || c > '~' {
				t.Errorf("text holds byte %d", c)
			}
		}
		Distance(request, reply)
	})
}
