package smtpclient

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"regexp"
	"strings"

	"topdown/scripts/grade/internal/rubric"
	"topdown/scripts/grade/internal/submission"
)

func (l *lab) checks() []rubric.Check {
	const nc = "nc -C -l 127.0.0.1 2525, and in another terminal the program with port 2525: type the server's replies (220 hi, 250 ok, …)"
	return []rubric.Check{
		{
			ID: "waits", Points: 10, Stage: 1, Title: "waits for 220", Run: l.in("normal", l.waits), Try: nc,
			Requirement: "S2: wait for 220", RFC: "RFC 5321, 3.1 and 4.3.1",
			Hint: "After connect() receive the greeting first; only then send HELO.",
		},
		{
			ID: "order", Points: 10, Stage: 1, Title: "HELO, MAIL, RCPT, DATA, each after its reply", Run: l.in("normal", l.order), Try: nc,
			Requirement: "S2: HELO, MAIL FROM, RCPT TO, DATA (354), the message", RFC: "RFC 5321, 3.3 and 4.1.4",
			Hint: "After every send receive the reply, before the next command is sent; DATA's reply is 354.",
		},
		{
			ID: "crlf", Points: 10, Stage: 2, Title: "CRLF everywhere", Run: l.in("normal", l.crlf), Try: nc + " | cat -A",
			Requirement: "`\\t\\n` or `\\n` as a line end is a mistake", RFC: "RFC 5321, 2.3.8",
			Hint: "Every line ends with \\r\\n, the message's lines as well: replace \"\\n\" in the text by \"\\r\\n\".",
		},
		{
			ID: "path", Points: 10, Stage: 2, Title: "MAIL FROM:<…> and RCPT TO:<…>", Run: l.in("normal", l.path), Try: nc,
			Requirement: "S2: MAIL FROM, RCPT TO with the address in angle brackets", RFC: "RFC 5321, 4.1.1.2 and 4.1.1.3",
			Hint: "\"MAIL FROM:<\" + address + \">\\r\\n\": no space behind the colon, and the address in < and >.",
		},
		{
			ID: "blank", Points: 10, Stage: 3, Title: "one blank line, then the body", Run: l.message("normal", l.blank), Try: nc,
			Requirement: "S2: the message: header, blank line, body", RFC: "RFC 5322, 2.1",
			Hint: "The header's last line, then exactly one empty line (\\r\\n), then the text.",
		},
		{
			ID: "dot", Points: 10, Stage: 3, Title: "CRLF . CRLF at the end, and dots doubled", Run: l.message("normal", l.dot), Try: nc,
			Requirement: "S2: CRLF.CRLF; no dot-stuffing is a mistake", RFC: "RFC 5321, 4.1.1.4 and 4.5.2",
			Hint: "A line of the message that begins with a dot gets a second one in front; the end is \"\\r\\n.\\r\\n\".",
		},
		{
			ID: "replies", Points: 10, Stage: 4, Title: "replies of several lines, and byte by byte", Run: l.in("many", l.many), Try: nc,
			Requirement: "a multi-line reply must not shift every later one", RFC: "RFC 5321, 4.2.1",
			Hint: "Receive until a line ends; \"250-…\" says that more lines follow, \"250 …\" is the last one. One recv is not one reply.",
		},
		{
			ID: "prints", Points: 10, Stage: 4, Title: "prints the server's replies", Run: l.in("normal", l.prints), Try: nc,
			Requirement: "S3: print each server reply", Hint: "print(reply) after every receive, the reply to the message's end included.",
		},
		{
			ID: "stops", Points: 10, Stage: 4, Title: "stops when the server refuses", Run: l.stops, Try: "nc -C -l 127.0.0.1 2525, and answer MAIL with \"550 no\"",
			Requirement: "S3: on an unexpected reply say so with the reply, and end with an exit code other than 0; carrying on is a mistake", RFC: "RFC 5321, 4.2.1 and 4.3.2",
			Hint: "Compare the code with the one expected after each reply; if it differs, print the reply, send QUIT and exit with a code other than 0.",
		},
		{
			ID: "quit", Points: 5, Stage: 4, Title: "QUIT, and reads 221", Run: l.in("normal", l.quit), Try: nc,
			Requirement: "S2: QUIT (read 221), close", RFC: "RFC 5321, 4.1.1.10",
			Hint: "After QUIT receive and print the 221 before you close the socket.",
		},
		{
			ID: "headers", Points: 5, Stage: 3, Title: "From, To, Subject and Date", Run: l.message("normal", l.headers), Try: nc,
			Requirement: "the header has From, To, Subject and Date", RFC: "RFC 5322, 3.6",
			Hint: "Date is as in \"Date: Fri, 21 Nov 2025 12:00:00 +0000\"; email.utils.formatdate() makes it in Python.",
		},
		{
			ID: "starttls", Points: 10, Bonus: true, Stage: 5, Title: "STARTTLS, EHLO again, certificate checked", Run: l.startTLS,
			Requirement: "S4 (optional): TLS before MAIL FROM", RFC: "RFC 3207, 4 and 4.2",
			Hint: "After 220 wrap the socket with a context that verifies (ssl.create_default_context), say EHLO again, and give up if verification fails.",
			Try:  "openssl s_client -starttls smtp -connect HOST:587",
		},
		{
			ID: "auth", Points: 5, Bonus: true, Stage: 5, Title: "AUTH LOGIN in base64, never shown", Run: l.in("auth", l.auth), Try: nc,
			Requirement: "S4 (optional): authentication; AUTH LOGIN (334, 334, 235)", RFC: "RFC 4954, 4",
			Hint: "Send base64 of the name and of the password, each in a line; print neither.",
		},
		{
			ID: "image", Points: 5, Bonus: true, Stage: 5, Title: "text and PNG decode identically", Run: l.message("image", l.picture),
			Requirement: "S5 (optional): text and images in one mail", RFC: "RFC 2046, 5.1",
			Hint: "multipart/mixed: one part text/plain, one image/png with Content-Transfer-Encoding: base64, in lines of at most 76 characters.",
			Try:  nc,
		},
	}
}

