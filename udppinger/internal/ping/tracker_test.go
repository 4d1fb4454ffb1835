package ping

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"topdown/udppinger/internal/wire"
	"topdown/udppinger/internal/wire/wiretest"

	"github.com/google/go-cmp/cmp"
)

// script drives a tracker with a clock of its own. Probes are sent every second.
type script struct {
	t       *testing.T
	tracker *Tracker
	sent    map[uint64][]byte
	log     []string
}

func newScript(t *testing.T, probes int) *script {
	t.Helper()
	s := &script{t: t, sent: make(map[uint64][]byte)}
	s.tracker = NewTracker(wire.Format{Nonce: 42}, time.Second, uint64(probes), func(e Event) {
		switch e.Kind {
		case Decided:
			s.log = append(s.log, fmt.Sprintf("%d %v", e.Probe.Seq, e.Probe.Verdict))
		case TimedOut:
			s.log = append(s.log, fmt.Sprintf("%d timed out", e.Probe.Seq))
		case Duplicate:
			s.log = append(s.log, fmt.Sprintf("%d duplicate", e.Probe.Seq))
		case Stray:
			s.log = append(s.log, "stray")
		}
	})
	return s
}

// wall is the wall clock so many seconds after the start.
func wall(seconds float64) time.Time { return time.Unix(1763679000, 0).Add(at(seconds)) }

func at(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }

// send sends the next probe.
func (s *script) send(seconds float64) uint64 {
	s.t.Helper()
	s.tracker.Expire(at(seconds), 0)
	if !s.tracker.Room() {
		s.t.Fatal("no room for a probe")
	}
	seq, message := s.tracker.Begin(at(seconds), at(seconds), wall(seconds))
	s.sent[seq] = bytes.Clone(message)
	return seq
}

// reply has the reply to a probe come, changed by change if that is not nil.
func (s *script) reply(seconds float64, seq uint64, change func([]byte) []byte) {
	s.t.Helper()
	reply := bytes.ToUpper(s.sent[seq])
	if change != nil {
		reply = change(reply)
	}
	s.tracker.Expire(at(seconds), 0)
	s.tracker.Arrive(Arrival{Data: reply, From: "192.0.2.1", Read: at(seconds), Wall: wall(seconds)})
}

