package testserver

import (
	"bytes"
	"strconv"
	"strings"
)

// pop3 answers one POP3 client.
func (s *Server) pop3(c *conn) {
	defer c.w.Flush() //nolint:errcheck // the client is gone if this fails
	var (
		user    string
		box     string
		mails   []Mail
		opened  bool
		secure  bool
		deleted = make(map[int]bool) // by uid
	)
	defer func() {
		if opened { // no QUIT, no deletion
			s.release(box, nil)
		}
	}()
	pick := func(arg string) (Mail, bool) {
		n, err := strconv.Atoi(arg)
		if err != nil || n < 1 || n > len(mails) || deleted[mails[n-1].uid] {
			c.reply("-ERR no such message")
			return Mail{}, false
		}
		return mails[n-1], true
	}
	c.reply("+OK test server ready")
	for {
		line, err := c.line()
		if err != nil {
			return
		}
		verb, arg, _ := strings.Cut(line, " ")
		verb = strings.ToUpper(verb)
		switch {
		case verb == "CAPA":
			c.reply("+OK")
			for _, name := range []string{"USER", "TOP", "UIDL", "PIPELINING"} {
				c.reply("%s", name)
			}
			if s.TLS != nil && !secure {
				c.reply("STLS")
			}
			c.reply(".")
		case verb == "QUIT":
			if opened {
				s.release(box, deleted)
				opened = false
			}
			c.reply("+OK bye")
			return
		case verb == "STLS" && s.TLS != nil && !secure && !opened:
			c.reply("+OK go ahead")
			if c.secure(s.TLS) != nil {
				return
			}
			secure = true
		case verb == "USER" && !opened:
			user = arg
			c.reply("+OK")
		case verb == "PASS" && !opened:
			if user == "" || arg != s.Password {
				c.reply("-ERR [AUTH] wrong user or password")
				continue
			}
			if box, mails, opened = s.open(user); !opened {
				c.reply("-ERR [IN-USE] the mailbox is open in another session")
				continue
			}
			c.reply("+OK %d messages", len(mails))
		case !opened:
			c.reply("-ERR log in first")
		case verb == "STAT", verb == "LIST" && arg == "", verb == "UIDL" && arg == "":
			count, size := 0, 0
			for _, m := range mails {
				if !deleted[m.uid] {
					count++
					size += len(m.Data)
				}
			}
			c.reply("+OK %d %d", count, size)
			if verb == "STAT" {
				continue
			}
			for i, m := range mails {
				switch {
				case deleted[m.uid]:
				case verb == "LIST":
					c.reply("%d %d", i+1, len(m.Data))
				default:
					c.reply("%d uid%d", i+1, m.uid)
				}
			}
			c.reply(".")
		case verb == "RETR":
			if m, ok := pick(arg); ok {
				c.reply("+OK %d octets", len(m.Data))
				c.message(m.Data, -1)
			}
		case verb == "TOP":
			number, lines, _ := strings.Cut(arg, " ")
			n, err := strconv.Atoi(lines)
			if err != nil || n < 0 {
				c.reply("-ERR TOP message lines")
				continue
			}
			if m, ok := pick(number); ok {
				c.reply("+OK")
				c.message(m.Data, n)
			}
		case verb == "DELE":
			if m, ok := pick(arg); ok {
				deleted[m.uid] = true
				c.reply("+OK marked")
			}
		case verb == "RSET":
			clear(deleted)
			c.reply("+OK")
		case verb == "NOOP":
			c.reply("+OK")
		default:
			c.reply("-ERR unknown command")
		}
	}
}

// message sends the header and the first lines of the body, all if lines < 0.
func (c *conn) message(data []byte, lines int) {
	inBody := false
	for line := range bytes.Lines(data) {
		text := bytes.TrimRight(line, "\r\n")
		if inBody && lines >= 0 {
			if lines == 0 {
				break
			}
			lines--
		}
		if len(text) == 0 {
			inBody = true
		}
		if len(text) > 0 && text[0] == '.' {
			c.w.WriteByte('.') //nolint:errcheck // Flush reports it
		}
		c.w.Write(text)         //nolint:errcheck // Flush reports it
		c.w.WriteString("\r\n") //nolint:errcheck // Flush reports it
	}
	c.reply(".")
}
