package pop3

import "topdown/smtpclient/internal/session"

// Lessons explain the session to a reader of its transcript.
var Lessons = &session.Lessons{Steps: map[string]session.Lesson{
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
}}
