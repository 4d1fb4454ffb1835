// Package udppingserver grades the UDP ping server lab: a server that upper-cases
// each message, sends it back to where it came from, and drops a share on purpose.
package udppingserver

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"topdown/scripts/grade/internal/rubric"
	"topdown/scripts/grade/internal/submission"
	"topdown/scripts/grade/internal/transcript"
)

type lab struct {
	*submission.Server

	run *outcome // the 300 pings, sent once for two checks
}

// tries is how often a message is sent until a reply must have come: at the
// highest loss allowed, once in 10^16 none does.
const tries = 40

// Rubric returns the lab's checks for a submission, and a function that ends it.
// Without a submission the checks are for reading only.
func Rubric(s *submission.Submission) (*rubric.Rubric, func(), error) {
	server, err := submission.NewServer(s, "udp")
	if err != nil {
		return nil, nil, err
	}
	l := &lab{Server: server}
	r := &rubric.Rubric{
		Lab:    "udppingserver",
		Stages: []string{"receive and reply", "change the message", "lose some", "robust"},
		Checks: l.checks(),
		Vars:   func() map[string]string { return map[string]string{"host": l.Host, "port": strconv.Itoa(l.Port)} },
	}
	if s == nil {
		return r, nil, nil
	}
	return r, l.End, nil
}

func (l *lab) checks() []rubric.Check {
	const nc = "printf 'Ping 1 12:00' | nc -u -w1 {host} {port}"
	needs := []string{"reply"}
	return rubric.Prepared([]rubric.Check{
		{
			ID: "reply", Points: 15, Stage: 1, Title: "replies to the sender", Run: l.reply,
			Requirement: "sends the message back to where it came from",
			Hint:        "recvfrom tells the sender's address: send the reply to it, from the socket that is bound to the port.",
			Try:         nc + "   (repeat: some are lost on purpose)", RFC: "RFC 768",
		},
		{
			ID: "upper", Points: 20, Stage: 2, Title: "upper-cases, and nothing else", Needs: needs, Run: l.upper,
			Requirement: "upper-cases the message and sends it back", Try: nc,
			Hint: "The reply is the message with a to z in capitals: as long as it was, digits, spaces and line ends as they were.",
		},
		{
			ID: "loss", Points: 20, Stage: 3, Title: "drops the share that it should", Needs: needs, Run: l.loss, Again: 1,
			Requirement: "drops a share on purpose: randint(0,10) < 4 is 4 in 11",
			Hint:        "Draw a random number for each packet, and do not reply if it is below the limit.",
			Try:         "for i in $(seq 100); do printf \"Ping $i\" | nc -u -w1 {host} {port}; echo; done | grep -c PING",
		},
		{
			ID: "random", Points: 10, Stage: 3, Title: "drops at random, not in a pattern", Needs: []string{"reply", "loss"}, Run: l.random,
			Requirement: "random, not periodic",
			Hint:        "Do not count packets to decide which to drop: draw a random number for each.",
			Try:         "for i in $(seq 30); do printf \"Ping $i\" | nc -u -w1 {host} {port}; echo; done",
		},
		{
			ID: "clients", Points: 15, Stage: 4, Title: "two clients are never mixed", Needs: needs, Run: l.clients,
			Requirement: "each reply goes to the client that asked",
			Hint:        "Use the address that recvfrom returned for this very message; keep no client's address from before.",
			Try:         "run the line of \"reply\" in two terminals at the same time",
		},
		{
			ID: "survive", Points: 10, Stage: 4, Title: "survives odd datagrams", Needs: needs, Run: l.survive,
			Requirement: "0 bytes, binary and 1,500 bytes do not end the server",
			Hint:        "Work on bytes: decoding them as text fails on some. An empty datagram is a message, not an end of file.",
			Try:         "head -c 1500 /dev/urandom | nc -u -w1 {host} {port}; " + nc,
		},
		{
			ID: "restart", Points: 10, Stage: 4, Title: "starts again at once, on the port chosen", Needs: needs, Run: l.restart,
			Requirement: "any port; a restart finds it free",
			Hint:        "Take the port from the command line ({port}); close the socket at the end, and bind no second one.",
			Try:         "start the server, end it with Ctrl-C, and start it again",
		},
		{
			ID: "adjustable", Points: 10, Bonus: true, Stage: 3, Title: "loss that can be set, with a seed", Needs: needs, Run: l.adjustable,
			Requirement: "the share and the seed are arguments: no loss at 0, the same losses for the same seed",
			Hint:        "Take the share and the seed from the command line, and seed the generator of random numbers once at the start.",
			Try:         "start the server with loss 0: each ping is answered; start it twice with one seed: the same pings are lost",
		},
	}, l.Ensure, "adjustable")
}

