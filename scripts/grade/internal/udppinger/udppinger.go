// Package udppinger grades the UDP ping client lab: requirements U1 to U8 of the
// assignment. The program is run against a server of the grader's that follows a
// script; what is judged is what that server saw and did, and what the program
// printed.
package udppinger

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"topdown/scripts/grade/internal/rubric"
	"topdown/scripts/grade/internal/sandbox"
	"topdown/scripts/grade/internal/submission"
	"topdown/scripts/grade/internal/transcript"
)

type lab struct {
	s    *submission.Submission
	mu   sync.Mutex
	runs map[string]*scene
	port int
}

// Rubric returns the lab's checks for a submission, and a function that ends it.
// Without a submission the checks are for reading only.
func Rubric(s *submission.Submission) (*rubric.Rubric, func(), error) {
	l := &lab{s: s, runs: map[string]*scene{}}
	r := &rubric.Rubric{
		Lab:    "udppinger",
		Stages: []string{"send pings", "receive replies", "wait, and give up", "tell replies apart", "statistics"},
		Checks: l.checks(),
		Vars: func() map[string]string {
			return map[string]string{"host": "127.0.0.1", "port": strconv.Itoa(l.port)}
		},
	}
	return r, func() {}, nil
}

// A packet is a datagram that the program sent.
type packet struct {
	at   time.Time
	data string
	from *net.UDPAddr
}

// A scene is one run of the program against a script.
type scene struct {
	script func(*scene, int) // called for each datagram, numbered from 1

	log  *transcript.Log
	conn *net.UDPConn
	proc *sandbox.Process
	err  error
	done chan struct{}

	mu      sync.Mutex
	packets []packet
	replied map[int]time.Time // when a number's reply was sent, just before
	timers  sync.WaitGroup
}

// reply sends the reply to ping n after a while.
func (sc *scene) reply(n int, after time.Duration) {
	sc.mu.Lock()
	p := sc.packets[n-1]
	sc.mu.Unlock()
	send := func() {
		sc.mu.Lock()
		if _, ok := sc.replied[n]; !ok {
			sc.replied[n] = time.Now()
		}
		sc.mu.Unlock()
		sc.send(sc.conn, p.from, strings.ToUpper(p.data))
	}
	if after == 0 {
		send()
		return
	}
	sc.timers.Add(1)
	time.AfterFunc(after, func() { defer sc.timers.Done(); send() })
}

func (sc *scene) send(from *net.UDPConn, to *net.UDPAddr, data string) {
	sc.log.Add(transcript.Sent, "", []byte(data))
	_, _ = from.WriteToUDP([]byte(data), to)
}

// scripts are the scenes by name.
func scripts() map[string]func(*scene, int) {
	// A right reply is held back in the middle of the second that a program waits:
	// who goes on before it was taken in by something else. On a busy machine both
	// sides have half a second to spare.
	const (
		hold   = 200 * time.Millisecond
		middle = 500 * time.Millisecond
	)
	lost := func(numbers ...int) func(*scene, int) {
		return func(sc *scene, n int) {
			if slices.Contains(numbers, n) {
				sc.log.Notef("ping %d is not answered", n)
				return
			}
			sc.reply(n, 0)
		}
	}
	return map[string]func(*scene, int){
		"plain":   func(sc *scene, n int) { sc.reply(n, 0) },
		"delay":   func(sc *scene, n int) { sc.reply(n, hold) },
		"loss":    lost(2, 5, 8),
		"allLost": func(sc *scene, n int) { sc.log.Notef("ping %d is not answered", n) },
		"late": func(sc *scene, n int) {
			switch n {
			case 2:
				sc.log.Notef("the reply to 2 is kept until 3 has come")
			case 3:
				sc.reply(2, 0)
				sc.log.Notef("the reply to 3 follows after 500 ms")
				sc.reply(3, middle)
			default:
				sc.reply(n, 0)
			}
		},
		"twice": func(sc *scene, n int) {
			switch n {
			case 2:
				sc.reply(n, 0)
				sc.log.Notef("the reply to 2 is sent a second time; the one to 3 will come after 500 ms")
				sc.reply(n, 0)
			case 3:
				sc.reply(n, middle)
			default:
				sc.reply(n, 0)
			}
		},
		"stray": func(sc *scene, n int) {
			switch n {
			case 3:
				sc.log.Notef("a reply with a wrong sequence number; the right one follows after 500 ms")
				sc.send(sc.conn, sc.last().from, "PING 99 0.0")
				sc.reply(n, middle)
			case 6:
				if other, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err == nil {
					sc.log.Notef("a reply from another port, %s; the right one follows after 500 ms", other.LocalAddr())
					sc.send(other, sc.last().from, strings.ToUpper(sc.last().data))
					_ = other.Close()
				}
				sc.reply(n, middle)
			default:
				sc.reply(n, 0)
			}
		},
		"stats": func(sc *scene, n int) {
			switch n {
			case 4, 9:
				sc.log.Notef("ping %d is not answered", n)
			case 1:
				sc.reply(n, 50*time.Millisecond)
			case 10:
				sc.reply(n, 300*time.Millisecond)
			default:
				sc.reply(n, 150*time.Millisecond)
			}
		},
		"closed": nil,
	}
}

