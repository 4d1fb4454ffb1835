package ftp

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	"topdown/proxyserver/internal/netio"
)

// reply is a server's reply (RFC 959, section 4.2).
type reply struct {
	code int
	text string // of the last line, or of all lines of a long one
}

func (r *reply) Error() string {
	text, _, _ := strings.Cut(r.text, "\n")
	return fmt.Sprintf("the server said %d %s", r.code, strings.TrimRight(text, "."))
}

// Bounds of a reply.
const (
	maxReplyLine = 4096
	maxReply     = 64 << 10
)

// control is the control connection: one command, one reply.
type control struct {
	*netio.Conn
	timeout time.Duration
	trace   func(direction string, line []byte) // nil: none
}

var errUnsafe = errors.New("a CR, LF or NUL in the path, the name or the password")

// command sends a command and returns the reply to it.
func (c *control) command(verb, argument string) (*reply, error) {
	if strings.ContainsAny(argument, "\r\n\x00") {
		return nil, errUnsafe
	}
	line := verb
	if argument != "" {
		line += " " + argument
	}
	if c.trace != nil {
		shown := line
		if verb == "PASS" {
			shown = "PASS (hidden)"
		}
		c.trace(">", []byte(shown))
	}
	c.Timeout(c.timeout)
	if _, err := c.Write([]byte(line + "\r\n")); err != nil {
		return nil, fmt.Errorf("send %s: %w", verb, err)
	}
	return c.reply()
}

// reply reads a reply, which may have several lines (RFC 959, section 4.2).
func (c *control) reply() (*reply, error) {
	c.Timeout(c.timeout)
	line, err := c.line()
	if err != nil {
		return nil, err
	}
	if len(line) < 3 || line[0] < '1' || line[0] > '5' {
		return nil, errors.New("the server's reply does not begin with a code")
	}
	code, err := strconv.Atoi(line[:3])
	if err != nil || len(line) > 3 && line[3] != ' ' && line[3] != '-' {
		return nil, errors.New("the server's reply does not begin with a code")
	}
	r := &reply{code: code}
	if len(line) <= 3 || line[3] == ' ' {
		r.text = strings.TrimPrefix(line[3:], " ")
		return r, nil
	}
	end := line[:3] + " "
	text := []string{line[4:]}
	for size := 0; ; {
		if line, err = c.line(); err != nil {
			return nil, err
		}
		if size += len(line) + 1; size > maxReply {
			return nil, errors.New("the server's reply is too long")
		}
		if line+" " == end || strings.HasPrefix(line, end) {
			r.text = strings.Join(append(text, strings.TrimPrefix(line[3:], " ")), "\n")
			return r, nil
		}
		text = append(text, line)
	}
}

func (c *control) line() (string, error) {
	b, err := c.ReadSlice('\n')
	if err != nil {
		return "", fmt.Errorf("read the server's reply: %w", err)
	}
	if len(b) > maxReplyLine {
		return "", errors.New("a line of the server's reply is too long")
	}
	line := strings.TrimRight(string(b), "\r\n")
	if c.trace != nil {
		c.trace("<", []byte(line))
	}
	return line, nil
}

// passive asks the server to listen for the data connection and returns where:
// at the address of the control connection's peer, whatever the reply may say,
// so that a server can send its clients nowhere else (RFC 2428, RFC 2577).
func (c *control) passive() (netip.AddrPort, error) {
	remote, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("find the server's address: %w", err)
	}
	r, err := c.command("EPSV", "")
	if err != nil {
		return netip.AddrPort{}, err
	}
	port, ok := uint16(0), false
	if r.code == 229 {
		port, ok = parseEPSV(r.text)
	}
	if !ok && r.code != 421 {
		if r, err = c.command("PASV", ""); err != nil {
			return netip.AddrPort{}, err
		}
		if r.code == 227 {
			port, ok = parsePASV(r.text)
		}
	}
	if !ok {
		return netip.AddrPort{}, r
	}
	return netip.AddrPortFrom(remote.Addr().Unmap(), port), nil
}

// parseEPSV finds the port in "text (|||port|)" (RFC 2428, section 3).
func parseEPSV(s string) (uint16, bool) {
	start := strings.IndexByte(s, '(')
	if start < 0 || start+1 >= len(s) {
		return 0, false
	}
	s = s[start+1:]
	mark := s[:1]
	if mark < "!" || mark > "~" || mark >= "0" && mark <= "9" {
		return 0, false
	}
	parts := strings.Split(s, mark)
	if len(parts) < 5 || parts[0] != "" || !strings.HasPrefix(parts[4], ")") {
		return 0, false
	}
	port, err := strconv.ParseUint(parts[3], 10, 16)
	return uint16(port), err == nil && port > 0
}

// parsePASV finds the port in "text (h1,h2,h3,h4,p1,p2)" (RFC 959, section
// 4.1.2); some servers leave out the parentheses.
func parsePASV(s string) (uint16, bool) {
	numbers := passiveReply.FindStringSubmatch(s)
	if numbers == nil {
		return 0, false
	}
	high, err := strconv.ParseUint(numbers[1], 10, 8)
	low, lowErr := strconv.ParseUint(numbers[2], 10, 8)
	port := uint16(high<<8 | low)
	return port, err == nil && lowErr == nil && port > 0
}

var passiveReply = regexp.MustCompile(`(?:\d+,){4}(\d+),(\d+)`)
