package httpmsg

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBody(t *testing.T) {
	long := strings.Repeat("x", 1000)
	for _, tt := range []struct {
		name     string
		framing  Framing
		text     string // the source goes on with "NEXT"
		limits   BodyLimits
		want     string
		trailers Fields
	}{
		{"none", 0, "", BodyLimits{}, "", nil},
		{"length", 5, "hello", BodyLimits{}, "hello", nil},
		{"length at the limit", 5, "hello", BodyLimits{Size: 5}, "hello", nil},
		{"no chunk", Chunked, "0\r\n\r\n", BodyLimits{}, "", nil},
		{"chunks", Chunked, "5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", BodyLimits{}, "hello!", nil},
		{"size in both cases", Chunked, "a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", BodyLimits{}, "01234567890123456789", nil},
		{"size with leading zeros", Chunked, "0005\r\nhello\r\n000\r\n\r\n", BodyLimits{}, "hello", nil},
		{"long chunk", Chunked, "3e8\r\n" + long + "\r\n0\r\n\r\n", BodyLimits{}, long, nil},
		{"chunks at the limit", Chunked, "5\r\nhello\r\n0\r\n\r\n", BodyLimits{Size: 5}, "hello", nil},
		{
			"extensions", Chunked,
			"5;a\r\nhello\r\n1;a=b ; c=\"d;\\\"\"\r\n!\r\n0;x\r\n\r\n",
			BodyLimits{},
			"hello!", nil,
		},
		{"trailers", Chunked, "0\r\nA: b\r\nC: d\r\n\r\n", BodyLimits{}, "", Fields{{"A", "b"}, {"C", "d"}}},
	} {
		for _, slowly := range []bool{false, true} {
			t.Run(tt.name, func(t *testing.T) {
				src := source(tt.text+"NEXT", slowly)
				body := NewBody(src, tt.framing, tt.limits)
				got, err := io.ReadAll(body)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tt.want, string(got)); diff != "" {
					t.Errorf("content (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(tt.trailers, body.Trailers); diff != "" {
					t.Errorf("trailers (-want +got):\n%s", diff)
				}
				if !body.Done() || body.Size() != int64(len(tt.want)) {
					t.Errorf("done %v, size %d", body.Done(), body.Size())
				}
				if rest, _ := io.ReadAll(src); string(rest) != "NEXT" {
					t.Errorf("left in the source: %q", rest)
				}
			})
		}
	}
}

func TestBodyUntilClose(t *testing.T) {
	body := NewBody(source("all of it", false), UntilClose, BodyLimits{})
	got, err := io.ReadAll(body)
	if err != nil || string(got) != "all of it" || !body.Done() {
		t.Errorf("got %q, error %v, done %v", got, err, body.Done())
	}
}

