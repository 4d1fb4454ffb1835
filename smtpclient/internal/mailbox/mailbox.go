// Package mailbox is what a person does with a mailbox: find a message, list,
// show and save. Messages stream through; show and save need the same memory
// for a mail of any size.
//
// Everything in a message is a stranger's: what is shown is made safe for a
// terminal, and what is saved gets a new file under a safe name, and follows no
// link.
package mailbox

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"topdown/smtpclient/internal/message"
	"topdown/smtpclient/internal/pop3"
)

// Errors of the package, for errors.Is.
var (
	ErrName      = errors.New("give a message's number, or uid:UID, from inbox list") // it names no message
	ErrNoMessage = errors.New("the mailbox has no message")
	ErrOutput    = errors.New("cannot write") // a file of ours
)

// Find returns the list entry of a number or of "uid:UID".
func Find(box *pop3.Session, which string) (pop3.Entry, error) {
	if err := CheckName(which); err != nil {
		return pop3.Entry{}, err
	}
	uid, byUID := strings.CutPrefix(which, "uid:")
	number, _ := strconv.Atoi(which)
	entries, err := box.List()
	if err != nil {
		return pop3.Entry{}, err
	}
	for _, entry := range entries {
		if byUID && entry.UID == uid || !byUID && entry.Number == number {
			return entry, nil
		}
	}
	return pop3.Entry{}, fmt.Errorf("%w %s (it has %s)", ErrNoMessage, which, CountText(len(entries)))
}

// CheckName tells whether which can name a message.
func CheckName(which string) error {
	if number, err := strconv.Atoi(which); !strings.HasPrefix(which, "uid:") && (err != nil || number < 1) {
		return fmt.Errorf("%q is no message: %w", which, ErrName)
	}
	return nil
}

// Header fetches the header of a message, with TOP where there is one. The error
// is a *pop3.Error, or wraps message.ErrTooComplex beside the fields within the
// bounds; any other error is of the connection.
func Header(box *pop3.Session, entry pop3.Entry) (message.Header, error) {
	body, err := box.Top(entry, 0)
	if _, refused := errors.AsType[*pop3.Error](err); refused {
		body, err = box.Retrieve(entry)
	}
	if err != nil {
		return nil, err
	}
	header, err := message.ReadHeader(body)
	if err != nil && !errors.Is(err, message.ErrTooComplex) {
		return nil, fmt.Errorf("message %d: %w", entry.Number, err)
	}
	return header, errors.Join(err, body.Discard())
}

// Newest calls visit with the header of each message, the newest first, until it
// says that it is done. Messages whose UID is in seen are passed over. What cannot
// be read of a header is missing in it; an error is visit's, or of the connection.
func Newest(box *pop3.Session, seen map[string]bool, visit func(entry pop3.Entry, header message.Header) (done bool, err error)) error {
	entries, err := box.List()
	if err != nil {
		return err
	}
	for _, entry := range slices.Backward(entries) { // the newest come last
		if entry.UID != "" && seen[entry.UID] {
			continue
		}
		header, err := Header(box, entry)
		if _, refused := errors.AsType[*pop3.Error](err); err != nil && !refused && !errors.Is(err, message.ErrTooComplex) {
			return err
		}
		if done, err := visit(entry, header); done || err != nil {
			return err
		}
	}
	return nil
}

// countingReader counts what passes.
type countingReader struct {
	r io.Reader
	n int64
}

// Read implements io.Reader.
func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// CountText writes a number of messages for people.
func CountText(n int) string {
	if n == 1 {
		return "1 message"
	}
	return fmt.Sprintf("%d messages", n)
}

// SizeText writes a number of bytes for people.
func SizeText(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n)/1024, "KiB"
	for _, next := range []string{"MiB", "GiB"} {
		if value < 1024 {
			break
		}
		value, unit = value/1024, next
	}
	return fmt.Sprintf("%.1f %s", value, unit)
}
