// Command mixture asks an HTTP server for what many kinds of clients ask for at a
// time, at a rate that both servers of a benchmark can keep up with, and tells how
// long the slowest of a hundred requests took.
//
//	mixture ADDRESS DIR TIME
//
// DIR is the directory that is served; 1k.txt, 100k.bin and 10m.bin are in it. For
// TIME it lets 32 connections that are kept ask for whole files, ranges, files that
// have not changed (If-None-Match) and files that are replaced all the while, lets 8
// clients make a new connection for each request, and lets 50 read a large file
// slowly. It prints the 99th percentile of kept and of new connections in µs.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	kept, keptPause = 32, 8 * time.Millisecond // 4,000 requests a second
	fresh, newPause = 8, 8 * time.Millisecond  // 1,000 connections a second
	slow, slowPause = 50, 50 * time.Millisecond
	replaced        = 4 // files, one of them every replacePause
	replacePause    = 10 * time.Millisecond
	patience        = 10 * time.Second
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "mixture:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 3 {
		return errors.New("usage: mixture ADDRESS DIR TIME")
	}
	address, dir := args[0], args[1]
	length, err := time.ParseDuration(args[2])
	if err != nil {
		return err
	}
	if err := replace(dir, replaced); err != nil {
		return err
	}
	end := time.Now().Add(length)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed error
	background := func(n int, work func(i int) error) {
		for i := range n {
			wg.Go(func() {
				if err := work(i); err != nil {
					mu.Lock()
					failed = errors.Join(failed, err)
					mu.Unlock()
				}
			})
		}
	}
	var took [2][]time.Duration
	clients := func(which, n int, pause time.Duration, keep bool) {
		background(n, func(i int) error {
			// They begin one after the other.
			time.Sleep(pause * time.Duration(i) / time.Duration(n))
			times, err := client(address, end, pause, keep)
			mu.Lock()
			defer mu.Unlock()
			took[which] = append(took[which], times...)
			return err
		})
	}
	clients(0, kept, keptPause, true)
	clients(1, fresh, newPause, false)
	background(slow, func(int) error { return readSlowly(address, end) })
	background(1, func(int) error {
		for time.Now().Before(end) {
			if err := replace(dir, 1); err != nil {
				return err
			}
			time.Sleep(replacePause)
		}
		return nil
	})
	wg.Wait()
	if failed != nil {
		return failed
	}
	for i := range took {
		slices.Sort(took[i])
		fmt.Print(took[i][len(took[i])*99/100].Microseconds(), " ")
	}
	fmt.Println(len(took[0]) + len(took[1]))
	return nil
}

// replace puts new files in the place of n of those that are replaced.
func replace(dir string, n int) error {
	now := time.Now()
	for i := range n {
		name := filepath.Join(dir, fmt.Sprintf("replaced%d.txt", (int(now.UnixMilli())+i)%replaced))
		text := strings.Repeat(now.String()+"\n", 20)
		if err := errors.Join(os.WriteFile(name+".new", []byte(text), 0o644), os.Rename(name+".new", name)); err != nil {
			return err
		}
	}
	return nil
}

// client asks for one thing after the other until end and returns how long each took.
func client(address string, end time.Time, pause time.Duration, keep bool) (took []time.Duration, err error) {
	var conn net.Conn
	var r *bufio.Reader
	defer func() {
		if conn != nil {
			conn.Close()
		}
	}()
	tag := ""
	for i := 0; time.Now().Before(end); i++ {
		fields := ""
		if !keep {
			fields = "Connection: close\r\n"
		}
		path, status := "/1k.txt", "200"
		switch i % 4 {
		case 1:
			path, status = "/100k.bin", "206"
			fields += "Range: bytes=5000-9095\r\n"
		case 2:
			path = fmt.Sprintf("/replaced%d.txt", i/4%replaced)
		case 3:
			if tag != "" {
				status = "304"
				fields += "If-None-Match: " + tag + "\r\n"
			}
		}
		start := time.Now()
		if conn == nil {
			if conn, err = net.DialTimeout("tcp", address, patience); err != nil {
				return took, err
			}
			r = bufio.NewReader(conn)
		}
		_ = conn.SetDeadline(time.Now().Add(patience))
		if _, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", path, fields); err != nil {
			return took, err
		}
		var got, etag string
		var size int64
		got, size, etag, err = readHead(r)
		if err == nil && got != status {
			err = fmt.Errorf("%s: %s, want %s", path, got, status)
		}
		if err == nil && got != "304" {
			_, err = io.CopyN(io.Discard, r, size)
		}
		if err != nil {
			return took, err
		}
		took = append(took, time.Since(start))
		if path == "/1k.txt" {
			tag = etag
		}
		if !keep {
			conn.Close()
			conn = nil
		}
		time.Sleep(pause)
	}
	return took, nil
}

// readHead reads the head of a response.
func readHead(r *bufio.Reader) (status string, size int64, tag string, err error) {
	for first := true; ; first = false {
		line, err := r.ReadString('\n')
		if err != nil {
			return "", 0, "", err
		}
		line = strings.TrimRight(line, "\r\n")
		name, value, _ := strings.Cut(line, ": ")
		switch {
		case line == "":
			return status, size, tag, nil
		case first:
			_, status, _ = strings.Cut(line, " ")
			status, _, _ = strings.Cut(status, " ")
		case strings.EqualFold(name, "Content-Length"):
			if size, err = strconv.ParseInt(value, 10, 64); err != nil {
				return "", 0, "", err
			}
		case strings.EqualFold(name, "ETag"):
			tag = value
		}
	}
}

// readSlowly reads a large file at some 1 MB a second, again and again until end.
func readSlowly(address string, end time.Time) error {
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(end.Add(patience))
	r := bufio.NewReaderSize(conn, 64<<10)
	for left := int64(0); time.Now().Before(end); time.Sleep(slowPause) {
		if left == 0 {
			if _, err = fmt.Fprint(conn, "GET /10m.bin HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
				return err
			}
			if _, left, _, err = readHead(r); err != nil {
				return err
			}
		}
		n, err := io.CopyN(io.Discard, r, min(left, 50<<10))
		if err != nil {
			return fmt.Errorf("a slow reader: %w", err)
		}
		left -= n
	}
	return nil
}