func (s *script) check(want []string, counts Counts) {
	s.t.Helper()
	s.tracker.Expire(at(1000), 0)
	s.tracker.Finish()
	if diff := cmp.Diff(want, s.log); diff != "" {
		s.t.Errorf("events (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(counts, s.tracker.Counts); diff != "" {
		s.t.Errorf("counts (-want +got):\n%s", diff)
	}
	c := s.tracker.Counts
	if sum := c.OnTime + c.Reordered + c.Late + c.Lost + c.Corrupt + c.Truncated + c.Refused + c.Dropped; sum != c.Sent {
		s.t.Errorf("%d verdicts for %d probes", sum, c.Sent)
	}
}

func TestEachVerdict(t *testing.T) {
	flip := func(i int) func([]byte) []byte {
		return func(b []byte) []byte { b[i] ^= 1; return b }
	}
	cut := func(n int) func([]byte) []byte {
		return func(b []byte) []byte { return b[:n] }
	}
	for _, tt := range []struct {
		name   string
		play   func(s *script)
		want   []string
		counts Counts
	}{
		{
			"on time", func(s *script) { s.reply(0.1, s.send(0), nil) },
			[]string{"1 on time"},
			Counts{Sent: 1, OnTime: 1},
		},
		{
			"just in time", func(s *script) { s.reply(1, s.send(0.0000001), nil) },
			[]string{"1 on time"},
			Counts{Sent: 1, OnTime: 1},
		},
		{
			"lost", func(s *script) { s.send(0) },
			[]string{"1 timed out"},
			Counts{Sent: 1, Lost: 1, LostUnknown: 1},
		},
		{
			"a late reply is not the next probe's", func(s *script) {
				s.reply(0.1, s.send(0), nil)
				second := s.send(0.2)
				third := s.send(1.3)
				s.reply(1.4, second, nil)
				s.reply(1.5, third, nil)
			},
			[]string{"1 on time", "2 timed out", "2 late", "3 on time"},
			Counts{Sent: 3, OnTime: 2, Late: 1},
		},
		{
			"duplicate", func(s *script) {
				seq := s.send(0)
				s.reply(0.1, seq, nil)
				s.reply(0.2, seq, nil)
				s.reply(5, seq, nil)
			},
			[]string{"1 on time", "1 duplicate", "1 duplicate"},
			Counts{Sent: 1, OnTime: 1, Duplicates: 2},
		},
		{
			"reordered", func(s *script) {
				first, second, third := s.send(0), s.send(0.1), s.send(0.2)
				s.reply(0.3, second, nil)
				s.reply(0.4, first, nil)
				s.reply(0.5, third, nil)
			},
			[]string{"2 on time", "1 reordered", "3 on time"},
			Counts{Sent: 3, OnTime: 2, Reordered: 1},
		},
		{
			"corrupt in the time", func(s *script) { s.reply(0.1, s.send(0), flip(10)) },
			[]string{"1 corrupt"},
			Counts{Sent: 1, Corrupt: 1},
		},
		{
			"corrupt in the sequence", func(s *script) {
				s.send(0)
				second := s.send(0.0123)
				s.send(0.0456)
				s.reply(0.1, second, flip(5)) // 2 reads 3
			},
			[]string{"2 corrupt", "1 timed out", "3 timed out"},
			Counts{Sent: 3, Corrupt: 1, Lost: 2, LostUnknown: 2},
		},
		{
			"corrupt in the nonce", func(s *script) { s.reply(0.1, s.send(0), flip(35)) },
			[]string{"1 corrupt"},
			Counts{Sent: 1, Corrupt: 1},
		},
		{
			"not upper-cased", func(s *script) {
				seq := s.send(0)
				s.reply(0.1, seq, func([]byte) []byte { return s.sent[seq] })
			},
			[]string{"1 corrupt"},
			Counts{Sent: 1, Corrupt: 1, Unchanged: 1},
		},
		{
			"truncated", func(s *script) { s.reply(0.1, s.send(0), cut(60)) },
			[]string{"1 truncated"},
			Counts{Sent: 1, Truncated: 1},
		},
		{
			"truncated before the nonce", func(s *script) {
				s.send(0)
				s.reply(0.1, s.send(0.05), cut(12))
			},
			[]string{"2 truncated", "1 timed out"},
			Counts{Sent: 2, Truncated: 1, Lost: 1, LostUnknown: 1},
		},
		{
			"something else altogether", func(s *script) {
				s.reply(0.1, s.send(0), func([]byte) []byte { return []byte("I AM FINE THANK YOU") })
			},
			[]string{"stray", "1 timed out"},
			Counts{Sent: 1, Lost: 1, LostUnknown: 1, Strays: 1},
		},
		{
			"a reply to another run", func(s *script) {
				other := wire.Format{Nonce: 43}
				s.reply(0.1, s.send(0), func([]byte) []byte {
					return bytes.ToUpper(other.Append(nil, 1, time.Unix(1700000000, 0)))
				})
			},
			[]string{"stray", "1 timed out"},
			Counts{Sent: 1, Lost: 1, LostUnknown: 1, Strays: 1},
		},
		{
			"refused, by message: not the probe sent since", func(s *script) {
				first := s.send(0)
				s.send(0.1)
				s.tracker.RefuseMessage(s.sent[first], errors.New("closed"))
			},
			[]string{"1 refused", "2 timed out"},
			Counts{Sent: 2, Refused: 1, Lost: 1, LostUnknown: 1},
		},
		{
			"refused, without the message: the oldest", func(s *script) {
				s.reply(0.05, s.send(0), nil)
				s.send(0.1)
				s.send(0.2)
				s.tracker.Refuse(0, errors.New("closed"))
			},
			[]string{"1 on time", "2 refused", "3 timed out"},
			Counts{Sent: 3, OnTime: 1, Refused: 1, Lost: 1, LostUnknown: 1},
		},
		{
			"refused, and answered all the same", func(s *script) {
				seq := s.send(0)
				s.tracker.RefuseMessage(s.sent[seq], errors.New("forged"))
				s.reply(0.1, seq, nil)
				s.reply(0.2, seq, nil)
			},
			[]string{"1 refused", "1 on time", "1 duplicate"},
			Counts{Sent: 1, OnTime: 1, Duplicates: 1},
		},
		{
			"no room for a reply, which was another's", func(s *script) {
				seq := s.send(0)
				s.send(0.1)
				s.tracker.Expire(at(1.05), 1)
				s.reply(1.5, seq, nil)
			},
			[]string{"1 dropped locally", "2 timed out", "1 late"},
			Counts{Sent: 2, Late: 1, Lost: 1, LostUnknown: 1},
		},
		{
			"not sent", func(s *script) { s.tracker.Failed(s.send(0), errors.New("no buffers")) },
			[]string{"1 dropped locally"},
			Counts{Sent: 1, Dropped: 1},
		},
		{
			"no room for the reply", func(s *script) {
				s.send(0)
				s.send(0.1)
				s.tracker.Expire(at(1.05), 1)
			},
			[]string{"1 dropped locally", "2 timed out"},
			Counts{Sent: 2, Dropped: 1, Lost: 1, LostUnknown: 1},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScript(t, 10)
			tt.play(s)
			s.check(tt.want, tt.counts)
		})
	}
}

