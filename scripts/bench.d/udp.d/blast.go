// Blast measures how many echo replies a second a UDP server gives.
//
//	blast HOST:PORT SECONDS
//
// It keeps a fixed number of requests under way, so that a server is always busy
// and nothing has to be dropped, and prints the replies it got a second. A
// message is one that sockperf's server echoes (a client's ping of 64 bytes) and
// any other server too.
package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

const (
	window = 64 // requests under way: few enough for a default receive buffer
	batch  = 16
	size   = 64

	udpSegment = 103 // UDP_SEGMENT of udp(7)
)

type mmsghdr struct {
	header syscall.Msghdr
	length uint32
	_      uint32
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: blast HOST:PORT SECONDS")
		os.Exit(2)
	}
	seconds, err := strconv.ParseFloat(os.Args[2], 64)
	if err == nil {
		err = run(os.Args[1], time.Duration(seconds*float64(time.Second)))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "blast:", err)
		os.Exit(1)
	}
}

func run(target string, d time.Duration) error {
	conn, err := net.Dial("udp", target)
	if err != nil {
		return err
	}
	defer conn.Close()
	udp := conn.(*net.UDPConn)
	_ = udp.SetReadBuffer(4 << 20)
	raw, err := udp.SyscallConn()
	if err != nil {
		return err
	}
	// sockperf's header: sequence, flags (1 client, 2 wants a reply), length.
	message := make([]byte, size)
	binary.BigEndian.PutUint16(message[8:], 3)
	binary.BigEndian.PutUint32(message[10:], size)
	for i := 14; i < size; i++ {
		message[i] = 'a' + byte(i%26)
	}
	var in [batch]mmsghdr
	var vectors [batch]syscall.Iovec
	buffers := make([]byte, batch*2048)
	messages := make([]byte, batch*size)
	for i := range batch {
		copy(messages[i*size:], message)
		vectors[i] = syscall.Iovec{Base: &buffers[i*2048], Len: 2048}
		in[i].header.Iov, in[i].header.Iovlen = &vectors[i], 1
	}
	var replies, sequence atomic.Uint64
	var failure error
	err = raw.Control(func(fd uintptr) {
		// One system call sends a batch, which the kernel cuts into messages,
		// so that the generator has less to do than any server.
		if failure = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_UDP, udpSegment, size); failure != nil {
			return
		}
		begin := time.Now()
		last, settled := begin, begin
		underway, lost := 0, 0
		for {
			now := time.Now()
			if now.Sub(begin) >= d {
				break
			}
			// Losses would leave ever fewer requests under way, and measure
			// the server's waking up instead of its speed: now and then wait
			// for what is under way, and take what does not come as lost.
			pause := now.Sub(settled) > 20*time.Millisecond
			for !pause && underway+batch <= window {
				for i := range batch {
					binary.BigEndian.PutUint64(messages[i*size:], sequence.Add(1))
				}
				if _, err := syscall.Write(int(fd), messages); err != nil {
					failure = err
					return
				}
				underway += batch
			}
			n, _, errno := syscall.Syscall6(syscall.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&in[0])), batch, syscall.MSG_DONTWAIT, 0, 0)
			if errno == 0 {
				replies.Add(uint64(n))
				underway -= int(n)
				last = now
			}
			if pause && (underway <= 0 || now.Sub(last) > 5*time.Millisecond) {
				lost += max(underway, 0)
				underway, settled, last = 0, now, now
			}
		}
		fmt.Printf("%.0f\n", float64(replies.Load())/time.Since(begin).Seconds())
		if lost > 0 {
			fmt.Fprintf(os.Stderr, "blast: %d lost\n", lost)
		}
	})
	if err == nil {
		err = failure
	}
	return err
}