// client is a socket of the grader's that sends pings and takes note of replies.
type client struct {
	conn *net.UDPConn
	to   *net.UDPAddr
	log  *transcript.Log
	name string

	mu   sync.Mutex
	came map[string]int // replies by text
	all  []string
	// What a reply answers, however it is written: "upper" is for the writing.
	numbers map[string]bool
	from    map[string]bool // addresses that replied
	news    chan struct{}   // gets a value at each reply
}

func (l *lab) client(t *rubric.T, name, local string) (*client, *rubric.Failure) {
	to, err := net.ResolveUDPAddr("udp", net.JoinHostPort(l.Host, strconv.Itoa(l.Port)))
	if err != nil {
		return nil, rubric.Skipf("%v", err)
	}
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(local)})
	if err != nil {
		return nil, rubric.Skipf("%v", err)
	}
	_ = conn.SetReadBuffer(1 << 20)
	c := &client{conn: conn, to: to, log: t.Log, name: name, came: map[string]int{}, from: map[string]bool{}, numbers: map[string]bool{}, news: make(chan struct{}, 1)}
	go c.read()
	return c, nil
}

// numbered finds the number of a ping in its reply.
var numbered = regexp.MustCompile(`(?i)ping (\d+) `)

func (c *client) read() {
	// Both are bounds of what a flood can take; no right reply is longer.
	buf := make([]byte, 4096)
	for range 5000 {
		n, from, err := c.conn.ReadFromUDP(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(time.Millisecond)
			continue
		}
		c.log.Add(transcript.Received, c.name, buf[:n])
		c.mu.Lock()
		c.came[string(buf[:n])]++
		if m := numbered.FindSubmatch(buf[:n]); m != nil {
			c.numbers[string(m[1])] = true
		}
		c.all = append(c.all, string(buf[:n]))
		c.from[from.AddrPort().String()] = true
		c.mu.Unlock()
		select {
		case c.news <- struct{}{}:
		default:
		}
	}
}

func (c *client) close() { _ = c.conn.Close() }

func (c *client) send(message string) {
	c.log.Add(transcript.Sent, c.name, []byte(message))
	_, _ = c.conn.WriteToUDP([]byte(message), c.to)
}

func (c *client) has(reply string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.came[reply] > 0
}

// wait waits until a reply has come, at most for d.
func (c *client) wait(reply string, d time.Duration) bool {
	return c.until(func() bool { return c.has(reply) }, d)
}

// answered reports whether ping n has had any reply.
func (c *client) answered(n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.numbers[strconv.Itoa(n)]
}

func (c *client) until(ok func() bool, d time.Duration) bool {
	deadline := time.After(d)
	for {
		if ok() {
			return true
		}
		select {
		case <-c.news:
		case <-deadline:
			return ok()
		}
	}
}

// patience is how long a reply is waited for before the message is sent again. A
// reply that comes later counts all the same.
const patience = 120 * time.Millisecond

// ask sends the message until its reply comes; it may have been lost on purpose.
func (c *client) ask(message, reply string) bool {
	for range tries {
		c.send(message)
		if c.wait(reply, patience) {
			return true
		}
		c.mu.Lock()
		wrong := len(c.all) >= 3
		c.mu.Unlock()
		if wrong {
			return c.wait(reply, patience) // it replies, and with something else
		}
	}
	return c.wait(reply, time.Second)
}

func (c *client) replies() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.all...)
}

func (l *lab) reply(t *rubric.T) *rubric.Failure {
	c, f := l.client(t, "", "")
	if f != nil {
		return f
	}
	defer c.close()
	word := "ping 1 " + l.Text(8)
	for range tries {
		c.send(word)
		if c.wait("", 0) || len(c.replies()) > 0 {
			break
		}
		c.wait(strings.ToUpper(word), patience)
	}
	want := fmt.Sprintf("a reply from %s to the address that the message came from", c.to)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.all) == 0 {
		return rubric.Failf(want, "no reply to %d messages%s", tries, l.State())
	}
	for from := range c.from {
		if from != c.to.AddrPort().String() {
			return rubric.Failf(want, "a reply came from %s: from another socket than the one that is bound to the port", from)
		}
	}
	return nil
}

func (l *lab) upper(t *rubric.T) *rubric.Failure {
	for _, message := range []string{
		"Ping 1 1763678999.123456",
		"abcXYZ 0189 !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~",
		"  spaces in front and behind  ",
		"a line end behind\n",
		"ALREADY IN CAPITALS",
		"how do you do, " + strings.Repeat("long ", 100) + l.Text(12),
	} {
		c, f := l.client(t, "", "")
		if f != nil {
			return f
		}
		want := strings.ToUpper(message)
		ok := c.ask(message, want)
		c.close()
		if ok {
			continue
		}
		expected := fmt.Sprintf("the reply %q to the message %q", shorten(want), shorten(message))
		replies := c.replies()
		if len(replies) == 0 {
			return rubric.Failf(expected, "no reply to it in %d tries%s", tries, l.State())
		}
		return rubric.Failf(expected, "%s", near(message, want, replies[0]))
	}
	return nil
}