func TestLateReplyKeepsItsOwnRTT(t *testing.T) {
	var rtts []time.Duration
	s := newScript(t, 10)
	emit := s.tracker.emit
	s.tracker.emit = func(e Event) {
		if e.Kind == Decided {
			rtts = append(rtts, e.Probe.RTT)
		}
		emit(e)
	}
	first := s.send(0)
	second := s.send(1.01)
	s.reply(1.2, first, nil)
	s.reply(1.21, second, nil)
	if diff := cmp.Diff([]time.Duration{at(1.2), at(0.2)}, rtts); diff != "" {
		t.Errorf("RTTs (-want +got):\n%s", diff)
	}
}

func TestTransmitStampMovesTheStart(t *testing.T) {
	s := newScript(t, 10)
	seq := s.send(1)
	s.tracker.Left(seq, wall(1.25))
	s.tracker.Left(seq+1, wall(1.5)) // not sent yet
	s.tracker.Left(seq, wall(0.5))   // before it was sent: somebody has set the wall clock
	var got Probe
	s.tracker.emit = func(e Event) { got = e.Probe }
	s.reply(1.5, seq, nil)
	if got.RTT != at(0.25) || got.Begun != at(1) || got.Left != at(1.25) {
		t.Errorf("probe %+v", got)
	}
}

func TestWhatNeverCameBackCountsAsUnanswered(t *testing.T) {
	s := newScript(t, 10)
	s.reply(0.1, s.send(0), nil)
	s.send(0.2)
	s.tracker.RefuseMessage(s.sent[s.send(0.3)], errors.New("closed"))
	s.tracker.Failed(s.send(0.4), errors.New("no buffers"))
	s.tracker.Expire(at(5), 0)
	s.tracker.Finish()
	if c := s.tracker.Counts; c.Unanswered() != 3 || c.Received() != 1 || c.Sent != 4 {
		t.Errorf("%d of %d unanswered, %d received; want 3 of 4, 1", c.Unanswered(), c.Sent, c.Received())
	}
}

