package message

import (
	"io"
	"strings"
	"time"
)

// An Event is what an invitation is to (RFC 5545 section 3.6.1): as text, for
// people.
type Event struct {
	Method    string // REQUEST: an invitation; CANCEL; REPLY; ... (RFC 5546)
	Summary   string
	When      string
	Where     string
	Organizer string
}

// ReadEvent reads the first event of a text/calendar part; nil if there is none.
func ReadEvent(r io.Reader) (*Event, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxReport))
	if err != nil {
		return nil, err
	}
	text := strings.ReplaceAll(string(data), "\r\n", "\n")
	text = strings.NewReplacer("\n ", "", "\n\t", "").Replace(text) // folded lines
	e := &Event{}
	inside, found := 0, false
	var from, to, lasts string
	for line := range strings.Lines(text) {
		name, parameters, value := contentLine(strings.TrimRight(line, "\n"))
		switch {
		case name == "METHOD":
			e.Method = strings.ToUpper(value)
		case name == "BEGIN" && strings.EqualFold(value, "VEVENT") && !found, name == "BEGIN" && inside > 0:
			inside++
			found = true
		case name == "END" && inside > 0:
			if inside--; inside == 0 {
				e.When = span(from, to, lasts)
				return e, nil
			}
		case inside != 1: // of an alarm, or of no event
		case name == "SUMMARY":
			e.Summary = unescape(value)
		case name == "LOCATION":
			e.Where = unescape(value)
		case name == "DTSTART":
			from = moment(value, parameters["TZID"])
		case name == "DTEND":
			to = moment(value, parameters["TZID"])
		case name == "DURATION":
			lasts = value
		case name == "ORGANIZER":
			e.Organizer = strings.TrimPrefix(strings.TrimPrefix(value, "mailto:"), "MAILTO:")
			if cn := parameters["CN"]; cn != "" {
				e.Organizer = cn + " <" + e.Organizer + ">"
			}
		}
	}
	if !found {
		return nil, nil
	}
	e.When = span(from, to, lasts) // the end is missing
	return e, nil
}

// contentLine takes "NAME;PARAMETER=VALUE:VALUE" apart.
func contentLine(line string) (name string, parameters map[string]string, value string) {
	quoted := false
	at := strings.IndexFunc(line, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return r == ':' && !quoted
	})
	if at < 0 {
		return "", nil, ""
	}
	pieces := strings.Split(line[:at], ";")
	parameters = make(map[string]string)
	for _, p := range pieces[1:] {
		key, v, _ := strings.Cut(p, "=")
		parameters[strings.ToUpper(key)] = strings.Trim(v, `"`)
	}
	return strings.ToUpper(pieces[0]), parameters, line[at+1:]
}

func unescape(value string) string {
	return strings.NewReplacer(`\n`, "\n", `\N`, "\n", `\,`, ",", `\;`, ";", `\\`, `\`).Replace(value)
}

// moment writes "20261121T140000Z" for people.
func moment(value, zone string) string {
	if day, err := time.Parse("20060102", value); err == nil {
		return day.Format("2006-01-02")
	}
	if t, err := time.Parse("20060102T150405Z", value); err == nil {
		return t.Format("2006-01-02 15:04") + " UTC"
	}
	if t, err := time.Parse("20060102T150405", value); err == nil {
		return strings.TrimSpace(t.Format("2006-01-02 15:04") + " " + zone)
	}
	return value
}

func span(from, to, lasts string) string {
	switch {
	case from == "":
		return ""
	case to != "":
		if len(from) >= 16 && len(to) >= 16 && from[:11] == to[:11] && from[16:] == to[16:] {
			return from[:16] + " to " + to[11:] // the same day and zone
		}
		return from + " to " + to
	case lasts != "":
		return from + ", " + strings.ToLower(strings.TrimLeft(lasts, "PT"))
	}
	return from
}
