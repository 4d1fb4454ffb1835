//go:build linux

package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const (
	mostKiB   = 32 << 10
	lineOfB64 = 57
)

// highWater is the most memory that a process has had, in KiB, as the kernel
// counts it.
func highWater(t *testing.T, pid int) (kib int) {
	t.Helper()
	for line := range strings.Lines(readFile(t, fmt.Sprintf("/proc/%d/status", pid))) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			if _, err := fmt.Sscan(rest, &kib); err != nil {
				t.Fatal(err)
			}
		}
	}
	return kib
}

// TestMemory sends and receives an attachment of several times the memory that
// the client may have: of 128 MiB, in CI of 1 GiB.
func TestMemory(t *testing.T) {
	t.Parallel()
	size := 128 << 20
	if os.Getenv("TOPDOWN_LARGE") != "" {
		size = 1 << 30
	}
	// The process is measured by its own server, when it has done its work and
	// waits for the last reply.
	run := func(name string, handle func(net.Conn, func()), args ...string) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			for i := range args {
				args[i] = strings.ReplaceAll(args[i], "ADDR", ln.Addr().String())
			}
			cmd := exec.Command(binary, args...)
			cmd.Env = append(os.Environ(), "SMTP_PASSWORD=some-password")
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			c, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			peak := 0
			handle(c, func() { peak = highWater(t, cmd.Process.Pid) })
			if err := cmd.Wait(); err != nil {
				t.Fatalf("%v\n%s", err, out.String())
			}
			t.Logf("VmHWM %d KiB", peak)
			if peak == 0 || peak > mostKiB {
				t.Errorf("%d KiB of resident memory, want %d at most", peak, mostKiB)
			}
		})
	}
	run("send", func(c net.Conn, measure func()) {
		r := bufio.NewReaderSize(c, 1<<20)
		say := func(text string) { fmt.Fprintf(c, "%s\r\n", text) }
		say("220 hi")
		for _, reply := range []string{"250 hello", "250 ok", "250 ok", "354 go"} {
			if _, err := r.ReadSlice('\n'); err != nil {
				t.Error(err)
				return
			}
			say(reply)
		}
		total := 0
		tail := make([]byte, 0, 1<<20+5)
		for !bytes.HasSuffix(tail, []byte("\r\n.\r\n")) {
			tail = append(tail[:0], tail[max(0, len(tail)-5):]...)
			n, err := r.Read(tail[len(tail):cap(tail)])
			if err != nil {
				t.Error(err)
				return
			}
			total += n
			tail = tail[:len(tail)+n]
		}
		if total < size/3*4 {
			t.Errorf("only %d bytes arrived", total)
		}
		measure()
		say("250 ok")
		_, _ = r.ReadSlice('\n')
		say("221 bye")
	}, "send", "--server", "ADDR", "--from", "a@lab.test", "--to", "b@lab.test", "--subject", "big", "--text", "see the file", "--attach", sparse(t, int64(size)))

	dir := t.TempDir()
	run("receive", func(c net.Conn, measure func()) {
		r := bufio.NewReader(c)
		w := bufio.NewWriterSize(c, 1<<20)
		header := "Subject: big\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: application/octet-stream; name=zeros\r\nContent-Transfer-Encoding: base64\r\n\r\n"
		line := strings.Repeat("AAAA", lineOfB64/3) + "\r\n"
		lines := size / lineOfB64
		say := func(text string) { fmt.Fprintf(w, "%s\r\n", text); w.Flush() }
		say("+OK hi")
		for _, reply := range []string{"-ERR no CAPA", "+OK", "+OK", fmt.Sprintf("+OK\r\n1 %d\r\n.", len(header)+lines*len(line)+len("--b--\r\n")), "-ERR no UIDL", "+OK"} {
			if _, err := r.ReadSlice('\n'); err != nil {
				t.Error(err)
				return
			}
			say(reply)
		}
		w.WriteString(header)
		const block = 1000
		blockText := strings.Repeat(line, block)
		for range lines / block {
			w.WriteString(blockText)
		}
		w.WriteString(strings.Repeat(line, lines%block))
		say("--b--\r\n.")
		if _, err := r.ReadSlice('\n'); err != nil { // QUIT
			t.Error(err)
			return
		}
		measure()
		say("+OK")
	}, "inbox", "save", "1", dir, "--pop3", "ADDR", "--user", "me")
	t.Cleanup(func() { // when both are done
		info, err := os.Stat(filepath.Join(dir, "zeros"))
		if err != nil || info.Size() != int64(size/lineOfB64*lineOfB64) {
			t.Errorf("%v %v", info, err)
		}
	})
}