func shorten(s string) string {
	if len(s) > 60 {
		return s[:60] + "…"
	}
	return s
}

// near names what a wrong reply is.
func near(message, want, got string) string {
	text := fmt.Sprintf("%q", shorten(got))
	switch {
	case got == message:
		return text + ": the message came back unchanged"
	case got == strings.ToLower(message):
		return text + ": in small letters"
	case strings.TrimSpace(got) == strings.TrimSpace(want):
		return text + ": white space at the ends was taken away or added"
	case strings.HasPrefix(want, got):
		return fmt.Sprintf("%s: only the first %d of %d bytes", text, len(got), len(want))
	case strings.HasSuffix(got, want):
		return fmt.Sprintf("%s: %q was put before the message", text, shorten(strings.TrimSuffix(got, want)))
	case strings.HasPrefix(got, want):
		return fmt.Sprintf("%s: %q was put behind the message", text, shorten(strings.TrimPrefix(got, want)))
	}
	return text
}

func (l *lab) clients(t *rubric.T) *rubric.Failure {
	other := ""
	if l.Box.Isolated {
		other = "127.0.0.2"
	}
	a, f := l.client(t, "client A", "")
	if f != nil {
		return f
	}
	defer a.close()
	b, f := l.client(t, "client B", other)
	if f != nil {
		return f
	}
	defer b.close()
	key := l.Text(6)
	text := func(who string, i int) string { return fmt.Sprintf("client %s %d %s", who, i, key) }
	for i := range 25 {
		a.send(text("a", i))
		b.send(text("b", i))
		time.Sleep(2 * time.Millisecond)
	}
	// Whether the texts are right is for "upper": what counts here is whose they are.
	a.ask(text("a", 99), strings.ToUpper(text("a", 99)))
	b.ask(text("b", 99), strings.ToUpper(text("b", 99)))
	want := "each client gets the replies to its own messages, and no others"
	for _, c := range []*client{a, b} {
		foreign := "CLIENT B"
		if c == b {
			foreign = "CLIENT A"
		}
		for _, got := range c.replies() {
			if strings.HasPrefix(strings.ToUpper(got), foreign) {
				return rubric.Failf(want, "%s got %q, the reply to the other", c.name, shorten(got))
			}
		}
	}
	for _, c := range []*client{a, b} {
		if len(c.replies()) == 0 {
			return rubric.Failf(want, "%s got no reply at all%s", c.name, l.State())
		}
	}
	return nil
}

func (l *lab) survive(t *rubric.T) *rubric.Failure {
	for i, odd := range []struct{ name, data string }{
		{"an empty datagram", ""},
		{"a datagram of binary bytes", "\x00\x01\x80\xff\xfe\xc3\x28 \xed\xa0\x80"},
		{"a datagram of 1,500 bytes", string(l.Bytes(1500))},
		{"a datagram of text without a number", "Ping"},
	} {
		if f := l.Ensure(t); f != nil {
			return f
		}
		c, f := l.client(t, "", "")
		if f != nil {
			return f
		}
		// Several times, since a server may drop the first unseen.
		for range 12 {
			c.send(odd.data)
			time.Sleep(time.Millisecond)
		}
		message := fmt.Sprintf("ping %d after", i)
		ok := false
		for range tries {
			c.send(message)
			if ok = c.wait(strings.ToUpper(message), patience) || c.any(message); ok || !l.alive() {
				break
			}
		}
		c.close()
		if !ok {
			return rubric.Failf("pings are still answered after "+odd.name, "no reply%s", l.State())
		}
	}
	return nil
}

// any reports whether a reply has the text, in any case and with anything around.
func (c *client) any(message string) bool {
	for _, got := range c.replies() {
		if strings.Contains(strings.ToUpper(got), strings.ToUpper(message)) {
			return true
		}
	}
	return false
}

func (l *lab) alive() bool { return l.Proc == nil || l.Proc.Running() }

func (l *lab) restart(t *rubric.T) *rubric.Failure {
	if l.Addr != "" {
		return rubric.Skipf("a server that was started elsewhere is not started again")
	}
	ports := []int{l.Port, l.FreePort()}
	for i, port := range ports {
		l.Proc.Stop()
		t.Log.Notef("ended; started again at once")
		l.Port = port
		if f := l.Launch(t, l.Command, nil); f != nil {
			return f
		}
		c, f := l.client(t, "", "")
		if f != nil {
			return f
		}
		message := fmt.Sprintf("ping %d again", i)
		ok := false
		for range tries {
			c.send(message)
			if ok = c.wait(strings.ToUpper(message), patience) || c.any(message); ok {
				break
			}
		}
		c.close()
		if !ok {
			return rubric.Failf(fmt.Sprintf("pings to port %d are answered", port), "no reply%s", l.State())
		}
	}
	return nil
}