// A judge looks at one run of the program.
type judge func(*rubric.T, *session) *rubric.Failure

// in has the run of that name judged.
func (l *lab) in(name string, ask judge) func(*rubric.T) *rubric.Failure {
	return func(t *rubric.T) *rubric.Failure {
		s, f := l.session(t, name)
		if f != nil {
			return f
		}
		return ask(t, s)
	}
}

// message is in, for what can be told of a message only.
func (l *lab) message(name string, ask judge) func(*rubric.T) *rubric.Failure {
	return l.in(name, func(t *rubric.T, s *session) *rubric.Failure {
		if !s.hasMessage || len(s.message) == 0 {
			return rubric.Failf("a message after 354", "none came: %s; %s%s", strings.Join(s.verbs(), ", "), s.proc.Ending(), submission.Printed(s.proc.Output()))
		}
		return ask(t, s)
	})
}

func (l *lab) waits(_ *rubric.T, s *session) *rubric.Failure {
	if s.earlyGreeting {
		return rubric.Failf("the client says nothing until the server has said 220", "it sent something before the 220")
	}
	if len(s.commands) == 0 {
		return rubric.Failf("after the 220 the client says HELO or EHLO", "nothing came; %s%s", s.proc.Ending(), submission.Printed(s.proc.Output()))
	}
	return nil
}

// verbs returns the commands in their order, a repeated RCPT once.
func (s *session) verbs() []string {
	var list []string
	for _, c := range s.commands {
		if n := len(list); c.verb == rcptTo && n > 0 && list[n-1] == rcptTo {
			continue
		}
		list = append(list, c.verb)
	}
	return list
}

func (l *lab) order(_ *rubric.T, s *session) *rubric.Failure {
	want := "HELO or EHLO, MAIL, RCPT, DATA, the message, QUIT; each after the reply to the one before"
	got := s.verbs()
	for _, c := range s.commands {
		if c.early && c.verb != "QUIT" {
			return rubric.Failf(want, "%q came before the reply to the command before it", clip(c.line))
		}
	}
	if s.earlyMessage {
		return rubric.Failf(want, "the message came before the 354")
	}
	i := 0
	for i < len(got) && (got[i] == "EHLO" || got[i] == "HELO") {
		i++
	}
	steps := []string{mailFrom, rcptTo, data}
	if i == 0 || len(got) < i+len(steps) {
		return rubric.Failf(want, "%s; %s", strings.Join(got, ", "), s.proc.Ending()+submission.Printed(s.proc.Output()))
	}
	for k, step := range steps {
		if got[i+k] != step {
			return rubric.Failf(want, "%s", strings.Join(got, ", "))
		}
	}
	return nil
}

