package agent

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"topdown/smtpclient/internal/dkim"
	"topdown/smtpclient/internal/message"
	"topdown/smtpclient/internal/smtp"

	"golang.org/x/net/idna"
)

// A Letter is what the user wants to send, as given on the command line.
type Letter struct {
	From, ReplyTo      string
	To, Cc, Bcc        []string
	Subject            string
	Text, HTML         string
	TextFile, HTMLFile string   // "-" is the standard input
	Inline, Attach     []string // paths
	Header             []string // "Name: value"
	Message            string   // path of a ready message, "-" for the standard input
	Notify, Return     string   // DSN
	DKIMDomain         string
	DKIMSelector       string
	DKIMKey            string // path
}

// maxBody bounds a text or HTML body in bytes; what is larger should be attached.
const maxBody = 8 << 20

// ready is a letter that can be sent.
type ready struct {
	env      *smtp.Envelope
	message  smtp.Message
	id       string
	problems []string
	close    func()
}

// prepare makes a message and its envelope of a letter.
func (a *Agent) prepare(l *Letter) (*ready, error) {
	r := &ready{close: func() {}}
	var err error
	if l.Message != "" {
		err = a.prepareRaw(l, r)
	} else {
		err = a.prepareMail(l, r)
	}
	if err == nil {
		err = a.finish(l, r)
	}
	if err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

// finish completes the envelope and signs.
func (a *Agent) finish(l *Letter, r *ready) error {
	if len(r.env.To) == 0 {
		return Usage("nobody to send to: give --to, --cc or --bcc, or addresses after --")
	}
	var err error
	if r.env.Notify, err = notify(l.Notify); err != nil {
		return err
	}
	switch r.env.Return = strings.ToUpper(l.Return); r.env.Return {
	case "", "FULL", "HDRS":
	default:
		return Usage("--ret %q: use full or hdrs", l.Return)
	}
	signer, err := l.signer(r.env.From)
	if err != nil || signer == nil {
		return err
	}
	r.message, err = signer.Sign(r.message)
	return err
}

func notify(list string) (string, error) {
	if list == "" {
		return "", nil
	}
	words := strings.Split(strings.ToUpper(strings.ReplaceAll(list, " ", "")), ",")
	for _, word := range words {
		if !slices.Contains([]string{"NEVER", "SUCCESS", "FAILURE", "DELAY"}, word) || word == "NEVER" && len(words) > 1 {
			return "", Usage("--notify %q: use never, or some of success,failure,delay", list)
		}
	}
	return strings.Join(words, ","), nil
}

// signer returns the DKIM signer, nil if none is asked for.
func (l *Letter) signer(from string) (*dkim.Signer, error) {
	if l.DKIMKey == "" {
		if l.DKIMSelector != "" || l.DKIMDomain != "" {
			return nil, Usage("a DKIM signature needs --dkim-key")
		}
		return nil, nil
	}
	if l.DKIMSelector == "" {
		return nil, Usage("--dkim-key needs --dkim-selector")
	}
	domain := l.DKIMDomain
	if domain == "" {
		domain = from[strings.LastIndexByte(from, '@')+1:]
	}
	key, err := dkim.LoadKey(l.DKIMKey)
	if err != nil {
		return nil, fail(ExitNoInput, "DKIM key: %w", err)
	}
	return &dkim.Signer{Domain: domain, Selector: l.DKIMSelector, Key: key}, nil
}

// mail reads the parts of a letter that are the same for every recipient.
func (a *Agent) mail(l *Letter) (*message.Mail, error) {
	m := &message.Mail{Subject: l.Subject, Text: l.Text, HTML: l.HTML}
	var err error
	if l.From == "" {
		return nil, Usage("--from is missing: whose mail is it?")
	}
	if m.From, err = message.ParseAddress(l.From); err != nil {
		return nil, Usage("--from: %w", err)
	}
	if l.ReplyTo != "" {
		if m.ReplyTo, err = message.ParseAddressList(l.ReplyTo); err != nil {
			return nil, Usage("--reply-to: %w", err)
		}
	}
	for _, text := range l.Header {
		name, value, ok := strings.Cut(text, ":")
		f := message.Field{Name: strings.TrimSpace(name), Value: strings.TrimSpace(value)}
		if !ok {
			return nil, Usage("--header %q: write \"Name: value\"", text)
		}
		if bad := f.Check(); bad != nil {
			return nil, Usage("--header: %w", bad)
		}
		m.Extra = append(m.Extra, f)
	}
	if l.TextFile == "-" && l.HTMLFile == "-" {
		return nil, Usage("the standard input can be the text or the HTML, not both")
	}
	if l.Text != "" && l.TextFile != "" || l.HTML != "" && l.HTMLFile != "" {
		return nil, Usage("give a body directly or from a file, not both")
	}
	if l.TextFile != "" {
		if m.Text, err = a.readBody(l.TextFile); err != nil {
			return nil, err
		}
	}
	if l.HTMLFile != "" {
		if m.HTML, err = a.readBody(l.HTMLFile); err != nil {
			return nil, err
		}
	}
	if m.Inline, err = files(l.Inline); err != nil {
		return nil, err
	}
	m.Attach, err = files(l.Attach)
	return m, err
}

func (a *Agent) prepareMail(l *Letter, r *ready) error {
	m, err := a.mail(l)
	if err != nil {
		return err
	}
	if m.To, err = addresses("--to", l.To); err != nil {
		return err
	}
	if m.Cc, err = addresses("--cc", l.Cc); err != nil {
		return err
	}
	bcc, err := addresses("--bcc", l.Bcc)
	if err != nil {
		return err
	}
	if m.MessageID, m.Boundary, err = a.identify(idDomain(m.From)); err != nil {
		return err
	}
	m.Date = a.Now()
	composed, err := message.Compose(m)
	if err != nil {
		return Usage("%w", err)
	}
	r.env = &smtp.Envelope{From: m.From.Spec(), To: envelope(m.To, m.Cc, bcc)}
	r.message, r.id, r.problems = composed, m.MessageID, m.Check()
	return nil
}

// identify makes a Message-ID and a boundary for a mail.
func (a *Agent) identify(domain string) (id, boundary string, err error) {
	unique, err := a.unique(24)
	if err != nil {
		return "", "", err
	}
	return unique[:32] + "@" + domain, unique[32:], nil
}

// idDomain is what stands behind the @ of a Message-ID.
func idDomain(from message.Address) string {
	domain, err := idna.ToASCII(from.Domain)
	if err != nil || strings.HasPrefix(domain, "[") {
		return "localhost"
	}
	return domain
}

// prepareRaw takes a ready message. Sender and recipients come from its header
// where the command line does not name them.
func (a *Agent) prepareRaw(l *Letter, r *ready) error {
	if l.Subject != "" || l.Text != "" || l.HTML != "" || l.TextFile != "" || l.HTMLFile != "" ||
		l.ReplyTo != "" || len(l.Inline)+len(l.Attach)+len(l.Header) > 0 {
		return Usage("--message is a complete message: no --subject, --text, --html, --attach, --inline, --header or --reply-to beside it")
	}
	f, err := a.openMessage(l.Message, r)
	if err != nil {
		return err
	}
	unique, err := a.unique(16)
	if err != nil {
		return err
	}
	raw, err := message.ReadRaw(f, a.Now(), unique+"@localhost")
	if err != nil {
		return err
	}
	from := l.From
	if from == "" {
		from = raw.Header.Get("From")
	}
	senders, err := message.ParseAddressList(from)
	if err != nil {
		return Usage("no sender: give --from, or a From field in the message: %w", err)
	}
	var to []message.Address
	for _, list := range [][]string{l.To, l.Cc, l.Bcc} {
		more, err := addresses("recipient", list)
		if err != nil {
			return err
		}
		to = append(to, more...)
	}
	if len(to) == 0 {
		for _, name := range []string{"To", "Cc", "Bcc"} {
			if value := raw.Header.Get(name); value != "" && !strings.HasSuffix(strings.ReplaceAll(value, " ", ""), ":;") {
				more, err := message.ParseAddressList(value)
				if err != nil {
					return fail(ExitData, "the message's %s field: %w", name, err)
				}
				to = append(to, more...)
			}
		}
	}
	r.env = &smtp.Envelope{From: senders[0].Spec(), To: envelope(to)}
	r.message, r.id = raw, raw.MessageID()
	return nil
}

// openMessage opens a message so that it can be read more than once: the
// standard input is copied to a temporary file.
func (a *Agent) openMessage(path string, r *ready) (io.ReadSeeker, error) {
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fail(ExitNoInput, "--message: %w", err)
		}
		r.close = func() { f.Close() }
		if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
			return nil, fail(ExitNoInput, "--message: %s is no file; use - for the standard input", path)
		}
		return f, nil
	}
	f, err := os.CreateTemp("", "smtpclient-*.eml")
	if err != nil {
		return nil, fail(ExitCantCreate, "--message -: %w", err)
	}
	r.close = func() {
		f.Close()
		os.Remove(f.Name()) //nolint:errcheck // a file in the temporary directory
	}
	if _, err := io.Copy(f, a.In); err != nil {
		return nil, fail(ExitNoInput, "--message -: %w", err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("--message -: %w", err)
	}
	return f, nil
}