func (sc *scene) last() packet {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	return sc.packets[len(sc.packets)-1]
}

// scene runs the program against a script, once, and returns what happened. All
// scenes are begun together, since most of their time is waiting; with a built-in
// port there can be one at a time.
func (l *lab) scene(t *rubric.T, name string) (*scene, *rubric.Failure) {
	all := scripts()
	l.mu.Lock()
	if l.s.FixedPort != 0 || len(l.s.Only) > 0 {
		all = map[string]func(*scene, int){name: all[name]}
	}
	for other, script := range all {
		if other == "stats" && name != other {
			continue // for bonus points: only if it comes to that
		}
		if l.runs[other] == nil {
			l.runs[other] = l.begin(other, script)
		}
	}
	sc := l.runs[name]
	l.mu.Unlock()
	<-sc.done
	t.Log = sc.log
	if sc.err != nil {
		return nil, rubric.Failf("the program starts", "%v", sc.err)
	}
	return sc, nil
}

// again forgets a scene, so that it is played once more.
func (l *lab) again(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.runs, name)
}

// limit is how long a run may take: ten lost pings and a slow start.
const limit = 30 * time.Second

func (l *lab) begin(name string, script func(*scene, int)) *scene {
	sc := &scene{script: script, log: transcript.New(), done: make(chan struct{}), replied: map[int]time.Time{}}
	addr := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: l.s.FixedPort}
	listen := func() (*net.UDPConn, error) { return net.ListenUDP("udp", addr) }
	if name == "closed" {
		// A socket with another peer takes nothing from the program, and nobody else is
		// given its port.
		listen = func() (*net.UDPConn, error) {
			return net.DialUDP("udp", addr, &net.UDPAddr{IP: addr.IP, Port: 9})
		}
	}
	conn, err := listen()
	if err != nil {
		sc.err = err
		close(sc.done)
		return sc
	}
	_ = conn.SetReadBuffer(1 << 20)
	port := conn.LocalAddr().(*net.UDPAddr).Port
	l.port = port
	if name == "closed" {
		sc.log.Notef("nothing listens on port %d", port)
	}
	sc.conn = conn
	sc.proc, sc.err = l.s.Start(l.s.Command, map[string]string{
		"host": "127.0.0.1", "port": strconv.Itoa(port), "server_host": "127.0.0.1", "server_port": strconv.Itoa(port), "dir": l.s.Work,
	})
	if sc.err != nil {
		_ = conn.Close()
		close(sc.done)
		return sc
	}
	sc.log.Notef("started: %s", sc.proc.Line)
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		if name != "closed" {
			sc.serve()
		}
	}()
	go func() {
		defer close(sc.done)
		if sc.proc.Wait(limit) {
			sc.log.Notef("%s", sc.proc.Ending())
			time.Sleep(20 * time.Millisecond) // a datagram that is under way
		} else {
			sc.log.Notef("it still ran after %v and was ended", limit)
			sc.proc.Stop()
		}
		sc.timers.Wait()
		_ = conn.Close()
		<-finished
	}()
	return sc
}

func (sc *scene) serve() {
	buf := make([]byte, 4096) // a flood shall not fill the memory; no ping is longer
	for {
		n, from, err := sc.conn.ReadFromUDP(buf)
		at := time.Now()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // an ICMP message about a program that has ended
		}
		sc.log.Add(transcript.Received, "", buf[:n])
		sc.mu.Lock()
		number := len(sc.packets) + 1
		if number <= 1000 {
			sc.packets = append(sc.packets, packet{at, string(buf[:n]), from})
		}
		sc.mu.Unlock()
		if number <= 20 {
			sc.script(sc, number)
		}
	}
}

// sent fails if the program did not even send.
func (sc *scene) sent(n int) *rubric.Failure {
	if len(sc.packets) >= n {
		return nil
	}
	f := rubric.Failf(fmt.Sprintf("%d pings", n), "%d came; %s%s", len(sc.packets), sc.proc.Ending(), submission.Printed(sc.proc.Output()))
	return f
}

// gap returns the time from ping n to the next.
func (sc *scene) gap(n int) time.Duration { return sc.packets[n].at.Sub(sc.packets[n-1].at) }

// crashed says how the program came to an end that it should not have come to.
func crashed(p *sandbox.Process) string {
	out := p.Output()
	for _, sign := range []string{"Traceback (most recent call last)", "Exception in thread", "panic: ", "Segmentation fault", "core dumped"} {
		if strings.Contains(out, sign) {
			return p.Ending() + submission.Printed(out)
		}
	}
	if code := p.ExitCode(); code > 128 {
		return p.Ending() + submission.Printed(out)
	}
	return ""
}