// A request that was damaged on the way there is nobody's: where the probe was
// lost is then unknown.
func TestDamagedRequestsHaveNoDirection(t *testing.T) {
	t.Run("the server could not tell whose it was", func(t *testing.T) {
		s := newScript(t, 10)
		s.send(0)
		s.send(0.01)
		// 2 was received, 1 not: but something damaged came about then.
		s.reply(0.1, s.send(0.02), report(2, 2, 3, 0b01, 0b11))
		s.check([]string{"3 on time", "1 timed out", "2 timed out"},
			Counts{Sent: 3, OnTime: 1, Lost: 2, LostBack: 1, LostUnknown: 1, Extended: true})
	})
	t.Run("the server took it for another", func(t *testing.T) {
		s := newScript(t, 10)
		s.send(0)
		second := s.send(0.0123)
		s.reply(0.1, second, func(b []byte) []byte { b[5] = '1'; return b })
		// So says the server: 1 received and answered, 2 never.
		s.reply(0.2, s.send(0.15), report(2, 2, 3, 0b10, 0b10))
		s.check([]string{"2 corrupt", "3 on time", "1 timed out"},
			Counts{Sent: 3, OnTime: 1, Corrupt: 1, Lost: 1, LostUnknown: 1, Extended: true})
	})
}

// report turns a plain reply into one with a report, using the server's layout.
func report(count, answered, top uint32, seen, ans uint64) func([]byte) []byte {
	return func(b []byte) []byte {
		return wiretest.Reply(b, wire.Report{Received: time.Unix(1, 0), Count: count, Answered: answered, Top: top, SeenMask: seen, AnsMask: ans})
	}
}

func TestWhereProbesWereLost(t *testing.T) {
	s := newScript(t, 10)
	places := map[uint64]Where{}
	emit := s.tracker.emit
	s.tracker.emit = func(e Event) {
		if e.Kind == Final && e.Probe.Verdict == Lost {
			places[e.Probe.Seq] = e.Probe.Where
		}
		emit(e)
	}
	for i := range 6 {
		s.send(0.01 * float64(i))
	}
	// The reply to 5 says: 4 was dropped by the server, 3 was answered, 2 never
	// came, 1 was answered (and is replied to late). 6 came after it.
	s.reply(0.1, 5, report(4, 3, 5, 0b1011, 0b1010))
	s.reply(1.5, 1, nil)
	s.check(
		[]string{"5 on time", "1 timed out", "2 timed out", "3 timed out", "4 timed out", "6 timed out", "1 late"},
		Counts{Sent: 6, OnTime: 1, Late: 1, Lost: 4, LostThere: 1, LostAtServer: 1, LostBack: 1, LostUnknown: 1, Extended: true})
	if diff := cmp.Diff(map[uint64]Where{2: There, 3: Back, 4: AtServer, 6: Unknown}, places); diff != "" {
		t.Errorf("places (-want +got):\n%s", diff)
	}
}

func TestLongOutagesAreDividedByTheServersCounts(t *testing.T) {
	s := newScript(t, 1000)
	for i := range 500 {
		s.send(0.001 * float64(i))
	}
	// Of 1 to 499 the server received 300, and answered 200. The last 48
	// before 500 it names: all received and answered.
	all := uint64(1)<<48 - 1
	s.reply(0.6, 500, report(301, 201, 500, all, all))
	s.tracker.Expire(at(100), 0)
	s.tracker.Finish()
	want := Counts{Sent: 500, OnTime: 1, Lost: 499, LostThere: 199, LostAtServer: 100, LostBack: 200, Extended: true}
	if diff := cmp.Diff(want, s.tracker.Counts); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}

func TestLyingServerDoesNoHarm(t *testing.T) {
	s := newScript(t, 10)
	s.send(0)
	s.reply(0.1, s.send(0.05), report(1<<31, 1<<31, 1<<31, 1<<48-1, 1<<48-1))
	s.check([]string{"2 on time", "1 timed out"}, Counts{Sent: 2, OnTime: 1, Lost: 1, LostUnknown: 1, Extended: true})
}

func TestInterruptedProbeIsNotCounted(t *testing.T) {
	s := newScript(t, 10)
	s.reply(0.1, s.send(0), nil)
	s.send(1)
	s.tracker.Finish()
	if diff := cmp.Diff(Counts{Sent: 1, OnTime: 1}, s.tracker.Counts); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}

