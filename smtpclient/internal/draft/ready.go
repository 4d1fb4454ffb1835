package draft

import (
	"fmt"
	"io/fs"
	"os"
	"strings"

	"topdown/smtpclient/internal/message"
	"topdown/smtpclient/internal/smtp"
)

// ready takes a ready message. Sender and recipients come from its header
// where the draft does not name them.
func (d *Draft) ready(m *Mail) error {
	if d.Subject != "" || d.Text != "" || d.HTML != "" || d.TextFile != "" || d.HTMLFile != "" ||
		d.ReplyTo != "" || len(d.Inline)+len(d.Attach)+len(d.Header) > 0 {
		return mistake("--message is a complete message: no --subject, --text, --html, --attach, --inline, --header or --reply-to beside it")
	}
	f, err := d.open(m)
	if err != nil {
		return err
	}
	raw, err := message.ReadRaw(f)
	if err != nil {
		return err
	}
	from := d.From
	if from == "" {
		from = raw.Header.Get("From")
	}
	senders, err := message.ParseAddressList(from)
	if err == nil && len(senders) == 0 {
		err = fmt.Errorf("%q names nobody", from)
	}
	if err != nil {
		return mistake("no sender: give --from, or a From field in the message: %w", err)
	}
	id, _, err := d.Identify(senders[0])
	if err != nil {
		return err
	}
	raw.Complete(d.Now(), id)
	var to []message.Address
	for _, list := range [][]string{d.To, d.Cc, d.Bcc} {
		more, bad := addresses("recipient", list)
		if bad != nil {
			return bad
		}
		to = append(to, more...)
	}
	if len(to) == 0 {
		if to, err = fromHeader(raw.Header); err != nil {
			return err
		}
	}
	m.Envelope = &smtp.Envelope{From: senders[0].Spec(), To: recipients(to)}
	m.Message, m.MessageID = raw, raw.MessageID()
	return nil
}

// fromHeader takes the recipients from a message's own fields.
func fromHeader(h message.Header) ([]message.Address, error) {
	var to []message.Address
	for _, name := range []string{"To", "Cc", "Bcc"} {
		value := h.Get(name)
		if value == "" || strings.HasSuffix(strings.ReplaceAll(value, " ", ""), ":;") {
			continue // an empty group names nobody
		}
		more, err := message.ParseAddressList(value)
		if err != nil {
			return nil, fmt.Errorf("%w: its %s field: %w", message.ErrFormat, name, err)
		}
		to = append(to, more...)
	}
	return to, nil
}

// open opens a message so that it can be read more than once.
func (d *Draft) open(m *Mail) (*os.File, error) {
	path := d.Message
	if path == "-" {
		var err error
		if path, err = d.keepInput(m); err != nil {
			return nil, err
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, FileError("--message ", err)
	}
	m.close = append(m.close, func() { f.Close() })
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, FileError("--message ", &fs.PathError{Op: "open", Path: path, Err: errNoFile})
	}
	return f, nil
}
