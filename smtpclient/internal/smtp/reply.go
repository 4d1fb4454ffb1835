package smtp

import (
	"errors"
	"fmt"
	"strings"

	"topdown/smtpclient/internal/session"
)

// Bounds on one reply; a server that exceeds them is not speaking SMTP.
const (
	maxReplyLines = 100
	maxReplyBytes = 64 << 10
)

// A Reply is a server's answer to one command (RFC 5321 section 4.2).
type Reply struct {
	Code     int      // 200 to 599
	Enhanced string   // the enhanced status code of RFC 3463, as "5.1.1", or empty
	Lines    []string // the text of each line, without code
}

// Text is the reply's text on one line, without codes.
func (r Reply) Text() string {
	text := strings.Join(r.Lines, " ")
	if r.Enhanced != "" {
		text = strings.ReplaceAll(text, r.Enhanced+" ", "")
	}
	return text
}

func (r Reply) String() string {
	return fmt.Sprintf("%d %s", r.Code, strings.Join(r.Lines, " / "))
}

// Positive means yes. Positive, Temporary and Permanent tell the three kinds of
// final reply apart.
func (r Reply) Positive() bool { return r.Code/100 == 2 }

// Temporary means that the same command may succeed later.
func (r Reply) Temporary() bool { return r.Code/100 == 4 }

// Permanent means that it will not.
func (r Reply) Permanent() bool { return r.Code/100 == 5 }

// ErrProtocol is wrapped by the errors about replies that are not SMTP.
var ErrProtocol = errors.New("the server does not speak SMTP")

// lineReader is what readReply needs of a connection.
type lineReader interface {
	ReadLine() (string, error)
}

// readReply reads one reply, of one or more lines. Each line has three digits,
// then "-" if another follows, else a space or nothing; the code must be the
// same throughout.
//
// The function seen is called with each line. The mask hides secrets in error
// texts.
func readReply(r lineReader, mask *session.Mask, seen func(line string)) (Reply, error) {
	var reply Reply
	total := 0
	for n := 1; ; n++ {
		line, err := r.ReadLine()
		if err != nil {
			switch {
			case errors.Is(err, session.ErrLineLong), errors.Is(err, session.ErrNUL):
				return Reply{}, fmt.Errorf("%w: %w", ErrProtocol, err)
			case n > 1 && errors.Is(err, session.ErrClosed):
				return Reply{}, fmt.Errorf("%w in the middle of a reply", session.ErrClosed)
			}
			return Reply{}, err
		}
		seen(line)
		code, more, text, ok := splitReply(line)
		total += len(line)
		switch {
		case !ok:
			return Reply{}, fmt.Errorf("%w: %q is no reply line", ErrProtocol, clip(mask.Hide(line)))
		case n > 1 && code != reply.Code:
			return Reply{}, fmt.Errorf("%w: one reply has the codes %d and %d", ErrProtocol, reply.Code, code)
		case n > maxReplyLines, total > maxReplyBytes:
			return Reply{}, fmt.Errorf("%w: a reply of more than %d lines or %d bytes", ErrProtocol, maxReplyLines, maxReplyBytes)
		}
		if n == 1 {
			reply.Code = code
			reply.Enhanced = enhanced(code, text)
		}
		reply.Lines = append(reply.Lines, text)
		if !more {
			return reply, nil
		}
	}
}

// splitReply takes a reply line apart.
func splitReply(line string) (code int, more bool, text string, ok bool) {
	if len(line) < 3 || line[0] < '2' || line[0] > '5' || !digit(line[1]) || !digit(line[2]) {
		return 0, false, "", false
	}
	code = int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
	if len(line) == 3 {
		return code, false, "", true
	}
	if line[3] != ' ' && line[3] != '-' {
		return 0, false, "", false
	}
	return code, line[3] == '-', line[4:], true
}

// enhanced returns the enhanced status code at the start of text, if there is
// one and its class is that of the code (RFC 2034 section 4).
func enhanced(code int, text string) string {
	word, _, _ := strings.Cut(text, " ")
	parts := strings.Split(word, ".")
	if len(parts) != 3 || len(word) > 9 || len(parts[0]) != 1 || int(parts[0][0]-'0') != code/100 {
		return ""
	}
	for _, part := range parts[1:] {
		if part == "" || strings.Trim(part, "0123456789") != "" {
			return ""
		}
	}
	return word
}

func digit(b byte) bool { return b >= '0' && b <= '9' }

// clip shortens a line from the network for an error text.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}

// A ReplyError is a reply other than the one that the dialogue needs.
type ReplyError struct {
	Step  string // the command, as "RCPT TO:<bob@example.com>"
	Want  int    // the code that would have been right
	Reply Reply
}

func (e *ReplyError) Error() string {
	return fmt.Sprintf("%s: the server answered %q", e.Step, e.Reply.String())
}

// An UncertainError says that the whole message left us and no final reply
// came: it may have been delivered, so sending it again may deliver it twice
// (RFC 5321 section 4.5.3.2.6, RFC 1047).
type UncertainError struct{ Err error }

func (e *UncertainError) Error() string {
	return fmt.Sprintf("the message may have been delivered: no valid reply after the final dot: %v", e.Err)
}

func (e *UncertainError) Unwrap() error { return e.Err }