func clip(s string) string { return s[:min(len(s), 80)] }

func (l *lab) crlf(_ *rubric.T, s *session) *rubric.Failure {
	want := `each line ends with \r\n, of the commands and of the message`
	if len(s.commands) == 0 {
		return rubric.Failf(want, "no line came")
	}
	for _, c := range s.commands {
		if fault := lineFault(c.line); fault != "" {
			return rubric.Failf(want, "a command: %q %s", clip(c.line), fault)
		}
	}
	for _, line := range strings.SplitAfter(string(s.message), "\n") {
		if line == "" || s.badEnd != "" && !strings.HasSuffix(line, "\n") {
			continue // that the end is missing is for "dot"
		}
		if fault := lineFault(line); fault != "" {
			return rubric.Failf(want, "the message: %q %s", clip(line), fault)
		}
	}
	if strings.Contains(s.badEnd, `instead of \r\n`) && !bytes.Contains(s.message, []byte("\r\n")) {
		return rubric.Failf(want, "%s", s.badEnd)
	}
	return nil
}

func lineFault(line string) string {
	switch body := strings.TrimSuffix(line, "\r\n"); {
	case body == line && strings.HasSuffix(line, "\n"):
		return `ends with \n alone`
	case body == line:
		return "has no line end"
	case strings.ContainsAny(body, "\r\n"):
		return `holds a \r in the middle`
	case strings.HasSuffix(body, "\t"):
		return `ends with a tab`
	}
	return ""
}

var (
	mailPath = regexp.MustCompile(`(?i)^MAIL FROM:<[^<>\s@]+@[^<>\s]+>( .*)?$`)
	rcptPath = regexp.MustCompile(`(?i)^RCPT TO:<[^<>\s@]+@[^<>\s]+>( .*)?$`)
)

func (l *lab) path(_ *rubric.T, s *session) *rubric.Failure {
	seen := map[string]bool{}
	for _, c := range s.commands {
		line := strings.TrimRight(c.line, "\r\n\t ")
		pattern, name, addr := mailPath, "from", l.from
		switch c.verb {
		case mailFrom:
		case rcptTo:
			pattern, name, addr = rcptPath, "to", l.to
		default:
			continue
		}
		seen[c.verb] = true
		want := map[string]string{"from": "MAIL FROM:<", "to": "RCPT TO:<"}[name] + addr + ">"
		if !pattern.MatchString(line) {
			f := rubric.Failf(want, "%q", clip(line))
			if strings.Contains(line, ": <") {
				f.Hint = "There is a space too many behind the colon."
			} else if !strings.Contains(line, "<") {
				f.Hint = "The address belongs in angle brackets: <" + addr + ">."
			}
			return f
		}
		if l.s.Has(name) && !strings.Contains(line, "<"+addr+">") {
			return rubric.Failf(want, "%q", clip(line))
		}
	}
	if !seen[mailFrom] || !seen[rcptTo] {
		return rubric.Failf("MAIL FROM:<…> and RCPT TO:<…>", "one of the two, or both, did not come: %s", strings.Join(s.verbs(), ", "))
	}
	return nil
}

// parts takes a message apart as it should be: header, body. Line ends are LF.
func parts(message []byte) (header, body string, ok bool) {
	text := strings.ReplaceAll(string(unstuff(message)), "\r\n", "\n")
	return strings.Cut(text, "\n\n")
}

var fieldLine = regexp.MustCompile(`^[!-9;-~]+:`)

