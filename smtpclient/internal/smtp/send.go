package smtp

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// An Envelope says where a message goes, whatever its header says.
type Envelope struct {
	From   string   // the reverse path without <>, empty for a bounce
	To     []string // the forward paths without <>
	Notify string   // DSN: "NEVER" or a list of SUCCESS, FAILURE, DELAY
	Return string   // DSN: "FULL" or "HDRS"
	// Committed, if not nil, is called when the server waits for the message
	// and no byte of it has been sent. An error stops the mail.
	Committed func() error
}

// Status is what became of a mail for one recipient.
type Status string

// The statuses. Only Accepted means that the server took responsibility.
const (
	Unsent    Status = "unsent"    // it never came to that
	Accepted  Status = "accepted"  // 250 to the final dot
	Refused   Status = "refused"   // 5xx: trying again is useless
	Deferred  Status = "deferred"  // 4xx: trying again later may help
	Uncertain Status = "uncertain" // no reply to the final dot
)

// A Recipient is the result for one address.
type Recipient struct {
	Address string
	Status  Status
	Reply   Reply // the one that decided
}

// A Result is the outcome of one Send.
type Result struct {
	Recipients []Recipient
	Final      Reply // the reply to the final dot
}

// statusOf is the status that a negative reply means.
func statusOf(reply Reply) Status {
	if reply.Temporary() {
		return Deferred
	}
	return Refused
}

// decide gives every recipient whose result is still open the same status.
func (r *Result) decide(status Status, reply Reply) {
	for i := range r.Recipients {
		if to := &r.Recipients[i]; to.Status == Unsent || to.Status == pending {
			to.Status, to.Reply = status, reply
		}
	}
}

// pending is a recipient whose RCPT was accepted while the mail is not sent yet.
const pending Status = "pending"

// Count tells how many recipients have the status.
func (r *Result) Count(status Status) (n int) {
	for _, to := range r.Recipients {
		if to.Status == status {
			n++
		}
	}
	return n
}

// batch bounds how many commands are sent before their replies are read: more
// could fill the buffers of both directions and block both ends for good
// (RFC 2920 section 3.1).
const batch = 100

// Send sends one mail over the session. The result always has every recipient;
// err is nil if the server took the message for at least one of them, and else
// a *ReplyError, an *UncertainError, an *UnsupportedError, a *SourceError or an
// error of the connection.
func (s *Session) Send(env *Envelope, m Message) (*Result, error) {
	result := &Result{Recipients: make([]Recipient, len(env.To))}
	for i, to := range env.To {
		result.Recipients[i] = Recipient{Address: to, Status: Unsent}
	}
	if err := s.Check(env, m); err != nil {
		return result, err
	}
	if s.limit > 0 {
		s.conn.Limit = time.Now().Add(s.limit)
	}
	final, err := s.transaction(env, m, result)
	result.Final = final
	if uncertain, ok := errors.AsType[*UncertainError](err); ok {
		result.decide(Uncertain, Reply{Lines: []string{uncertain.Err.Error()}})
	} else if wrong, ok := errors.AsType[*ReplyError](err); ok {
		result.decide(statusOf(wrong.Reply), wrong.Reply)
	} else if err != nil {
		result.decide(Unsent, Reply{})
	} else {
		for i := range result.Recipients {
			if to := &result.Recipients[i]; to.Status == pending {
				to.Status, to.Reply = Accepted, final
			}
		}
	}
	return result, err
}

// transaction says MAIL, RCPT and DATA, several in one write if the server
// knows PIPELINING, and then the message.
func (s *Session) transaction(env *Envelope, m Message, result *Result) (Reply, error) {
	lines := s.Commands(env, m)
	chunking := s.chunks()
	if chunking {
		lines = lines[:len(lines)-1] // BDAT goes with the message
	}
	group := 1
	if _, ok := s.Extensions["PIPELINING"]; ok {
		group = batch
	}
	var firstWrong error // the reply that stops the mail
	granted := false     // 354
	for start := 0; start < len(lines) && firstWrong == nil; start += group {
		part := lines[start:min(start+group, len(lines))]
		if part[0] == "DATA" && result.Count(pending) == 0 {
			break
		}
		s.conn.Begin(verb(part[0]), commandTimeout)
		for _, line := range part {
			s.conn.Step(verb(line))
			if err := s.put(line); err != nil {
				return Reply{}, err
			}
		}
		if err := s.conn.Flush(); err != nil {
			return Reply{}, s.conn.Lost(part[0], err)
		}
		for i, line := range part {
			s.conn.Step(verb(line))
			want, timeout := 250, commandTimeout
			if line == "DATA" {
				want, timeout = 354, dataTimeout
			}
			s.conn.Extend(timeout)
			reply, err := s.expect(line, want)
			wrong, refused := errors.AsType[*ReplyError](err)
			if err != nil && !refused {
				if firstWrong != nil {
					err = firstWrong // the connection went after the real reason
				}
				return Reply{}, err
			}
			switch n := start + i; {
			case n > 0 && line != "DATA" && !refused:
				result.Recipients[n-1].Status = pending
			case n > 0 && line != "DATA" && firstWrong == nil && reply.Code != 421:
				to := &result.Recipients[n-1]
				to.Status, to.Reply = statusOf(wrong.Reply), wrong.Reply
			case line == "DATA" && !refused:
				granted = true
			case refused && firstWrong == nil && (line != "DATA" || result.Count(pending) > 0):
				firstWrong = err
			}
			if s.conn.Broken() {
				return Reply{}, firstWrong
			}
		}
	}
	if firstWrong == nil && result.Count(pending) == 0 {
		firstWrong = s.nobody(result)
	}
	if firstWrong != nil {
		if granted {
			return Reply{}, s.loneDot(firstWrong)
		}
		return Reply{}, firstWrong
	}
	if env.Committed != nil {
		if err := env.Committed(); err != nil {
			s.conn.Break()
			return Reply{}, &SourceError{err}
		}
	}
	if chunking {
		return s.chunk(m)
	}
	return s.content(m)
}

