package ping

import (
	"time"

	"topdown/udppinger/internal/socket"
	"topdown/udppinger/internal/wire"
)

// Verdict is what became of a probe. Each probe has exactly one in the end.
type Verdict uint8

// The verdicts.
const (
	Pending   Verdict = iota
	OnTime            // its reply came within the timeout
	Reordered         // on time, but after the reply to a later probe
	Late              // its reply came after the timeout
	Lost              // no reply came
	Corrupt           // the reply was not the request in capitals
	Truncated         // the reply was the beginning of what it should be
	Refused           // an ICMP error came back: nobody listens there, or no way
	Dropped           // this host did not send it, or had no room for its reply
)

var verdictNames = [...]string{"pending", "on time", "reordered", "late", "lost", "corrupt", "truncated", "refused", "dropped locally"}

func (v Verdict) String() string { return verdictNames[v] }

// Received reports whether an intact reply came, however late.
func (v Verdict) Received() bool { return v == OnTime || v == Reordered || v == Late }

// replied reports whether a reply came, in whatever state.
func (v Verdict) replied() bool { return v.Received() || v == Corrupt || v == Truncated }

// Where is where a probe was lost, as far as the server's reports tell.
type Where uint8

// The places.
const (
	Unknown  Where = iota
	There          // on the way to the server
	AtServer       // the server received it and chose not to answer
	Back           // on the way back
)

var whereNames = [...]string{"unknown", "there", "at the server", "back"}

func (w Where) String() string { return whereNames[w] }

// Probe is all that is known of one probe. Times are counted from the start of
// the run, on the monotonic clock.
type Probe struct {
	Seq     uint64
	Verdict Verdict
	Where   Where // if Lost
	// Reason says why a probe was refused or dropped.
	Reason error
	// ICMP is the Reason of a refusal, with who refused, where the system tells.
	ICMP       *socket.ICMPError
	Duplicates int // further replies

	Due   time.Duration // when it was to be sent
	Begun time.Duration // when the system was asked to send it
	Left  time.Duration // when it left, by the kernel if that told, else Begun
	Came  time.Duration // when the reply came, by the kernel if that told
	Read  time.Duration // when this program had the reply
	RTT   time.Duration // Came - Left; 0 without a reply

	Bytes  int // size of the reply
	TTL    int // of the reply's packet; 0 if not known
	Server *Server

	sent                    int64 // the time in the message, microseconds since 1970
	wall                    int64 // the wall clock at Begun, ns since 1970
	leftStamp               int64 // the kernel's, ns since 1970; 0 if it told nothing
	covered, seen, answered bool  // what the server told about it
	doubtful                bool  // it received something damaged that may have been this probe
	mistaken                bool  // it took this probe for another, or another for this one
}

// Server is what the server said in its reply to a probe.
type Server struct {
	Received  time.Time     // by the server's clock
	Residence time.Duration // from receipt to reply
}

// EventKind says what an Event is about.
type EventKind uint8

// The kinds of events.
const (
	Decided   EventKind = iota // the probe has a verdict, or a better one
	TimedOut                   // no reply within the timeout; one may still come
	Duplicate                  // a further reply came
	Final                      // nothing about the probe will change any more
	Stray                      // a message came that is no reply to any probe
)

// Event is one thing that happened. Final events come in order of sequence.
type Event struct {
	Kind  EventKind
	Probe Probe
	// From and Text are the address and the text of the message that came.
	From string
	Text string
	// Was is the verdict before: Lost if the probe had timed out.
	Was Verdict
	// Note says what was wrong with the message that came.
	Note string
	// Ours is set for a Stray that bears this run's nonce: somebody has replied
	// from an address that was not asked.
	Ours bool
	// Counts are the counts as of now.
	Counts Counts
}

// Counts counts probes by verdict.
type Counts struct {
	Sent      uint64
	OnTime    uint64
	Reordered uint64
	Late      uint64
	Lost      uint64
	Corrupt   uint64
	Truncated uint64
	Refused   uint64
	Dropped   uint64

	Duplicates uint64 // replies beyond the first
	Strays     uint64 // messages that were no replies

	LostThere, LostAtServer, LostBack, LostUnknown uint64 // of the Lost, final ones only
	// Extended is set if the server has spoken the extension.
	Extended bool
	// Unchanged counts, of the Corrupt, replies equal to the request: from a
	// server that does not upper-case.
	Unchanged uint64
}

// Received returns the number of probes whose intact reply came, however late.
func (c *Counts) Received() uint64 { return c.OnTime + c.Reordered + c.Late }

// Unanswered returns the number of probes to which no reply came, for whatever
// reason: lost, refused, or dropped by this host. It is the loss of all reports.
func (c *Counts) Unanswered() uint64 { return c.Lost + c.Refused + c.Dropped }

// of returns the counter of a verdict.
func (c *Counts) of(v Verdict) *uint64 {
	switch v {
	case OnTime:
		return &c.OnTime
	case Reordered:
		return &c.Reordered
	case Late:
		return &c.Late
	case Lost:
		return &c.Lost
	case Corrupt:
		return &c.Corrupt
	case Truncated:
		return &c.Truncated
	case Refused:
		return &c.Refused
	default:
		return &c.Dropped
	}
}

// Arrival is a message that came from the target, and when.
type Arrival struct {
	Data []byte
	From string
	TTL  int
	// Read is when the program had it, and Wall the same moment on the wall
	// clock.
	Read time.Duration
	Wall time.Time
	// Stamp is when the kernel had it, by the wall clock; zero if it tells
	// nothing.
	Stamp time.Time
}

// verdictOf turns the quality of a reply into a verdict.
func verdictOf(q wire.Quality) (v Verdict, damaged bool) {
	switch q {
	case wire.Intact:
		return OnTime, false
	case wire.Truncated:
		return Truncated, true
	default:
		return Corrupt, true
	}
}
