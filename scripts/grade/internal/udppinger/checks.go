package udppinger

import (
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"topdown/scripts/grade/internal/rubric"
	"topdown/scripts/grade/internal/submission"
	"topdown/scripts/grade/internal/transcript"
)

func (l *lab) checks() []rubric.Check {
	const listen = "nc -u -l 127.0.0.1 12000, and in another terminal the program with port 12000: see what it sends, type what it shall get"
	return []rubric.Check{
		{
			ID: "ten", Points: 15, Stage: 1, Title: "sends exactly 10 datagrams", Run: l.ten, Try: listen,
			Requirement: "U1: sends 10 pings, each sent once", RFC: "RFC 768",
			Hint: "A loop over 1 to 10, with one sendto in each round; a lost ping is not sent again.",
		},
		{
			ID: "form", Points: 15, Stage: 1, Title: "message form and numbering", Run: l.in("plain", 1, l.form), Try: listen,
			Requirement: "U1: one ASCII line each: Ping <sequence> <time>, sequence 1..10",
			Hint:        "\"Ping \" + sequence + \" \" + time, with single spaces, and the sequence from 1 to 10.",
		},
		{
			ID: "reply", Points: 10, Stage: 2, Title: "prints the reply", Run: l.in("plain", 1, l.reply), Try: listen,
			Requirement: "U3: prints the server's reply",
			Hint:        "Print what recvfrom returned: it is the message in capitals.",
		},
		{
			ID: "rtt", Points: 15, Stage: 2, Title: "RTT in seconds, right to 20 ms", Run: l.in("delay", 10, l.rtt), Try: listen, Again: 2,
			Requirement: "U4: prints the RTT in seconds",
			Hint:        "Take a monotonic clock just before sendto and just after recvfrom, and print the difference in seconds (0.200), not in ms.",
		},
		{
			ID: "timeout", Points: 15, Stage: 3, Title: "one timeout line per loss, after 1 s", Run: l.in("loss", 10, l.timeout), Try: listen, Again: 1,
			Requirement: "U2: waits at most 1 second for each; U5: otherwise prints that the request timed out",
			Hint:        "settimeout(1) on the socket, and print \"Request timed out\" when the time is up; then go on with the next ping.",
		},
		{
			ID: "late", Points: 10, Stage: 4, Title: "a late reply is not credited to the next ping", Run: l.in("late", 4, l.late), Try: listen, Again: 1,
			Requirement: "a late reply to 2 is not the reply to 3",
			Hint:        "Read the sequence number in the reply; if it is not the one waited for, go on receiving for the rest of the second.",
		},
		{
			ID: "duplicate", Points: 5, Stage: 4, Title: "a duplicate is not counted", Run: l.in("twice", 4, l.duplicate), Try: listen, Again: 1,
			Requirement: "a second reply to 2 is not the reply to 3",
			Hint:        "Read the sequence number in the reply; a number that has had its reply already is thrown away, and the waiting goes on.",
		},
		{
			ID: "stray", Points: 5, Stage: 4, Title: "a wrong sequence number or source is ignored", Run: l.in("stray", 7, l.stray), Try: listen, Again: 1,
			Requirement: "only the server's reply to this very ping counts",
			Hint:        "Compare the sequence number and the address that recvfrom returned with those that you sent to, or connect() the socket.",
		},
		{
			ID: "all-lost", Points: 5, Stage: 3, Title: "ends when every ping is lost", Run: l.in("allLost", 0, l.allLost), Try: "start the program with a port on which nc -u -l listens, and type nothing",
			Requirement: "U5: all lost: ends, without a crash",
			Hint:        "If no reply came there is no minimum, maximum or average: check for an empty list before min(), max() and the division.",
		},
		{
			ID: "closed", Points: 5, Stage: 3, Title: "a closed port is handled", Run: l.in("closed", 0, l.closed), Try: "start the program with a port that nothing listens on",
			Requirement: "every exception called a timeout is a mistake: a refused port is not a timeout",
			Hint:        "On a connected socket a closed port shows as \"connection refused\": catch it apart from the timeout, say so, and do not count it as one.",
		},
		{
			ID: "stats", Points: 10, Bonus: true, Stage: 5, Title: "min, max, average RTT and loss are right", Run: l.in("stats", 10, l.stats), Try: listen, Again: 2,
			Requirement: "U7 (optional): min, max, average RTT and loss in percent at the end",
			Hint:        "Only replies count for the RTTs; loss is (sent − received) / sent, in percent.",
		},
		{
			ID: "heartbeat", Points: 10, Bonus: true, Stage: 5, Title: "heartbeats with sequence number and time", Run: l.heartbeat, Try: listen,
			Requirement: "U8 (optional): heartbeat: sequence number and timestamp at an interval",
			Hint:        "Send the next number with the time every interval, without waiting for a reply.",
		},
	}
}

