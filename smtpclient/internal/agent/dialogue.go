package agent

import (
	"fmt"
	"io"
	"strings"
	"time"

	"topdown/smtpclient/internal/wire"
)

// Detail is how much of a dialogue is shown.
type Detail int

// The details.
const (
	Nothing Detail = iota
	Replies        // what the server says: the lab's output
	Both           // both directions with the time since the start
	Trace          // the same, explained
)

// dialogue returns a watcher that writes to w, or nil for Nothing.
func dialogue(w io.Writer, detail Detail, lessons map[string]lesson) func(wire.Event) {
	if detail == Nothing {
		return nil
	}
	var start time.Time
	var step string
	taught := make(map[string]bool)
	return func(e wire.Event) {
		if start.IsZero() {
			start = e.At
		}
		if detail == Replies {
			if e.From == wire.Server || e.From == wire.Verdict {
				fmt.Fprintln(w, e.Line)
			}
			return
		}
		about, known := lessons[e.Step]
		if detail == Trace && e.Step != step {
			step = e.Step
			switch {
			case known && taught[step]: // pipelining: the answers come after all commands
				fmt.Fprintf(w, "\n# %s: the answer\n", about.title)
			case known:
				fmt.Fprintf(w, "\n# %s (%s)\n#   %s\n", about.title, about.source, about.text)
			}
			taught[step] = true
		}
		fmt.Fprintf(w, "%8.3fs %c: %s\n", e.At.Sub(start).Seconds(), e.From, e.Line)
		if detail == Trace && e.From == wire.Server {
			if meaning := codeMeaning(e.Line); meaning != "" {
				fmt.Fprintf(w, "#   %s\n", meaning)
			}
		}
	}
}

// lesson explains one step of a dialogue.
type lesson struct{ title, source, text string }

var smtpLessons = map[string]lesson{
	"connect":  {"Connect", "RFC 5321 section 3.1", "A TCP connection: port 25 between servers, 587 or 465 for people who send mail."},
	"greeting": {"Greeting", "RFC 5321 section 3.1", "The server speaks first and says who it is. 220 means that it is ready."},
	"EHLO":     {"Hello", "RFC 5321 section 4.1.1.1", "We name ourselves; the server lists what it can do beyond the basics, one keyword a line."},
	"HELO":     {"Hello, the old way", "RFC 5321 section 4.1.1.1", "The server does not know EHLO, so it has no extensions."},
	"STARTTLS": {"Ask for encryption", "RFC 3207 section 4", "After 220 the same connection goes on inside TLS, and all that was said before is forgotten."},
	"TLS":      {"TLS handshake", "RFC 8446, RFC 8314", "The server proves its name with a certificate; from here on nobody on the way can read or change a line."},
	"AUTH":     {"Log in", "RFC 4954 section 4", "The answers are base64, which hides nothing: that is why they are masked here and why TLS comes first."},
	"MAIL":     {"Envelope: the sender", "RFC 5321 section 4.1.1.2", "Where a bounce goes. It need not be the From that the reader sees."},
	"RCPT":     {"Envelope: a recipient", "RFC 5321 section 4.1.1.3", "One command for each. The server accepts or refuses every one by itself; Bcc exists only here."},
	"DATA":     {"Ask to send the message", "RFC 5321 section 4.1.1.4", "354 means: go on, and end with a dot on a line by itself."},
	"message":  {"The message", "RFC 5321 section 4.5.2", "Header, empty line, body. A line that begins with a dot gets a second one, which the server takes off."},
	"BDAT":     {"The message, counted", "RFC 3030 section 2", "BDAT says how many bytes follow, so no dot is needed."},
	"dot":      {"The end of the message", "RFC 5321 section 6.1", "With its 250 the server takes over the responsibility for the mail. Without a reply nobody knows."},
	"RSET":     {"Start over", "RFC 5321 section 4.1.1.5", "Forget this mail, keep the connection."},
	"QUIT":     {"Good bye", "RFC 5321 section 4.1.1.10", "We wait for 221 before we close, so that nothing is cut off."},
}

var pop3Lessons = map[string]lesson{
	"connect":  {"Connect", "RFC 1939 section 3", "A TCP connection: port 110, or 995 with TLS from the first byte."},
	"greeting": {"Greeting", "RFC 1939 section 4", "Replies begin with +OK or -ERR."},
	"CAPA":     {"Capabilities", "RFC 2449 section 5", "What the server can do, one a line, up to a line with a dot."},
	"STLS":     {"Ask for encryption", "RFC 2595 section 4", "POP3's STARTTLS."},
	"TLS":      {"TLS handshake", "RFC 8446, RFC 8314", "The server proves its name with a certificate."},
	"USER":     {"Log in: the user", "RFC 1939 section 7", "The name of the mailbox."},
	"PASS":     {"Log in: the password", "RFC 1939 section 7", "It is sent as it is; only TLS hides it."},
	"AUTH":     {"Log in", "RFC 5034 section 4", "A mechanism that need not show the password."},
	"STAT":     {"How much is there", "RFC 1939 section 5", "The number of messages and their size together."},
	"LIST":     {"The list", "RFC 1939 section 5", "Number and size of each message. Numbers hold for this session only."},
	"UIDL":     {"Unique names", "RFC 1939 section 7", "They stay the same in every session."},
	"TOP":      {"Only the header", "RFC 1939 section 7", "The header and the first lines of a message."},
	"RETR":     {"Fetch a message", "RFC 1939 section 5", "The message follows, dots doubled, up to a dot by itself."},
	"DELE":     {"Mark for deletion", "RFC 1939 section 5", "Nothing is deleted yet."},
	"QUIT":     {"Good bye", "RFC 1939 section 6", "Only now the server deletes what is marked."},
}

var codeMeanings = map[string]string{
	"211": "system status", "214": "help", "220": "ready", "221": "closing the connection", "235": "you are who you say",
	"250": "done", "251": "not here, will forward", "252": "cannot verify, will try", "334": "go on with the login",
	"354": "send the message", "421": "closing the connection: try again later", "432": "a password change is needed",
	"450": "mailbox busy: try again later", "451": "error at the server: try again later",
	"452": "too much for now: try again later", "454": "not possible now: try again later", "455": "parameters not possible now",
	"500": "not understood", "501": "wrong parameters", "502": "not implemented", "503": "wrong order", "504": "parameter not implemented",
	"530": "authentication required", "534": "mechanism too weak", "535": "user name or password wrong", "538": "encryption required",
	"550": "no: no such mailbox, or not allowed", "551": "not here", "552": "too big", "553": "address not allowed",
	"554": "no", "555": "parameters not known",
}

var classMeanings = map[byte]string{'2': "yes", '3': "go on", '4': "not now: the same may succeed later", '5': "no: the same will fail again"}

// codeMeaning explains the last line of an SMTP reply.
func codeMeaning(line string) string {
	if len(line) < 3 || len(line) > 3 && line[3] != ' ' || strings.Trim(line[:3], "0123456789") != "" {
		return ""
	}
	meaning := classMeanings[line[0]]
	if special := codeMeanings[line[:3]]; special != "" {
		meaning += " (" + special + ")"
	}
	return fmt.Sprintf("%s = %s", line[:3], meaning)
}