func TestRoomIsBounded(t *testing.T) {
	tracker := NewTracker(wire.Format{}, time.Hour, 0, func(Event) {})
	n := 0
	for tracker.Room() {
		tracker.Begin(0, 0, time.Unix(0, 0))
		if n++; n > MaxOutstanding {
			t.Fatal("more probes outstanding than there is room for")
		}
	}
	tracker.Expire(2*time.Hour, 0)
	if !tracker.Room() {
		t.Error("no room after all have timed out")
	}
}

// The tracker's memory grows with the probes that are under way, and no further.
func TestRoomGrowsAsItIsNeeded(t *testing.T) {
	tracker := NewTracker(wire.Format{Nonce: 1}, time.Second, 0, func(Event) {})
	for i := range 36_000 { // an hour at ten a second
		now := time.Duration(i) * 100 * time.Millisecond
		tracker.Expire(now, 0)
		_, message := tracker.Begin(now, now, time.Unix(0, 0).Add(now))
		if i%7 != 0 {
			tracker.Arrive(Arrival{Data: bytes.ToUpper(message), Read: now + time.Millisecond})
		}
	}
	if n := len(tracker.ring); n != 256 {
		t.Errorf("%d places", n)
	}
	for range 5_000 { // none of them is forgotten
		tracker.Begin(time.Hour, time.Hour, time.Unix(0, 0))
	}
	tracker.Expire(3*time.Hour, 0)
	tracker.Finish()
	if c := tracker.Counts; c.Sent != 41_000 || c.OnTime+c.Lost != c.Sent || c.OnTime != 36_000-36_000/7-1 {
		t.Errorf("counts %+v", c)
	}
}

// Two million probes, one each 8.64 ms, and in the step with real servers ten
// million: 24 hours. One in seven is lost, one in eleven late, one in thirteen
// answered twice; memory must not grow.
func TestDayOfProbesInBoundedMemory(t *testing.T) {
	probes := uint64(2_000_000)
	if os.Getenv("TOPDOWN_REQUIRE_REAL") == "1" {
		probes = 10_000_000
	}
	const interval = 24 * time.Hour / 10_000_000
	var finals uint64
	inOrder := true
	tracker := NewTracker(wire.Format{Nonce: 7, Size: wire.MinSize}, time.Second, probes, func(e Event) {
		if e.Kind == Final {
			finals++
			inOrder = inOrder && e.Probe.Seq == finals
		}
	})
	wall := time.Unix(1763679000, 0)
	var want Counts
	type held struct {
		due time.Duration
		msg []byte
	}
	var late []held // replies 1.2 s after their probes; buffers are used again
	var free [][]byte
	reply := make([]byte, 0, 256)
	var before, after runtime.MemStats
	for i := uint64(1); i <= probes; i++ {
		now := time.Duration(i) * interval
		tracker.Expire(now, 0)
		for len(late) > 0 && late[0].due <= now {
			tracker.Arrive(Arrival{Data: late[0].msg, Read: now})
			free = append(free, late[0].msg)
			late = append(late[:0], late[1:]...)
		}
		seq, message := tracker.Begin(now, now, wall.Add(now))
		reply = append(reply[:0], message...)
		for j, c := range reply {
			if c >= 'a' && c <= 'z' {
				reply[j] = c - 32
			}
		}
		want.Sent++
		came := Arrival{Data: reply, Read: now + time.Millisecond}
		switch {
		case seq%7 == 0:
			want.Lost++
		case seq%11 == 0:
			want.Late++
			var msg []byte
			if n := len(free); n > 0 {
				msg, free = free[n-1], free[:n-1]
			}
			late = append(late, held{now + 1200*time.Millisecond, append(msg[:0], reply...)})
		case seq%13 == 0:
			want.OnTime++
			want.Duplicates++
			tracker.Arrive(came)
			tracker.Arrive(came)
		default:
			want.OnTime++
			tracker.Arrive(came)
		}
		if i == probes/10 {
			runtime.GC()
			runtime.ReadMemStats(&before)
		}
	}
	end := time.Duration(probes)*interval + 2*time.Second
	tracker.Expire(time.Duration(probes)*interval+time.Second/2, 0)
	for _, l := range late {
		tracker.Arrive(Arrival{Data: l.msg, Read: l.due})
	}
	tracker.Expire(end, 0)
	runtime.GC()
	runtime.ReadMemStats(&after)
	tracker.Finish()
	want.LostUnknown = want.Lost
	if diff := cmp.Diff(want, tracker.Counts); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	if finals != probes || !inOrder {
		t.Errorf("%d probes became final, in order: %v", finals, inOrder)
	}
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<20 {
		t.Errorf("memory grew by %d bytes over nine tenths of the day", grown)
	}
	runtime.KeepAlive(tracker)
}

