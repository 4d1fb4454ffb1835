// Package draft makes a message and its envelope of what a person wants to
// send: texts and files as they are given on a command line, or a ready message.
//
// It opens files and reads the standard input that it is handed; it sends
// nothing. What contradicts itself is a *UsageError, a text that cannot be sent as
// it is wraps message.ErrFormat, and a file that cannot be read is a
// *fs.PathError.
package draft

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"topdown/smtpclient/internal/dkim"
	"topdown/smtpclient/internal/message"
	"topdown/smtpclient/internal/smtp"

	"golang.org/x/net/idna"
)

// A Draft is what the user wants to send.
type Draft struct {
	From, ReplyTo string
	// EnvelopeFrom is where bounces go: an address, "<>" for nowhere, or empty
	// for From.
	EnvelopeFrom       string
	To, Cc, Bcc        []string
	Subject            string
	Text, HTML         string
	TextFile, HTMLFile string   // "-" is the standard input
	Charset            string   // of those files, unless they say it themselves; empty: UTF-8
	Inline, Attach     []string // "PATH[:type=TYPE][:name=NAME]", "-" for the standard input
	Header             []string // "Name: value"
	Message            string   // path of a ready message, "-" for the standard input
	Notify, Return     string   // DSN
	DKIMDomain         string
	DKIMSelector       string
	DKIMKey            string // path

	In     io.Reader // the standard input
	Now    func() time.Time
	Random io.Reader
	// Warn is told what does not stop the mail.
	Warn func(format string, args ...any)
}

// A UsageError is a draft that contradicts itself or lacks something.
type UsageError struct{ Err error }

func (e *UsageError) Error() string { return e.Err.Error() }
func (e *UsageError) Unwrap() error { return e.Err }

func mistake(format string, args ...any) error { return &UsageError{fmt.Errorf(format, args...)} }

// ErrTemporary is wrapped by errors about a temporary file that cannot be
// written.
var ErrTemporary = errors.New("cannot keep the standard input")

// Mail is a draft that can be sent.
type Mail struct {
	Envelope  *smtp.Envelope
	Message   smtp.Message
	MessageID string
	Problems  []string // what is odd, one sentence each

	close []func()
}

// Close gives back the files of the mail.
func (m *Mail) Close() {
	for _, f := range slices.Backward(m.close) {
		f()
	}
}

// Prepare makes a message and its envelope. The caller closes the mail.
func (d *Draft) Prepare() (*Mail, error) {
	m := &Mail{}
	var err error
	if d.Message != "" {
		err = d.ready(m)
	} else {
		err = d.composed(m)
	}
	if err == nil {
		err = d.finish(m)
	}
	if err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// composed writes a message of the draft's texts and files.
func (d *Draft) composed(m *Mail) error {
	parts, err := d.parts(m)
	if err != nil {
		return err
	}
	if parts.To, err = addresses("--to", d.To); err != nil {
		return err
	}
	if parts.Cc, err = addresses("--cc", d.Cc); err != nil {
		return err
	}
	bcc, err := addresses("--bcc", d.Bcc)
	if err != nil {
		return err
	}
	if parts.MessageID, parts.Boundary, err = d.Identify(parts.From); err != nil {
		return err
	}
	parts.Date = d.Now()
	composed, err := message.Compose(parts)
	if err != nil {
		return &UsageError{err}
	}
	m.Envelope = &smtp.Envelope{From: parts.From.Spec(), To: recipients(parts.To, parts.Cc, bcc)}
	m.Message, m.MessageID, m.Problems = composed, parts.MessageID, parts.Check()
	return nil
}

// finish completes the envelope and signs.
func (d *Draft) finish(m *Mail) error {
	if len(m.Envelope.To) == 0 {
		return mistake("nobody to send to: give --to, --cc or --bcc, or addresses after --")
	}
	signer, err := d.signer(m.Envelope.From)
	if err != nil {
		return err
	}
	if err = d.options(m.Envelope); err != nil {
		return err
	}
	if signer != nil {
		m.Message, err = signer.Sign(m.Message)
	}
	return err
}

// options fills in what the envelope has beside the addresses.
func (d *Draft) options(env *smtp.Envelope) error {
	switch d.EnvelopeFrom {
	case "":
	case "<>":
		env.From = ""
	default:
		from, err := message.ParseAddress(d.EnvelopeFrom)
		if err != nil {
			return mistake("--envelope-from: %w", err)
		}
		env.From = from.Spec()
	}
	if d.Notify != "" {
		words := strings.Split(strings.ToUpper(strings.ReplaceAll(d.Notify, " ", "")), ",")
		for _, word := range words {
			if !slices.Contains([]string{"NEVER", "SUCCESS", "FAILURE", "DELAY"}, word) || word == "NEVER" && len(words) > 1 {
				return mistake("--notify %q: never, or some of success,failure,delay is expected", d.Notify)
			}
		}
		env.Notify = strings.Join(words, ",")
	}
	switch env.Return = strings.ToUpper(d.Return); env.Return {
	case "", "FULL", "HDRS":
		return nil
	}
	return mistake("--ret %q: one of full, hdrs is expected", d.Return)
}

// signer returns the DKIM signer, nil if none is asked for.
func (d *Draft) signer(from string) (*dkim.Signer, error) {
	if d.DKIMKey == "" {
		if d.DKIMSelector != "" || d.DKIMDomain != "" {
			return nil, mistake("a DKIM signature needs --dkim-key")
		}
		return nil, nil
	}
	if d.DKIMSelector == "" {
		return nil, mistake("--dkim-key needs --dkim-selector")
	}
	if strings.Trim(strings.ToLower(d.DKIMSelector), "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
		return nil, mistake("--dkim-selector %q: letters, digits, dots and dashes are expected", d.DKIMSelector)
	}
	domain := cmp.Or(d.DKIMDomain, from[strings.LastIndexByte(from, '@')+1:])
	domain, err := idna.Lookup.ToASCII(domain)
	if err != nil {
		return nil, mistake("--dkim-domain %q: a domain is expected, as in example.com", domain)
	}
	key, err := dkim.LoadKey(d.DKIMKey)
	if err != nil {
		return nil, FileError("--dkim-key ", err)
	}
	return &dkim.Signer{Domain: domain, Selector: d.DKIMSelector, Key: key}, nil
}

// Identify makes a Message-ID and a boundary for a mail.
func (d *Draft) Identify(from message.Address) (id, boundary string, err error) {
	b := make([]byte, 24)
	if _, err := io.ReadFull(d.Random, b); err != nil {
		return "", "", fmt.Errorf("random source: %w", err)
	}
	unique := hex.EncodeToString(b)
	return unique[:32] + "@" + idDomain(from), unique[32:], nil
}

// idDomain is what stands behind the @ of a Message-ID.
func idDomain(from message.Address) string {
	domain, err := idna.ToASCII(from.Domain)
	if err != nil || domain == "" || strings.HasPrefix(domain, "[") {
		return "localhost"
	}
	return domain
}

func addresses(flag string, texts []string) ([]message.Address, error) {
	var list []message.Address
	for _, text := range texts {
		more, err := message.ParseAddressList(text)
		if err != nil {
			return nil, mistake("%s: %w", flag, err)
		}
		list = append(list, more...)
	}
	return list, nil
}

// recipients lists each address once.
func recipients(lists ...[]message.Address) []string {
	var specs []string
	seen := make(map[string]bool)
	for _, list := range lists {
		for _, address := range list {
			if spec := address.Spec(); !seen[spec] {
				seen[spec] = true
				specs = append(specs, spec)
			}
		}
	}
	return specs
}