func (l *lab) blank(_ *rubric.T, s *session) *rubric.Failure {
	want := "header lines, one empty line, the body"
	if l.s.Has("body_file") || l.s.Has("body") {
		want += fmt.Sprintf(", which is %q", l.texts["plain"])
	}
	text := strings.ReplaceAll(string(s.message), "\r\n", "\n")
	header, body, ok := parts(s.message)
	if strings.HasPrefix(text, "\n") {
		if first, _, _ := strings.Cut(strings.TrimLeft(text, "\n"), "\n"); fieldLine.MatchString(first) {
			return rubric.Failf(want, "the message begins with an empty line: everything behind it is body, and there is no header")
		}
		// The handout's own text: a body behind no header, which is for "headers".
		header, body, ok = "", text[1:], true
	}
	if !ok {
		return rubric.Failf(want, "there is no empty line in the message")
	}
	for line := range strings.SplitSeq(header, "\n") {
		if header != "" && !fieldLine.MatchString(line) && !strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "\t") {
			return rubric.Failf(want, "%q stands in the header and is no \"Name: value\": is the empty line before the body missing?", clip(line))
		}
	}
	if strings.HasPrefix(body, "\n") {
		return rubric.Failf(want, "there are two empty lines behind the header")
	}
	if strings.TrimSpace(body) == "" {
		return rubric.Failf(want, "the body is empty")
	}
	if l.s.Has("body_file") || l.s.Has("body") {
		got, err := textOf(s.message)
		if err != nil {
			return rubric.Failf(want, "%v", err)
		}
		if !sameText(got, l.texts["plain"]) {
			return rubric.Failf(want, "the body is %q", clip(got))
		}
	}
	return nil
}

// sameText compares but for white space at the ends.
func sameText(a, b string) bool {
	norm := func(s string) string { return strings.Trim(strings.ReplaceAll(s, "\r\n", "\n"), " \n") }
	return norm(a) == norm(b)
}

// textOf returns the decoded text of a message, its first text part.
func textOf(message []byte) (string, error) {
	m, err := mail.ReadMessage(bytes.NewReader(unstuff(message)))
	if err != nil {
		return "", fmt.Errorf("the message cannot be read: %w", err)
	}
	leaves, err := leavesOf(m.Header.Get("Content-Type"), m.Header.Get("Content-Transfer-Encoding"), m.Body)
	if err != nil {
		return "", err
	}
	for _, leaf := range leaves {
		if strings.HasPrefix(leaf.kind, "text/") {
			return string(leaf.data), nil
		}
	}
	return "", fmt.Errorf("the message has no text part")
}

// A leaf is a part of a message that holds no others.
type leaf struct {
	kind string
	data []byte
}

func leavesOf(contentType, encoding string, r io.Reader) ([]leaf, error) {
	if contentType == "" {
		contentType = "text/plain"
	}
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return nil, fmt.Errorf("Content-Type %q: %w", contentType, err)
	}
	if strings.HasPrefix(kind, "multipart/") {
		var all []leaf
		mr := multipart.NewReader(r, params["boundary"])
		for {
			p, perr := mr.NextRawPart()
			if errors.Is(perr, io.EOF) {
				return all, nil
			}
			if perr != nil {
				return nil, fmt.Errorf("a part cannot be read: %w", perr)
			}
			more, perr := leavesOf(p.Header.Get("Content-Type"), p.Header.Get("Content-Transfer-Encoding"), p)
			if perr != nil {
				return nil, perr
			}
			all = append(all, more...)
		}
	}
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "base64":
		r = base64.NewDecoder(base64.StdEncoding, r)
	case "quoted-printable":
		r = quotedprintable.NewReader(r)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("a part in %s cannot be decoded: %w", encoding, err)
	}
	return []leaf{{kind, data}}, nil
}

func (l *lab) dot(t *rubric.T, s *session) *rubric.Failure {
	// Where no line ends with CRLF at all, "crlf" tells.
	if s.badEnd != "" && bytes.Contains(s.message, []byte("\r\n")) {
		return rubric.Failf(`the message ends with "\r\n.\r\n"`, "%s: the last bytes are %q", s.badEnd, last(s.message))
	}
	if !l.s.Has("body_file") {
		return nil
	}
	return l.message("dots", l.dots)(t)
}

// dots is the part of "dot" on a text with dots at the beginning of its lines.
func (l *lab) dots(_ *rubric.T, s *session) *rubric.Failure {
	want := fmt.Sprintf("this text arrives as it is: %q", l.texts["dots"])
	// What else may be wrong with the message is for others.
	plain := strings.ReplaceAll(string(unstuff(s.message)), "\r\n", "\n")
	if strings.Contains(plain, l.texts["dots"]) {
		return nil
	}
	got, err := textOf(s.message)
	if err != nil {
		return rubric.Failf(want, "%v", err)
	}
	if sameText(got, l.texts["dots"]) {
		return nil
	}
	f := rubric.Failf(want, "%q", got)
	if before, _, _ := strings.Cut(l.texts["dots"], "\n.\n"); sameText(got, before) {
		f.Seen = "the mail ended at the line that is a lone dot; what followed was taken for commands"
	}
	return f
}