// TestRefusedBodies has a case for each way in which a body can be wrong.
func TestRefusedBodies(t *testing.T) {
	for _, tt := range []struct {
		name    string
		framing Framing
		text    string
		limits  BodyLimits
		want    int
	}{
		{"truncated length", 5, "hell", BodyLimits{}, 400},
		{"truncated to nothing", 5, "", BodyLimits{}, 400},
		{"length over the limit", 6, "hello!", BodyLimits{Size: 5}, 413},
		{"until close over the limit", UntilClose, "hello!", BodyLimits{Size: 5}, 413},
		{"one chunk over the limit", Chunked, "6\r\nhello!\r\n0\r\n\r\n", BodyLimits{Size: 5}, 413},
		{"many chunks over the limit", Chunked, "3\r\nhel\r\n3\r\nlo!\r\n0\r\n\r\n", BodyLimits{Size: 5}, 413},

		{"size with 0x", Chunked, "0x5\r\nhello\r\n0\r\n\r\n", BodyLimits{}, 400},
		{"size with an underscore", Chunked, "1_0\r\nhello\r\n0\r\n\r\n", BodyLimits{}, 400},
		{"size with plus", Chunked, "+5\r\nhello\r\n0\r\n\r\n", BodyLimits{}, 400},
		{"size negative", Chunked, "-5\r\nhello\r\n0\r\n\r\n", BodyLimits{}, 400},
		{"space before the size", Chunked, " 5\r\nhello\r\n0\r\n\r\n", BodyLimits{}, 400},
		{"space after the size", Chunked, "5 \r\nhello\r\n0\r\n\r\n", BodyLimits{}, 400},
		{"size empty", Chunked, "\r\nhello\r\n0\r\n\r\n", BodyLimits{}, 400},
		{"size that is no number", Chunked, "five\r\nhello\r\n0\r\n\r\n", BodyLimits{}, 400},
		{"size over 64 bits", Chunked, "10000000000000005\r\nhello\r\n0\r\n\r\n", BodyLimits{}, 400},
		{"size of a hundred digits", Chunked, strings.Repeat("0", 99) + "5\r\nhello\r\n0\r\n\r\n", BodyLimits{}, 400},
		{"no CRLF after a chunk", Chunked, "5\r\nhello0\r\n\r\n", BodyLimits{}, 400},
		{"chunk longer than its size", Chunked, "4\r\nhello\r\n0\r\n\r\n", BodyLimits{}, 400},
		{"bare LF after the size", Chunked, "5\nhello\r\n0\r\n\r\n", BodyLimits{}, 400},
		{"bare LF after a chunk", Chunked, "5\r\nhello\n0\r\n\r\n", BodyLimits{}, 400},
		{"bare CR after the size", Chunked, "5\rX\nhello\r\n0\r\n\r\n", BodyLimits{}, 400},
		{"bare LF in the trailers", Chunked, "0\r\nA: b\n\r\n", BodyLimits{}, 400},
		{"bare LF at the end", Chunked, "0\r\n\n", BodyLimits{}, 400},
		{"bad trailer", Chunked, "0\r\nno field\r\n\r\n", BodyLimits{}, 400},
		{"folded trailer", Chunked, "0\r\nA: b\r\n c\r\n\r\n", BodyLimits{}, 400},
		{"trailers too large", Chunked, "0\r\n" + strings.Repeat("A: b\r\n", 20) + "\r\n", BodyLimits{Trailers: 100}, 431},
		{"truncated chunk", Chunked, "5\r\nhel", BodyLimits{}, 400},
		{"truncated size", Chunked, "5", BodyLimits{}, 400},
		{"no last chunk", Chunked, "5\r\nhello\r\n", BodyLimits{}, 400},
		{"truncated trailers", Chunked, "0\r\nA: b\r\n", BodyLimits{}, 400},

		{"extension without a name", Chunked, "5;\r\nhello\r\n0\r\n\r\n", BodyLimits{}, 400},
		{"extension without a value", Chunked, "5;a=\r\nhello\r\n0\r\n\r\n", BodyLimits{}, 400},
		{"extension with an open quote", Chunked, "5;a=\"b\r\nhello\r\n0\r\n\r\n", BodyLimits{}, 400},
		{"extension with a control character", Chunked, "5;a\x00\r\nhello\r\n0\r\n\r\n", BodyLimits{}, 400},
		{"extension with a bare CR", Chunked, "5;a\rb\r\nhello\r\n0\r\n\r\n", BodyLimits{}, 400},
		{"extension with a bare CR in quotes", Chunked, "5;a=\"\r\"\r\nhello\r\n0\r\n\r\n", BodyLimits{}, 400},
		{"extension that ends in a space", Chunked, "5;a \r\nhello\r\n0\r\n\r\n", BodyLimits{}, 400},
		{"extension without a semicolon", Chunked, "5 a\r\nhello\r\n0\r\n\r\n", BodyLimits{}, 400},
		{"size line without end", Chunked, "5;" + strings.Repeat("a", 10_000), BodyLimits{}, 400},
		{
			"extensions too large for the data", Chunked,
			strings.Repeat("1;"+strings.Repeat("a", 99)+"\r\nx\r\n", 20) + "0\r\n\r\n",
			BodyLimits{Overhead: 1000},
			400,
		},
	} {
		for _, slowly := range []bool{false, true} {
			t.Run(tt.name, func(t *testing.T) {
				body := NewBody(source(tt.text, slowly), tt.framing, tt.limits)
				got, err := io.ReadAll(body)
				if status(err) != tt.want {
					t.Errorf("status %d (%v), want %d", status(err), err, tt.want)
				}
				if tt.limits.Size > 0 && int64(len(got)) > tt.limits.Size {
					t.Errorf("%d bytes came through a limit of %d", len(got), tt.limits.Size)
				}
				if body.Done() {
					t.Error("the body calls itself done")
				}
				if _, again := body.Read(make([]byte, 1)); !errors.Is(again, err) {
					t.Errorf("second error %v, first %v", again, err)
				}
			})
		}
	}
}

// TestSignedChunks: a signature on each chunk is no attack, however many there
// are; the same for chunks of one byte.
func TestSignedChunks(t *testing.T) {
	for name, chunk := range map[string]string{
		"signed": "40;signature=" + strings.Repeat("f", 64) + "\r\n" + strings.Repeat("x", 0x40) + "\r\n",
		"tiny":   "1\r\nx\r\n",
	} {
		got, err := io.Copy(io.Discard, NewBody(source(strings.Repeat(chunk, 10_000)+"0\r\n\r\n", false), Chunked, BodyLimits{}))
		if err != nil || got < 10_000 {
			t.Errorf("%s: %d bytes, %v", name, got, err)
		}
	}
}

func TestTruncationIsTold(t *testing.T) {
	for _, framing := range []Framing{5, Chunked} {
		_, err := io.ReadAll(NewBody(source("2\r\n", false), framing, BodyLimits{}))
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("framing %d: error %v, want unexpected EOF in it", framing, err)
		}
	}
}