// in has a scene judged in which the program has sent as many pings at least.
func (l *lab) in(name string, pings int, ask func(*rubric.T, *scene) *rubric.Failure) func(*rubric.T) *rubric.Failure {
	return func(t *rubric.T) *rubric.Failure {
		sc, f := l.scene(t, name)
		if f == nil {
			f = sc.sent(pings)
		}
		if f != nil {
			return f
		}
		if f = ask(t, sc); f != nil {
			l.again(name)
		}
		return f
	}
}

func (l *lab) ten(t *rubric.T) *rubric.Failure {
	for _, name := range []string{"plain", "loss"} {
		sc, f := l.scene(t, name)
		if f != nil {
			return f
		}
		want := "exactly 10 datagrams, then the program ends"
		if name == "loss" {
			want = "exactly 10 datagrams, though the replies to 2, 5 and 8 are lost"
		}
		if n := len(sc.packets); n != 10 {
			f := rubric.Failf(want, "%d datagrams; %s%s", n, sc.proc.Ending(), submission.Printed(sc.proc.Output()))
			if name == "loss" && n > 10 {
				f.Hint = "A lost ping must not be sent again: go on with the next number."
			}
			return f
		}
	}
	return nil
}

var message = regexp.MustCompile(`^Ping (\d+) (\S[ -~]*?)\s*$`)

func (l *lab) form(_ *rubric.T, sc *scene) *rubric.Failure {
	want := `"Ping 1 <time>" to "Ping 10 <time>"`
	for i, p := range sc.packets {
		m := message.FindStringSubmatch(p.data)
		if m == nil {
			f := rubric.Failf(want, "datagram %d is %q", i+1, clip(p.data))
			switch {
			case strings.HasPrefix(p.data, "ping") || strings.HasPrefix(p.data, "PING"):
				f.Hint = "The word is \"Ping\", with a capital P and small letters."
			case regexp.MustCompile(`^Ping \d+\s*$`).MatchString(p.data):
				f.Hint = "The time is missing: \"Ping\", a space, the sequence number, a space, the time of sending."
			}
			return f
		}
		if m[1] != strconv.Itoa(i+1) {
			f := rubric.Failf(want, "datagram %d has the sequence number %s", i+1, m[1])
			if m[1] == strconv.Itoa(i) {
				f.Hint = "The numbers begin with 0; they go from 1 to 10 (range(1, 11) in Python)."
			}
			return f
		}
		if !strings.ContainsAny(m[2], "0123456789") {
			return rubric.Failf(want, "datagram %d has %q where the time belongs", i+1, clip(m[2]))
		}
	}
	return nil
}

func clip(s string) string { return s[:min(len(s), 80)] }

// answer is the part of a reply that must be printed: the word, the number and
// the time. What a program adds to its message is its own.
func answer(p packet) string {
	words := strings.Fields(strings.ToUpper(p.data))
	return strings.Join(words[:min(len(words), 3)], " ")
}

