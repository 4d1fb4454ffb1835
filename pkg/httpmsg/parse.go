package httpmsg

import "strings"

// parseLine takes a request line apart: method SP target SP version
// (RFC 9112, section 3).
func (r *Request) parseLine(line string) error {
	method, rest, ok := strings.Cut(line, " ")
	if !ok {
		return bad("9112, 3", "the request line has no target")
	}
	target, version, ok := strings.Cut(rest, " ")
	if !ok {
		return bad("9112, 3", "the request line has no HTTP version")
	}
	if !IsToken(method) {
		return bad("9110, 9.1", "the method is not a token")
	}
	minor, err := parseVersion(version)
	if err != nil {
		return err
	}
	if target == "" {
		return bad("9112, 3.2", "the request target is empty")
	}
	for i := 0; i < len(target); i++ {
		if class[target[i]]&targetByte == 0 {
			return bad("9112, 3.2", "the request target has a byte 0x%02x", target[i])
		}
	}
	r.Method, r.Target, r.Minor = method, target, minor
	return nil
}

// parseLine takes a status line apart: version SP status [SP reason]
// (RFC 9112, section 4).
func (r *Response) parseLine(line string) error {
	version, rest, ok := strings.Cut(line, " ")
	if !ok {
		return bad("9112, 4", "the status line has no status code")
	}
	minor, err := parseVersion(version)
	if err != nil {
		return err
	}
	// Some servers leave out the space before an empty reason phrase.
	code, reason, _ := strings.Cut(rest, " ")
	if len(code) != 3 || code[0] < '1' || code[0] > '9' || !isDigit(code[1]) || !isDigit(code[2]) {
		return bad("9112, 4", "the status code is not three digits")
	}
	if !IsValue(reason) {
		return bad("9112, 4", "the reason phrase has a control character")
	}
	r.Minor, r.Reason = minor, reason
	r.Status = int(code[0]-'0')*100 + int(code[1]-'0')*10 + int(code[2]-'0')
	return nil
}

// parseVersion returns the minor version of "HTTP/1.x", 1 at most: a later
// minor version is answered as 1.1 (RFC 9110, section 2.5).
func parseVersion(s string) (minor int, err error) {
	if s == "HTTP/1.1" {
		return 1, nil
	}
	if len(s) != len("HTTP/1.1") || s[:5] != "HTTP/" || !isDigit(s[5]) || s[6] != '.' || !isDigit(s[7]) {
		return 0, bad("9110, 2.5", "the HTTP version is malformed")
	}
	if s[5] != '1' {
		return 0, &Error{Status: 505, Section: "9110, 15.6.6", Reason: "only HTTP/1.0 and HTTP/1.1 are spoken here"}
	}
	return min(int(s[7]-'0'), 1), nil
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// parseFields appends the field lines of lines, each ended by CRLF, to f.
func parseFields(f Fields, lines string) (Fields, error) {
	for lines != "" {
		var line string
		line, lines, _ = strings.Cut(lines, "\r\n")
		field, err := parseField(line)
		if err != nil {
			return f, err
		}
		f = append(f, field)
	}
	return f, nil
}

// parseField takes one field line apart (RFC 9112, section 5). White space
// around the name and folded lines are refused (sections 5.1, 5.2).
func parseField(line string) (Field, error) {
	name, value, ok := strings.Cut(line, ":")
	if !ok {
		return Field{}, bad("9112, 5", "a header field has no colon")
	}
	if !IsToken(name) {
		switch {
		case line[0] == ' ' || line[0] == '\t':
			return Field{}, bad("9112, 5.2", "a header line begins with white space (folded lines are obsolete)")
		case name != "" && strings.TrimRight(name, " \t") != name:
			return Field{}, bad("9112, 5.1", "there is white space between a field name and its colon")
		}
		return Field{}, bad("9112, 5", "a field name is not a token")
	}
	if value = TrimOWS(value); !IsValue(value) {
		return Field{}, bad("9112, 5", "a field value has a control character")
	}
	return Field{name, value}, nil
}

// checkHost enforces RFC 9112, section 3.2: exactly one valid Host field in
// HTTP/1.1, at most one before.
func checkHost(minor int, f Fields, optional bool) error {
	switch n := f.Count("Host"); {
	case n == 0 && minor >= 1 && !optional:
		return bad("9112, 3.2", "there is no Host field")
	case n > 1:
		return bad("9112, 3.2", "there is more than one Host field")
	case n == 1 && !IsHost(f.Get("Host")):
		return bad("9112, 3.2", "the Host field is not a host name")
	}
	return nil
}
