// Blast measures how many echo replies a second a UDP server gives, and what
// each costs it.
//
//	blast HOST:PORT SECONDS PID CLIENTS WINDOW
//	blast echo HOST:PORT
//
// The second is a bare server: the least that one in Go can do.
//
// The first is a closed loop: from each of CLIENTS sockets WINDOW requests are under
// way, and each reply lets the next request go. So a server is always busy, whatever
// its speed, and nothing has to be dropped. It prints, in one
// line: replies a second; the processor time that the process PID took for each,
// in ns; the share of one core that this is; requests; requests without a reply.
//
// A message is one that sockperf's server echoes (a client's ping of 64 bytes)
// and any other server too.
package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

const (
	maxWindow = 16
	size      = 64

	udpSegment = 103 // UDP_SEGMENT of udp(7)

	// patience is how long a flow waits for any reply before it takes all that
	// is under way as lost and begins anew.
	patience = 500 * time.Millisecond
	warmUp   = 100 * time.Millisecond
)

type mmsghdr struct {
	header syscall.Msghdr
	length uint32
	_      uint32
}

// flow is one socket and its requests under way.
type flow struct {
	fd       int
	window   int
	underway int
	heard    time.Time
	requests [maxWindow * size]byte
	in       [maxWindow]mmsghdr
	vectors  [maxWindow]syscall.Iovec
	replies  [maxWindow][2048]byte
}

// counts are of all flows.
type counts struct{ sent, replied, lost uint64 }

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "blast:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 2 && args[0] == "echo" {
		return echo(args[1])
	}
	if len(args) != 5 {
		return errors.New("usage: blast HOST:PORT SECONDS PID CLIENTS WINDOW")
	}
	target, err := net.ResolveUDPAddr("udp4", args[0])
	if err != nil {
		return err
	}
	seconds, err := strconv.ParseFloat(args[1], 64)
	if err != nil {
		return err
	}
	clients, err := strconv.Atoi(args[3])
	if err != nil {
		return err
	}
	window, err := strconv.Atoi(args[4])
	if err != nil || window < 1 || window > maxWindow {
		return fmt.Errorf("WINDOW is a number from 1 to %d", maxWindow)
	}
	runtime.LockOSThread()
	all := make([]*flow, clients)
	for i := range all {
		if all[i], err = open(target, window); err != nil {
			return err
		}
	}
	var c counts
	if err := loop(all, warmUp, &c); err != nil {
		return err
	}
	c = counts{}
	before, err := cpuTime(args[2])
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := loop(all, time.Duration(seconds*float64(time.Second)), &c); err != nil {
		return err
	}
	took := time.Since(begin)
	after, err := cpuTime(args[2])
	if err != nil {
		return err
	}
	if c.replied == 0 {
		return fmt.Errorf("%s does not reply", args[0])
	}
	used := float64(after - before)
	fmt.Printf("%.0f %.0f %.2f %d %d\n", float64(c.replied)/took.Seconds(), used/float64(c.replied),
		used/float64(took), c.sent, c.lost)
	return nil
}

func open(target *net.UDPAddr, window int) (*flow, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	f := &flow{fd: fd, window: window}
	to := &syscall.SockaddrInet4{Port: target.Port, Addr: [4]byte(target.IP.To4())}
	if err := syscall.Connect(fd, to); err != nil {
		return nil, os.NewSyscallError("connect", err)
	}
	// One system call sends several requests, which the kernel cuts apart, so
	// that the generator has less to do than any server.
	if err := syscall.SetsockoptInt(fd, syscall.IPPROTO_UDP, udpSegment, size); err != nil {
		return nil, os.NewSyscallError("setsockopt UDP_SEGMENT", err)
	}
	for i := range maxWindow {
		// sockperf's header: sequence, flags (1 client, 2 wants a reply), length.
		message := f.requests[i*size : (i+1)*size]
		binary.BigEndian.PutUint64(message, uint64(i+1))
		binary.BigEndian.PutUint16(message[8:], 3)
		binary.BigEndian.PutUint32(message[10:], size)
		for k := 14; k < size; k++ {
			message[k] = 'a' + byte(k%26)
		}
		f.vectors[i] = syscall.Iovec{Base: &f.replies[i][0], Len: uint64(len(f.replies[i]))}
		f.in[i].header.Iov, f.in[i].header.Iovlen = &f.vectors[i], 1
	}
	return f, nil
}

// echo receives and sends back, in capitals, with one system call each.
func echo(addr string) error {
	at, err := net.ResolveUDPAddr("udp4", addr)
	if err != nil {
		return err
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Port: at.Port, Addr: [4]byte(at.IP.To4())}); err != nil {
		return os.NewSyscallError("bind", err)
	}
	var buffer [2048]byte
	var from syscall.RawSockaddrInet4
	for yielded := time.Now(); ; {
		size := uint32(unsafe.Sizeof(from))
		n, _, errno := syscall.Syscall6(syscall.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&buffer[0])), uintptr(len(buffer)),
			0, uintptr(unsafe.Pointer(&from)), uintptr(unsafe.Pointer(&size)))
		if errno != 0 {
			return os.NewSyscallError("recvfrom", errno)
		}
		for i, c := range buffer[:n] {
			if c-'a' < 26 {
				buffer[i] = c - 'a' + 'A'
			}
		}
		syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&buffer[0])), n,
			0, uintptr(unsafe.Pointer(&from)), uintptr(size))
		// Or else the scheduler takes the processor away in each receive.
		if now := time.Now(); now.Sub(yielded) > 5*time.Millisecond {
			runtime.Gosched()
			yielded = now
		}
	}
}

// loop keeps all flows going for d.
func loop(all []*flow, d time.Duration, c *counts) error {
	begin := time.Now()
	for _, f := range all {
		f.heard = begin
	}
	for now := begin; now.Sub(begin) < d; now = time.Now() {
		for _, f := range all {
			if f.underway > 0 {
				n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVMMSG, uintptr(f.fd), uintptr(unsafe.Pointer(&f.in[0])), uintptr(f.window), syscall.MSG_DONTWAIT, 0, 0)
				switch {
				case errno == 0:
					// A reply that was taken as lost may come after all.
					c.replied += uint64(n)
					f.underway = max(f.underway-int(n), 0)
					f.heard = now
				case errno != syscall.EAGAIN:
					return os.NewSyscallError("recvmmsg", errno)
				case now.Sub(f.heard) > patience:
					c.lost += uint64(f.underway)
					f.underway, f.heard = 0, now
				}
			}
			if n := f.window - f.underway; n > 0 {
				_, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(f.fd), uintptr(unsafe.Pointer(&f.requests[0])), uintptr(n*size))
				if errno != 0 {
					return os.NewSyscallError("write", errno)
				}
				c.sent += uint64(n)
				f.underway = f.window
			}
		}
	}
	return nil
}

// cpuTime returns the processor time that a process has taken, all its threads
// together, as the scheduler counts it.
func cpuTime(pid string) (time.Duration, error) {
	files, err := filepath.Glob("/proc/" + pid + "/task/*/schedstat")
	if err != nil {
		return 0, err
	}
	var sum time.Duration
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return 0, err
		}
		ns, _, _ := strings.Cut(string(text), " ")
		n, err := strconv.ParseInt(ns, 10, 64)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(n)
	}
	if sum == 0 {
		return 0, fmt.Errorf("no processor time of process %s in /proc", pid)
	}
	return sum, nil
}