func (l *lab) reply(_ *rubric.T, sc *scene) *rubric.Failure {
	out := sc.proc.Output()
	printed := 0
	var missing *rubric.Failure
	for i, p := range sc.packets[:min(len(sc.packets), 10)] {
		want := answer(p)
		if strings.Contains(out, want) {
			printed++
			continue
		}
		if missing != nil {
			continue
		}
		missing = rubric.Failf(fmt.Sprintf("a line with the reply %q", want), "it is nowhere in the output%s", submission.Printed(out))
		if words := strings.Fields(p.data); strings.Contains(out, strings.Join(words[:min(len(words), 3)], " ")) {
			missing.Seen = fmt.Sprintf("the message that was sent (%q) is printed instead of the reply to ping %d", clip(p.data), i+1)
		}
	}
	if printed > 5 {
		return nil // on a busy machine one may have come too late to be printed
	}
	return missing
}

var decimal = regexp.MustCompile(`\d+(?:\.\d+)?(?:[eE]-?\d+)?`)

// numbers returns the numbers in a line that are no part of the messages.
func numbers(line string, sc *scene) []float64 {
	for _, p := range sc.packets {
		line = strings.ReplaceAll(line, answer(p), "")
	}
	var list []float64
	for _, word := range decimal.FindAllString(line, -1) {
		if v, err := strconv.ParseFloat(word, 64); err == nil {
			list = append(list, v)
		}
	}
	return list
}

func (l *lab) rtt(_ *rubric.T, sc *scene) *rubric.Failure {
	want := "an RTT of 0.200 to 0.220 s for each ping: the server holds every reply for 200 ms"
	// The delay that the server made, which a busy machine may lengthen.
	hold := sc.replied[1].Sub(sc.packets[0].at)
	for i := range 10 {
		hold = min(hold, sc.replied[i+1].Sub(sc.packets[i].at))
	}
	low, high := hold.Seconds()-0.005, hold.Seconds()+0.02
	near, plausible, millis := 0, 0, 0
	out := sc.proc.Output()
	for line := range strings.Lines(out) {
		kind := 0
		for _, v := range numbers(line, sc) {
			switch {
			case v >= low && v <= high:
				kind = max(kind, 2)
			case v > high && v < 0.95:
				kind = max(kind, 1) // held up by a busy machine
			case v >= 1000*low && v <= 1000*high:
				millis++
			}
		}
		if kind == 2 {
			near++
		}
		if kind >= 1 {
			plausible++
		}
	}
	if near >= 1 && plausible >= 10 {
		return nil
	}
	f := rubric.Failf(want, "%d such lines%s", near, submission.Printed(out))
	if millis >= 10 {
		f.Seen = "the RTT is printed in milliseconds" + submission.Printed(out)
		f.Hint = "The lab wants seconds: print 0.200, not 200."
	}
	return f
}

var timedOut = regexp.MustCompile(`(?i)time[d]?[ -]?out`)

// timeouts counts the lines that tell of one. A summary behind the last ping may
// speak of timeouts, too.
func timeouts(out string) (n int) {
	for line := range strings.Lines(out) {
		if timedOut.MatchString(line) {
			n++
		}
	}
	return n
}

func (l *lab) timeout(_ *rubric.T, sc *scene) *rubric.Failure {
	const least, most = 900 * time.Millisecond, 1300 * time.Millisecond
	// A pause that the program makes between pings is not part of the waiting.
	var pauses []time.Duration
	for _, n := range []int{1, 3, 4, 6, 7, 9} {
		pauses = append(pauses, sc.gap(n))
	}
	slices.Sort(pauses)
	pause := pauses[0]
	var waits []time.Duration
	for _, n := range []int{2, 5, 8} {
		wait := sc.gap(n)
		if pause < least || wait > most { // else it pings once a second, whatever comes
			wait -= pause
		}
		waits = append(waits, wait)
	}
	slices.Sort(waits)
	out := sc.proc.Output()
	// A busy machine makes waits longer, never shorter.
	switch shortest := waits[0]; {
	case shortest < least && waits[1] < least:
		return rubric.Failf("0.9 to 1.3 s of waiting for a reply that does not come", "%.2f s", waits[1].Seconds())
	case shortest > most:
		f := rubric.Failf("0.9 to 1.3 s of waiting for a reply that does not come", "%.2f s", shortest.Seconds())
		if pause > 500*time.Millisecond {
			f.Seen += fmt.Sprintf(" (besides %.2f s between all pings)", pause.Seconds())
		}
		return f
	}
	if n := timeouts(out); n < 3 || n > 4 {
		return rubric.Failf("3 lines that say \"timed out\", for pings 2, 5 and 8", "%d such lines%s", n, submission.Printed(out))
	}
	return nil
}

