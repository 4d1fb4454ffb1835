package smtp

import (
	"fmt"
	"strings"

	"topdown/smtpclient/internal/session"
)

// Lessons explain the session to a reader of its transcript.
var Lessons = &session.Lessons{Meaning: codeMeaning, Steps: map[string]session.Lesson{
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
}}

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
