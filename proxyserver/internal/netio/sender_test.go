package netio

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func tempFile(t *testing.T, content []byte) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestSender(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 100_000)
	clock := NewClock(t.Context())
	for name, tt := range map[string]struct {
		send        func(w io.Writer, f *os.File) (int64, error)
		announced   int64
		sent        int64
		want        error
		hideTCP     bool
		headArrives bool
	}{
		"a file": {func(w io.Writer, f *os.File) (int64, error) {
			return io.Copy(w, io.NewSectionReader(f, 0, int64(len(content))))
		}, int64(len(content)), int64(len(content)), nil, false, true},
		"a file where the kernel cannot": {func(w io.Writer, f *os.File) (int64, error) {
			return io.Copy(w, io.NewSectionReader(f, 0, int64(len(content))))
		}, int64(len(content)), int64(len(content)), nil, true, true},
		"a file in two parts": {func(w io.Writer, f *os.File) (int64, error) {
			a, err := io.Copy(w, io.NewSectionReader(f, 0, 1000))
			b, err2 := io.Copy(w, io.NewSectionReader(f, 1000, int64(len(content))-1000))
			return a + b, errors.Join(err, err2)
		}, int64(len(content)), int64(len(content)), nil, false, true},
		"memory": {func(w io.Writer, _ *os.File) (int64, error) {
			n, err := w.Write(content)
			return int64(n), err
		}, int64(len(content)), int64(len(content)), nil, false, true},
		"a reader": {func(w io.Writer, _ *os.File) (int64, error) {
			return io.Copy(w, io.MultiReader(bytes.NewReader(content)))
		}, int64(len(content)), int64(len(content)), nil, false, true},
		"a file that has shrunk": {func(w io.Writer, f *os.File) (int64, error) {
			return io.Copy(w, io.NewSectionReader(f, 0, int64(len(content))+5))
		}, int64(len(content)) + 5, int64(len(content)), nil, false, true},
		"a file that is too long": {func(w io.Writer, f *os.File) (int64, error) {
			return io.Copy(w, io.NewSectionReader(f, 0, int64(len(content))))
		}, int64(len(content)) - 1, 0, ErrTooLong, false, false},
		"memory that is too long": {func(w io.Writer, _ *os.File) (int64, error) {
			n, err := w.Write(content)
			return int64(n), err
		}, int64(len(content)) - 1, 0, ErrTooLong, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			conn, peer := pair(t, clock)
			if tt.hideTCP {
				conn.tcp = nil
			}
			got := collect(peer)
			s := NewSender(conn, []byte("head\r\n\r\n"), tt.announced, time.Minute)
			n, err := tt.send(s, tempFile(t, content))
			if !errors.Is(err, tt.want) || n != tt.sent || s.Sent != n || s.Left != tt.announced-n {
				t.Errorf("%d bytes, %d counted, %d left, %v", n, s.Sent, s.Left, err)
			}
			conn.Shut()
			want := ""
			if tt.headArrives {
				want = "head\r\n\r\n"
			}
			if want += string(content[:tt.sent]); string(<-got) != want {
				t.Error("other bytes arrived")
			}
			if conn.Sent.Load() != int64(len(want)) {
				t.Errorf("the connection counts %d bytes, want %d", conn.Sent.Load(), len(want))
			}
		})
	}
}

func TestSenderToOneWhoDoesNotRead(t *testing.T) {
	big := make([]byte, 64<<20)
	for name, send := range map[string]func(w io.Writer) error{
		"memory": func(w io.Writer) error {
			_, err := w.Write(big)
			return err
		},
		"file": func(w io.Writer) error {
			_, err := io.Copy(w, io.NewSectionReader(tempFile(t, big), 0, int64(len(big))))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			conn, _ := pair(t, NewClock(t.Context()))
			if err := send(NewSender(conn, nil, int64(len(big)), 300*time.Millisecond)); !IsTimeout(err) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// A peer that reads slowly gets all of a file, as long as it reads on.
func TestSenderToOneWhoReadsSlowly(t *testing.T) {
	conn, peer := pair(t, NewClock(t.Context()))
	peer.SetReadBuffer(64 << 10)
	content := make([]byte, 8<<20)
	done := make(chan int64)
	go func() {
		var n int64
		for pause := time.NewTicker(50 * time.Millisecond); ; <-pause.C {
			k, err := io.CopyN(io.Discard, peer, 512<<10)
			if n += k; err != nil {
				done <- n
				return
			}
		}
	}()
	s := NewSender(conn, nil, int64(len(content)), 600*time.Millisecond)
	if _, err := io.Copy(s, io.NewSectionReader(tempFile(t, content), 0, int64(len(content)))); err != nil {
		t.Error(err)
	}
	conn.CloseWrite()
	if n := <-done; n != int64(len(content)) {
		t.Errorf("%d bytes arrived of %d", n, len(content))
	}
}

var _ io.ReaderFrom = (*Sender)(nil)

var _ net.Conn = (*Conn)(nil)