// before reports whether ping next came before the reply to ping n was sent: then
// something else was taken for that reply.
func (sc *scene) before(next, n int) bool {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	at, ok := sc.replied[n]
	return len(sc.packets) >= next && (!ok || sc.packets[next-1].at.Before(at))
}

func (l *lab) late(_ *rubric.T, sc *scene) *rubric.Failure {
	if sc.before(4, 3) {
		return rubric.Failf("while it waits for the reply to 3, the late reply to 2 is thrown away",
			"the reply to 2 was taken for the reply to 3: ping 4 was sent before the server had replied to 3")
	}
	return l.others(sc)
}

// others fails if the program did not get through the rest.
func (l *lab) others(sc *scene) *rubric.Failure {
	if why := crashed(sc.proc); why != "" {
		return rubric.Failf("the program goes on to ping 10", "%s", why)
	}
	return sc.sent(10)
}

func (l *lab) duplicate(_ *rubric.T, sc *scene) *rubric.Failure {
	if sc.before(4, 3) {
		return rubric.Failf("the second reply to 2 is thrown away",
			"it was taken for the reply to 3: ping 4 was sent before the server had replied to 3")
	}
	return l.others(sc)
}

func (l *lab) stray(_ *rubric.T, sc *scene) *rubric.Failure {
	switch {
	case sc.before(4, 3):
		return rubric.Failf("a reply with the sequence number 99 is thrown away", "it was taken for the reply to 3").
			WithHint("Compare the sequence number in the reply with the one that you sent; if it differs, go on receiving.")
	case sc.before(7, 6):
		return rubric.Failf("a reply from another port is thrown away", "it was taken for the reply to 6").
			WithHint("Compare the address that recvfrom returned with the server's, or connect() the socket: the kernel then drops what comes from elsewhere.")
	}
	return l.others(sc)
}

func (l *lab) allLost(_ *rubric.T, sc *scene) *rubric.Failure {
	want := "10 pings, 10 timeouts, and an end"
	if why := crashed(sc.proc); why != "" {
		return rubric.Failf(want, "it crashed: %s", why)
	}
	if sc.proc.ExitCode() == 137 {
		return rubric.Failf(want, "it still ran after %v", limit)
	}
	if n := len(sc.packets); n < 10 {
		return rubric.Failf(want, "only %d pings; %s%s", n, sc.proc.Ending(), submission.Printed(sc.proc.Output()))
	}
	return nil
}

func (l *lab) closed(_ *rubric.T, sc *scene) *rubric.Failure {
	want := "an end without a crash, and no reply and no timeout made up"
	out := sc.proc.Output()
	if why := crashed(sc.proc); why != "" {
		return rubric.Failf(want, "it crashed: %s", why)
	}
	if sc.proc.ExitCode() == 137 {
		return rubric.Failf(want, "it still ran after %v", limit)
	}
	// Ten timeouts take ten seconds; anything quicker was something else.
	if n := timeouts(out); n >= 5 && sc.proc.Lasted() < 5*time.Second {
		return rubric.Failf(want, "the refused port was called a timeout: %d timeouts within %.1f s%s", n, sc.proc.Lasted().Seconds(), submission.Printed(out))
	}
	return nil
}