func last(b []byte) []byte { return b[max(0, len(b)-20):] }

func (l *lab) many(_ *rubric.T, s *session) *rubric.Failure {
	want := "the whole dialogue, though each reply has three lines, the last of them byte by byte"
	for _, c := range s.commands {
		if c.early {
			return rubric.Failf(want, "%q came before the reply to the command before it was at its end", clip(c.line))
		}
	}
	if s.earlyMessage {
		return rubric.Failf(want, "the message came before the reply to DATA was at its end")
	}
	if !s.accepted {
		return rubric.Failf(want, "it did not get to the end of the message: %s; %s%s", strings.Join(s.verbs(), ", "), s.proc.Ending(), submission.Printed(s.proc.Output()))
	}
	return nil
}

func (l *lab) prints(_ *rubric.T, s *session) *rubric.Failure {
	out := s.proc.Output()
	for _, step := range []string{greeting, hello, mailFrom, rcptTo, data, end} {
		if !strings.Contains(out, s.token(step)) {
			return rubric.Failf(fmt.Sprintf("the output holds the reply to %s, with the word %s", step, s.token(step)), "it does not%s", submission.Printed(out))
		}
	}
	return nil
}

func (l *lab) stops(t *rubric.T) *rubric.Failure {
	for _, r := range refusals() {
		s, f := l.session(t, r.name())
		if f != nil {
			return f
		}
		want := fmt.Sprintf("after %d to %s: the reply is printed, no further step is taken, and the exit code is not 0", r.code, r.step)
		steps := []string{greeting, hello, mailFrom, rcptTo, data}
		after := false
		for _, step := range steps {
			if after {
				for _, c := range s.commands {
					if c.verb == step {
						return rubric.Failf(want, "it went on with %q", clip(c.line))
					}
				}
			}
			// HELO after a refused EHLO is the right thing to try.
			after = after || step == r.step
		}
		if r.step == greeting && len(s.ehlos) > 0 {
			return rubric.Failf(want, "it went on with %q", clip(s.commands[0].line))
		}
		if s.proc.ExitCode() == 137 {
			return rubric.Failf(want, "it still ran after %v", limit)
		}
		out := s.proc.Output()
		if !strings.Contains(out, fmt.Sprint(r.code)) && !strings.Contains(out, s.token(r.step)) {
			return rubric.Failf(want, "the output holds neither the code nor the text of the reply%s", submission.Printed(out))
		}
		if s.proc.ExitCode() == 0 {
			return rubric.Failf(want, "it ended with exit code 0, as if the mail had been sent%s", submission.Printed(out))
		}
	}
	return nil
}

func (l *lab) quit(_ *rubric.T, s *session) *rubric.Failure {
	want := "QUIT, then the 221 is read and printed, then the client closes"
	switch {
	case !s.quit:
		return rubric.Failf(want, "no QUIT came: %s", strings.Join(s.verbs(), ", "))
	case s.quitEarly:
		return rubric.Failf(want, "it closed the connection without waiting for the 221")
	case !strings.Contains(s.proc.Output(), s.token("QUIT")):
		return rubric.Failf(want, "the 221 is not in the output: it was not read, or not printed%s", submission.Printed(s.proc.Output()))
	}
	return nil
}

