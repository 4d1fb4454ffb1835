package smtp

import (
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"

	"topdown/smtpclient/internal/session"
)

// TestFloods holds memory flat under endless replies.
func TestFloods(t *testing.T) {
	for name, flood := range map[string]struct{ before, text string }{
		"greeting":  {"", "220-x\r\n"},
		"no end":    {"", "2"},
		"EHLO":      {"220 hi\r\n", "250-PADPADPADPADPADPAD\r\n"},
		"bare code": {"220 hi\r\n", "250-\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			done := make(chan struct{})
			block := []byte(strings.Repeat(flood.text, 1+4096/len(flood.text)))
			go func() {
				defer close(done)
				c, err := ln.Accept()
				if err != nil {
					return
				}
				defer c.Close()
				_, err = io.WriteString(c, flood.before)
				for err == nil {
					_, err = c.Write(block)
				}
			}()
			host, port, _ := net.SplitHostPort(ln.Addr().String())
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			_, err = Dial(t.Context(), &Config{Config: session.Config{Host: host, Port: port}})
			runtime.ReadMemStats(&after)
			<-done
			if !errors.Is(err, ErrProtocol) {
				t.Error(err)
			}
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 8<<20 {
				t.Errorf("%d bytes allocated", grown)
			}
		})
	}
}