var summary = regexp.MustCompile(`(?i)\b(min|max|avg|average|mean|minimum|maximum|loss|lost|statistics|rtts?)\b`)

func (l *lab) stats(_ *rubric.T, sc *scene) *rubric.Failure {
	var least, most, sum float64
	count := 0
	for n, at := range sc.replied {
		v := at.Sub(sc.packets[n-1].at).Seconds()
		if count == 0 || v < least {
			least = v
		}
		most, sum = max(most, v), sum+v
		count++
	}
	average := sum / float64(count)
	// What stands behind the last ping's line.
	out := sc.proc.Output()
	if i := strings.LastIndex(out, answer(sc.packets[9])); i >= 0 {
		_, out, _ = strings.Cut(out[i:], "\n")
	}
	var list []float64
	percent := false
	for line := range strings.Lines(out) {
		if !summary.MatchString(line) && !strings.Contains(line, "%") {
			continue
		}
		list = append(list, numbers(line, sc)...)
		percent = percent || regexp.MustCompile(`\b20([.,]0+)?\s*(%|percent)`).MatchString(line)
	}
	has := func(v float64) bool {
		return slices.ContainsFunc(list, func(x float64) bool {
			return x >= v-0.006 && x <= v+0.025 || x >= 1000*v-6 && x <= 1000*v+25
		})
	}
	want := fmt.Sprintf("at the end: min %.3f, max %.3f, average %.3f s, 20 %% loss (2 of 10)", least, most, average)
	var missing []string
	for _, c := range []struct {
		name string
		ok   bool
	}{{"min", has(least)}, {"max", has(most)}, {"average", has(average)}, {"20 % loss", percent}} {
		if !c.ok {
			missing = append(missing, c.name)
		}
	}
	if len(missing) > 0 {
		return rubric.Failf(want, "%s not found behind the last ping%s", strings.Join(missing, ", "), submission.Printed(sc.proc.Output()))
	}
	return nil
}

var beat = regexp.MustCompile(`^\s*(?:[A-Za-z]+[ ,:]+)?(\d+)[ ,:;|]+(\S*\d.*)$`)

func (l *lab) heartbeat(t *rubric.T) *rubric.Failure {
	command := l.s.Also["heartbeat"]
	if command == "" {
		return rubric.Skipf("no command was named: --also heartbeat='python3 heartbeat.py {host} {port}'")
	}
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: l.s.FixedPort})
	if err != nil {
		return rubric.Skipf("%v", err)
	}
	defer func() { _ = conn.Close() }()
	port := strconv.Itoa(conn.LocalAddr().(*net.UDPAddr).Port)
	p, err := l.s.Start(command, map[string]string{"host": "127.0.0.1", "port": port, "dir": l.s.Work})
	if err != nil {
		return rubric.Failf("the program starts", "%v", err)
	}
	defer p.Stop()
	t.Log.Notef("started: %s", p.Line)
	want := "heartbeats such as \"Heartbeat 1 1763678999.123\", numbered one after another, without waiting for replies"
	_ = conn.SetReadDeadline(time.Now().Add(submission.Patience() + 10*time.Second))
	buf := make([]byte, 64<<10)
	before := -1
	for i := range 4 {
		n, _, err := conn.ReadFromUDP(buf)
		if err != nil {
			return rubric.Failf(want, "only %d came; %s%s", i, p.Ending(), submission.Printed(p.Output()))
		}
		t.Log.Add(transcript.Received, "", buf[:n])
		m := beat.FindStringSubmatch(strings.TrimSpace(string(buf[:n])))
		if m == nil {
			return rubric.Failf(want, "%q has no sequence number and time", clip(string(buf[:n])))
		}
		seq, err := strconv.Atoi(m[1])
		if err != nil || before >= 0 && seq != before+1 {
			return rubric.Failf(want, "number %s follows number %d", m[1], before)
		}
		before = seq
	}
	return nil
}
