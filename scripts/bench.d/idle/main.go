// Command idle opens many connections to an HTTP server, makes one request on
// each and then keeps them all open, so that what an idle connection costs the
// server can be measured from outside.
//
//	idle ADDRESS PATH COUNT
//
// It prints "ready" once every connection has had its response. When its
// standard input ends it makes a second request on each, to see that none was
// closed meanwhile, and ends: with exit status 1 if anything failed.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// atOnce bounds how many requests are in flight, so that the server sees idle
// connections and not a burst.
const atOnce = 32

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "idle:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 3 {
		return errors.New("usage: idle ADDRESS PATH COUNT")
	}
	count, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	conns := make([]net.Conn, count)
	if err := each(conns, func(i int) error {
		conn, err := net.DialTimeout("tcp", args[0], 10*time.Second)
		if err != nil {
			return err
		}
		conns[i] = conn
		return get(conn, args[0], args[1])
	}); err != nil {
		return err
	}
	fmt.Println("ready")
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	return each(conns, func(i int) error {
		defer conns[i].Close()
		return get(conns[i], args[0], args[1])
	})
}

// each calls do for every index of conns, atOnce at a time, and returns the
// first error with the number of failures.
func each(conns []net.Conn, do func(i int) error) error {
	var (
		wg       sync.WaitGroup
		slots    = make(chan struct{}, atOnce)
		mu       sync.Mutex
		failures int
		first    error
	)
	for i := range conns {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := do(i); err != nil {
				mu.Lock()
				defer mu.Unlock()
				if failures++; first == nil {
					first = err
				}
			}
		})
	}
	wg.Wait()
	if first != nil {
		return fmt.Errorf("%d of %d connections failed, the first with: %w", failures, len(conns), first)
	}
	return nil
}

// get makes one request on conn and reads its whole response.
func get(conn net.Conn, host, path string) error {
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, host); err != nil {
		return err
	}
	r := bufio.NewReaderSize(conn, 1024)
	length := int64(-1)
	for n := 0; ; n++ {
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		line = strings.TrimSpace(line)
		if n == 0 && !strings.Contains(line, " 200 ") {
			return fmt.Errorf("answered %q", line)
		}
		if name, value, ok := strings.Cut(line, ":"); ok && strings.EqualFold(name, "Content-Length") {
			if length, err = strconv.ParseInt(strings.TrimSpace(value), 10, 64); err != nil {
				return err
			}
		}
		if line == "" {
			break
		}
	}
	if length < 0 {
		return errors.New("no Content-Length in the response")
	}
	_, err := io.CopyN(io.Discard, r, length)
	return err
}