func TestSplitTarget(t *testing.T) {
	for _, tt := range []struct {
		in, host string
		port     uint16
		ok       bool
	}{
		{"127.0.0.1", "127.0.0.1", 8080, true},
		{"127.0.0.1:12000", "127.0.0.1", 12000, true},
		{"example.com:53", "example.com", 53, true},
		{"::1", "::1", 8080, true},
		{"[::1]", "::1", 8080, true},
		{"[::1]:99", "::1", 99, true},
		{"fe80::1%lo", "fe80::1%lo", 8080, true},
		{":99", "127.0.0.1", 99, true},
		{"", "127.0.0.1", 8080, true},
		{"host:0", "", 0, false},
		{"host:65536", "", 0, false},
		{"host:http", "", 0, false},
		{"a:b:c", "", 0, false},
		{"http://x", "", 0, false},
		{"two words", "", 0, false},
		{"\u009b31mred", "", 0, false}, // a terminal may obey
		{"\x9b31mred", "", 0, false},
		{"right\u202eleft", "", 0, false},
		{"bücher.example", "bücher.example", 8080, true},
	} {
		host, port, err := SplitTarget(tt.in)
		if (err == nil) != tt.ok || host != tt.host && tt.ok || port != tt.port && tt.ok {
			t.Errorf("SplitTarget(%q) = %q, %d, %v", tt.in, host, port, err)
		}
	}
}

func FuzzSplitTarget(f *testing.F) {
	for _, s := range []string{"localhost", "[::1]:1", "a:1", ":", "[", "]:1", "[]:1", "%", "1.2.3.4:99999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		host, port, err := SplitTarget(s)
		if err == nil && (port == 0 || host == "" || strings.ContainsAny(host, " /\n")) {
			t.Errorf("SplitTarget(%q) = %q, %d", s, host, port)
		}
	})
}

// FuzzArrive plays random messages against a tracker: nothing may break, and
// every probe must have one verdict.
func FuzzArrive(f *testing.F) {
	f.Add([]byte("PING 1 1763679000.000000 TD1 000000000000002A"), byte(0), byte(3))
	f.Add([]byte("\x02\x00\x00"), byte(255), byte(1))
	f.Fuzz(func(t *testing.T, data []byte, cutAt, probes byte) {
		tracker := NewTracker(wire.Format{Nonce: 42}, time.Second, 16, func(Event) {})
		var last []byte
		for i := range int(probes % 32) {
			now := time.Duration(i) * 300 * time.Millisecond
			tracker.Expire(now, 0)
			if !tracker.Room() {
				break
			}
			_, message := tracker.Begin(now, now, time.Unix(1763679000, 0).Add(now))
			last = append(last[:0], bytes.ToUpper(message)...)
			damaged := bytes.Clone(last[:min(int(cutAt), len(last))])
			for j, c := range data {
				if j < len(damaged) {
					damaged[j] ^= c
				}
			}
			tracker.Arrive(Arrival{Data: damaged, Read: now})
			tracker.Arrive(Arrival{Data: data, Read: now})
		}
		tracker.Expire(time.Hour, uint64(cutAt))
		tracker.Finish()
		c := tracker.Counts
		if sum := c.OnTime + c.Reordered + c.Late + c.Lost + c.Corrupt + c.Truncated + c.Refused + c.Dropped; sum != c.Sent {
			t.Errorf("%d verdicts for %d probes: %+v", sum, c.Sent, c)
		}
	})
}