// nobody is the error when no recipient was accepted: the last refusal that is
// temporary, for then the mail is worth another try, else the last.
func (s *Session) nobody(result *Result) error {
	var last Recipient
	for _, to := range result.Recipients {
		if last.Status != Deferred || to.Status == Deferred {
			last = to
		}
	}
	return &ReplyError{Step: "RCPT TO:<" + last.Address + ">", Want: 250, Reply: last.Reply}
}

// loneDot takes back a DATA that the server granted although it accepted no
// sender or no recipient: an empty message that can go to nobody (RFC 2920
// section 3.1).
func (s *Session) loneDot(reason error) error {
	s.conn.Begin("dot", dotTimeout)
	if err := s.put("."); err != nil {
		return reason
	}
	if err := s.conn.Flush(); err != nil {
		s.conn.Break()
		return reason
	}
	if _, err := s.readReply(asItIs); err != nil {
		s.conn.Break()
	}
	return reason
}

// chunks tells whether Send will use BDAT.
func (s *Session) chunks() bool {
	_, offered := s.Extensions["CHUNKING"]
	return s.Chunking && offered
}

// Commands returns the lines that Send says before the message.
func (s *Session) Commands(env *Envelope, m Message) []string {
	utf8 := s.needsUTF8(env, m)
	lines := []string{mailLine(env, m.Size(), s.Extensions, m.EightBit() || utf8, utf8)}
	for _, to := range env.To {
		lines = append(lines, rcptLine(env, to, s.Extensions))
	}
	if s.chunks() {
		return append(lines, fmt.Sprintf("BDAT %d LAST", m.Size()))
	}
	return append(lines, "DATA")
}

// Check tells, before anything is said, whether the server can take the mail:
// its size, its 8-bit body, its addresses. The error is an *UnsupportedError.
func (s *Session) Check(env *Envelope, m Message) error {
	if limit, err := strconv.ParseInt(s.Extensions["SIZE"], 10, 64); err == nil && limit > 0 && m.Size() > limit {
		return &UnsupportedError{fmt.Sprintf("the message has %d bytes, the server takes %d at most", m.Size(), limit)}
	}
	if _, ok := s.Extensions["SMTPUTF8"]; !ok && s.needsUTF8(env, m) {
		for _, address := range append([]string{env.From}, env.To...) {
			if !ascii(address) {
				return &UnsupportedError{fmt.Sprintf("the server does not offer SMTPUTF8, which the address %s needs", address)}
			}
		}
		return &UnsupportedError{"the server does not offer SMTPUTF8, which the message's header needs"}
	}
	if _, ok := s.Extensions["8BITMIME"]; !ok && m.EightBit() {
		return &UnsupportedError{"the server does not offer 8BITMIME, and the message has 8-bit text: encode it as quoted-printable or base64"}
	}
	return nil
}

func (s *Session) needsUTF8(env *Envelope, m Message) bool {
	if m.UTF8() || !ascii(env.From) {
		return true
	}
	for _, to := range env.To {
		if !ascii(to) {
			return true
		}
	}
	return false
}

// An UnsupportedError says what the mail needs and the server cannot do.
type UnsupportedError struct{ Reason string }

func (e *UnsupportedError) Error() string { return e.Reason }

// verb is the name of a command line's step.
func verb(line string) string {
	word, _, _ := strings.Cut(line, " ")
	return word
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] > '~' {
			return false
		}
	}
	return true
}

// xtext encodes a DSN parameter (RFC 3461 section 4).
func xtext(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c > ' ' && c <= '~' && c != '+' && c != '=' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "+%02X", c)
		}
	}
	return b.String()
}
