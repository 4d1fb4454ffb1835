package testserver

import (
	"bytes"
	"encoding/base64"
	"strings"
)

// smtp answers one SMTP client.
func (s *Server) smtp(c *conn) {
	c.log, c.record = s.Log, s.Log.record()
	defer c.record.end()
	defer c.flush() //nolint:errcheck // the client is gone if this fails
	var (
		from   string
		mail   bool
		to     []string
		secure bool
		authed bool
	)
	reset := func() { from, mail, to = "", false, nil }
	c.reply("220 test.invalid ESMTP ready")
	for {
		line, err := c.line()
		if err != nil {
			return
		}
		verb, rest, _ := strings.Cut(line, " ")
		switch strings.ToUpper(verb) {
		case "HELO":
			reset()
			c.reply("250 test.invalid")
		case "EHLO":
			reset()
			c.reply("250-test.invalid greets %s", rest)
			for _, extension := range []string{"PIPELINING", "SIZE 67108864", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "AUTH PLAIN LOGIN"} {
				c.reply("250-%s", extension)
			}
			if s.TLS != nil && !secure {
				c.reply("250-STARTTLS")
			}
			c.reply("250 HELP")
		case "STARTTLS":
			if s.TLS == nil || secure {
				c.reply("502 5.5.1 not available")
				continue
			}
			c.reply("220 2.0.0 go ahead")
			if c.secure(s.TLS) != nil {
				return
			}
			secure = true
			reset()
		case "AUTH":
			if authed {
				c.reply("503 5.5.1 already authenticated")
				continue
			}
			ok, err := s.auth(c, rest)
			if err != nil {
				return
			}
			if authed = ok; ok {
				c.reply("235 2.7.0 authentication successful")
			} else {
				c.reply("535 5.7.8 authentication failed")
			}
		case "MAIL":
			path, ok := path(rest, "FROM:")
			if !ok || mail {
				c.reply("503 5.5.1 MAIL FROM:<address> once per mail, please")
				continue
			}
			from, mail = path, true
			c.reply("250 2.1.0 sender %s ok", path)
		case "RCPT":
			path, ok := path(rest, "TO:")
			switch {
			case !mail:
				c.reply("503 5.5.1 MAIL first")
			case !ok || !strings.Contains(path, "@"):
				c.reply("501 5.1.3 RCPT TO:<address>, please")
			case strings.HasPrefix(path, "reject") || s.Log.Fault() == Refuse:
				c.reply("550 5.1.1 <%s>: no such mailbox", path)
			case strings.HasPrefix(path, "defer") || s.Log.Fault() == Defer:
				c.reply("450 4.2.0 <%s>: try again later", path)
			case len(to) >= 1000:
				c.reply("452 4.5.3 too many recipients")
			default:
				to = append(to, path)
				c.reply("250 2.1.5 recipient %s ok", path)
			}
		case "DATA":
			if len(to) == 0 {
				c.reply("554 5.5.1 no valid recipients")
				continue
			}
			c.reply("354 end with a dot on a line by itself")
			data, fits, err := c.data()
			switch {
			case err != nil:
				return
			case !fits:
				c.reply("552 5.3.4 message too big")
			case !s.deliver(from, to, data):
				c.reply("452 4.3.1 the test server is full")
			default:
				c.record.mail(from, to, data)
				if s.Log.Fault() == Drop {
					return
				}
				c.reply("250 2.0.0 kept in memory for %s", strings.Join(to, ", "))
			}
			reset()
		case "RSET":
			reset()
			c.reply("250 2.0.0 ok")
		case "NOOP", "HELP":
			c.reply("250 2.0.0 ok")
		case "QUIT":
			c.reply("221 2.0.0 bye")
			return
		default:
			c.reply("500 5.5.2 unknown command")
		}
	}
}

// path takes the address out of "FROM:<address> PARAMETERS".
func path(rest, prefix string) (string, bool) {
	if len(rest) < len(prefix) || !strings.EqualFold(rest[:len(prefix)], prefix) {
		return "", false
	}
	rest = strings.TrimSpace(rest[len(prefix):])
	end := strings.LastIndexByte(rest, '>')
	if !strings.HasPrefix(rest, "<") || end < 0 {
		return "", false
	}
	return rest[1:end], true
}

// data reads a message up to the dot. One that is too big is read to its end
// and thrown away.
func (c *conn) data() (message []byte, fits bool, err error) {
	if err := c.flush(); err != nil {
		return nil, false, err
	}
	var b bytes.Buffer
	fits = true
	start := true
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil && len(line) < maxCommand {
			return nil, false, err
		}
		if start && bytes.Equal(line, []byte(".\r\n")) {
			return b.Bytes(), fits, nil
		}
		if start && line[0] == '.' {
			line = line[1:]
		}
		start = err == nil
		if fits = fits && b.Len()+len(line) <= maxMessage; fits {
			b.Write(line)
		}
	}
}

// auth answers AUTH PLAIN and AUTH LOGIN: any user, one password.
func (s *Server) auth(c *conn, rest string) (bool, error) {
	ask := func(challenge string) (string, error) {
		c.reply("334 %s", base64.StdEncoding.EncodeToString([]byte(challenge)))
		c.hidden = true
		line, err := c.line()
		c.hidden = false
		if err != nil {
			return "", err
		}
		decoded, _ := base64.StdEncoding.DecodeString(line) // what is no base64 is no password
		return string(decoded), nil
	}
	mechanism, initial, _ := strings.Cut(rest, " ")
	switch strings.ToUpper(mechanism) {
	case "PLAIN":
		decoded, _ := base64.StdEncoding.DecodeString(initial)
		answer := string(decoded)
		if initial == "" {
			var err error
			if answer, err = ask(""); err != nil {
				return false, err
			}
		}
		parts := strings.Split(answer, "\x00")
		return len(parts) == 3 && parts[2] == s.Password, nil
	case "LOGIN":
		if _, err := ask("Username:"); err != nil {
			return false, err
		}
		password, err := ask("Password:")
		return password == s.Password, err
	}
	return false, nil
}