func (l *lab) headers(_ *rubric.T, s *session) *rubric.Failure {
	header, _, _ := parts(s.message)
	fields := map[string]string{}
	for line := range strings.SplitSeq(strings.NewReplacer("\n ", " ", "\n\t", " ").Replace(header), "\n") {
		if name, value, ok := strings.Cut(line, ":"); ok {
			fields[strings.ToLower(name)] = strings.TrimSpace(value)
		}
	}
	for _, name := range []string{"From", "To", "Subject", "Date"} {
		value, ok := fields[strings.ToLower(name)]
		want := "a header field " + name
		switch {
		case !ok:
			return rubric.Failf(want, "there is none; the fields are: %s", clip(strings.ReplaceAll(header, "\n", " | ")))
		case name == "Date":
			if _, err := mail.ParseDate(value); err != nil {
				return rubric.Failf("a date as in \"Fri, 21 Nov 2025 12:00:00 +0000\"", "Date: %s", value)
			}
		case name == "Subject":
			if value == "" {
				return rubric.Failf(want, "it is empty")
			}
		default:
			if _, err := mail.ParseAddressList(value); err != nil {
				return rubric.Failf(want+" with an address", "%s: %s", name, value)
			}
		}
	}
	return nil
}

func (l *lab) startTLS(t *rubric.T) *rubric.Failure {
	s, f := l.session(t, "tls")
	if f != nil {
		return f
	}
	want := "STARTTLS, the handshake, EHLO again, and the mail inside TLS"
	inside := false
	for _, c := range s.commands {
		if c.verb == mailFrom && !c.tls {
			return rubric.Failf(want, "the mail was sent without TLS: %s", strings.Join(s.verbs(), ", "))
		}
		inside = inside || c.tls && (c.verb == "EHLO" || c.verb == "HELO")
		if c.tls && c.verb == mailFrom && !inside {
			return rubric.Failf(want, "no EHLO came inside TLS before MAIL: the server has forgotten the first one")
		}
	}
	if !s.accepted {
		return rubric.Failf(want, "no mail came: %s; %s%s", strings.Join(s.verbs(), ", "), s.proc.Ending(), submission.Printed(s.proc.Output()))
	}
	s, f = l.session(t, "false tls")
	if f != nil {
		return f
	}
	for _, c := range s.commands {
		if c.verb == mailFrom {
			return rubric.Failf("a certificate that nobody vouches for ends the session", "the mail was sent all the same")
		}
	}
	if s.proc.ExitCode() == 0 {
		return rubric.Failf("a certificate that nobody vouches for is an error", "the exit code was 0")
	}
	return nil
}

func (l *lab) auth(_ *rubric.T, s *session) *rubric.Failure {
	encode := func(v string) string { return base64.StdEncoding.EncodeToString([]byte(v)) }
	want := "AUTH LOGIN, base64 of the name, base64 of the password"
	if len(s.users) == 0 {
		return rubric.Failf(want, "no AUTH LOGIN came: %s; %s%s", strings.Join(s.verbs(), ", "), s.proc.Ending(), submission.Printed(s.proc.Output()))
	}
	for _, c := range []struct{ what, got, want string }{
		{"the name", s.users[0], l.user},
		{"the password", s.passwords[0], l.password},
	} {
		switch c.got {
		case encode(c.want):
		case c.want:
			return rubric.Failf(want, "%s came as it is, not in base64", c.what)
		default:
			return rubric.Failf(want, "%s is not the one that was given", c.what)
		}
	}
	if !s.accepted {
		return rubric.Failf("after 235 the mail is sent", "%s; %s", strings.Join(s.verbs(), ", "), s.proc.Ending())
	}
	out := s.proc.Output()
	if strings.Contains(out, l.password) || strings.Contains(out, encode(l.password)) {
		return rubric.Failf("the password is never shown, not in base64 either", "it is in the output")
	}
	return nil
}

func (l *lab) picture(_ *rubric.T, s *session) *rubric.Failure {
	want := "a message of parts: the text, and picture.png, both as they were"
	m, err := mail.ReadMessage(bytes.NewReader(unstuff(s.message)))
	if err != nil {
		return rubric.Failf(want, "the message cannot be read: %v", err)
	}
	leaves, err := leavesOf(m.Header.Get("Content-Type"), m.Header.Get("Content-Transfer-Encoding"), m.Body)
	if err != nil {
		return rubric.Failf(want, "%v", err)
	}
	text, image := false, false
	for _, leaf := range leaves {
		text = text || strings.HasPrefix(leaf.kind, "text/") && sameText(string(leaf.data), l.texts["plain"])
		image = image || leaf.kind == "image/png" && bytes.Equal(leaf.data, l.image)
	}
	if !text || !image {
		return rubric.Failf(want, "%d parts; text the same: %v, picture the same: %v", len(leaves), text, image)
	}
	return nil
}