// readBody reads a text or HTML body.
func (a *Agent) readBody(path string) (string, error) {
	r := a.In
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return "", fail(ExitNoInput, "body: %w", err)
		}
		defer f.Close()
		r = f
	}
	body, err := io.ReadAll(io.LimitReader(r, maxBody+1))
	if err != nil {
		return "", fail(ExitNoInput, "body: %w", err)
	}
	if len(body) > maxBody {
		return "", fail(ExitData, "the body %s is larger than %s: send it with --attach", path, bytesText(maxBody))
	}
	return string(body), nil
}

// files looks at the files to be sent, without reading them yet.
func files(paths []string) ([]message.File, error) {
	list := make([]message.File, 0, len(paths))
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, fail(ExitNoInput, "attachment: %w", err)
		}
		if !info.Mode().IsRegular() {
			return nil, fail(ExitNoInput, "attachment: %s is no regular file", path)
		}
		f, err := os.Open(path)
		if err != nil {
			return nil, fail(ExitNoInput, "attachment: %w", err)
		}
		f.Close()
		list = append(list, message.File{
			Name: filepath.Base(path),
			Size: info.Size(),
			Open: func() (io.ReadCloser, error) { return os.Open(path) },
		})
	}
	return list, nil
}

func addresses(flag string, texts []string) ([]message.Address, error) {
	var list []message.Address
	for _, text := range texts {
		more, err := message.ParseAddressList(text)
		if err != nil {
			return nil, Usage("%s: %w", flag, err)
		}
		list = append(list, more...)
	}
	return list, nil
}

// envelope lists each address once.
func envelope(lists ...[]message.Address) []string {
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

// changed explains a failed WriteTo of a dry run.
func changed(err error) error {
	if _, ok := errors.AsType[*os.PathError](err); ok {
		return fail(ExitNoInput, "%w", err)
	}
	return fail(ExitData, "%w", err)
}
