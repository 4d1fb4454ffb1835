package status

import (
	"bytes"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"time"

	"topdown/smtpclient/internal/mailbox"
	"topdown/smtpclient/internal/testserver"
)

var pages = template.Must(template.ParseFS(files, "page/*.html"))

// faultTexts say what the faults do.
var faultTexts = map[testserver.Fault]string{
	testserver.NoFault: "none: the server does everything right",
	testserver.Defer:   "450: every recipient is refused for now",
	testserver.Refuse:  "550: every recipient is refused for good",
	testserver.Drop:    "drop: the connection ends after the final dot, without a reply",
	testserver.Slow:    "slow: every reply takes 5 seconds",
}

// A row is one exchange in the list.
type row struct {
	ID                                int
	Time, From, To, Subject, Size, Is string
	Good, Bad                         bool
}

// outcome says in words what became of an exchange. It is good if a mail has come
// and the client knows it.
func outcome(e *testserver.Exchange) (text string, good bool) {
	wrong, told := "", false
	for _, line := range e.Lines {
		if !line.Client && wrong == "" && (strings.HasPrefix(line.Text, "4") || strings.HasPrefix(line.Text, "5")) {
			wrong = ": " + shown(line.Text)
		}
		told = told || !line.Client && strings.HasPrefix(line.Text, "250 2.0.0 kept")
	}
	switch {
	case told && wrong != "":
		return "received, not for all" + wrong, true
	case told:
		return "received", true
	case e.Open:
		return "going on" + wrong, false
	case e.Data != nil:
		return "received, and the client was not told", false
	}
	return "no mail" + wrong, false
}

// newRow describes an exchange.
func newRow(e *testserver.Exchange) row {
	r := row{ID: e.ID, Time: e.At.Format(time.TimeOnly), From: e.From, To: strings.Join(e.To, ", ")}
	r.Is, r.Good = outcome(e)
	r.Bad = !r.Good && !e.Open
	if e.Data != nil {
		r.Subject, r.Size = subject(e.Data), mailbox.SizeText(int64(len(e.Data)))
	} else { // what was asked for
		var to []string
		for _, line := range e.Lines {
			if from, ok := strings.CutPrefix(line.Text, "MAIL FROM:"); ok && line.Client {
				r.From, _, _ = strings.Cut(strings.TrimPrefix(from, "<"), ">")
			} else if rcpt, ok := strings.CutPrefix(line.Text, "RCPT TO:"); ok && line.Client {
				rcpt, _, _ = strings.Cut(strings.TrimPrefix(rcpt, "<"), ">")
				to = append(to, rcpt)
			}
		}
		r.To = strings.Join(to, ", ")
	}
	r.From, r.To = shown(r.From), shown(r.To)
	return r
}

func (s *Server) list(w http.ResponseWriter, r *http.Request) {
	type choice struct {
		Value, Text string
		On          bool
	}
	data := struct {
		SMTP, POP3, Token, Fault string
		Faults                   []choice
		Rows                     []row
		Mails                    int
	}{SMTP: s.SMTP, POP3: s.POP3, Token: s.token}
	now := s.Log.Fault()
	for _, fault := range testserver.Faults {
		data.Faults = append(data.Faults, choice{string(fault), faultTexts[fault], fault == now})
	}
	if now != testserver.NoFault {
		data.Fault = faultTexts[now]
	}
	for _, e := range s.Log.List() {
		line := newRow(&e)
		if e.Data != nil {
			data.Mails++
		}
		data.Rows = append(data.Rows, line)
	}
	s.page(w, "list.html", data)
}

func (s *Server) exchange(w http.ResponseWriter, r *http.Request) {
	e, ok := s.find(w, r)
	if !ok {
		return
	}
	type line struct{ Who, After, Text string }
	data := struct {
		*mail
		ID               int
		Time, Is, Size   string
		EnvelopeFrom     string
		EnvelopeTo       string
		Received, Secret bool
		Source           string
		Lines            []line
	}{mail: &mail{}, ID: e.ID, Time: e.At.Format(time.DateTime), EnvelopeFrom: shown(e.From), EnvelopeTo: shown(strings.Join(e.To, ", "))}
	data.Is, _ = outcome(&e)
	if e.Data != nil {
		data.mail, data.Received = readMail(e.Data), true
		data.Size = mailbox.SizeText(int64(len(e.Data)))
		data.Source = strings.ToValidUTF8(string(e.Data[:min(len(e.Data), maxSource)]), "\ufffd")
	}
	for _, l := range e.Lines {
		who := "S"
		if l.Client {
			who = "C"
		}
		data.Lines = append(data.Lines, line{who, fmt.Sprintf("%.3f s", l.After.Seconds()), shown(l.Text)})
	}
	s.page(w, "mail.html", data)
}

// maxSource is how much of a mail's source its page shows, in bytes; all of it is
// a click away.
const maxSource = 64 << 10

// find returns the exchange that a path names, or answers that there is none.
func (s *Server) find(w http.ResponseWriter, r *http.Request) (testserver.Exchange, bool) {
	id, _ := strconv.Atoi(r.PathValue("id"))
	e, ok := s.Log.Find(id)
	if !ok || e.Data == nil && r.Pattern != "GET /mail/{id}" {
		http.Error(w, "the test server has no such mail, or no longer", http.StatusNotFound)
		return e, false
	}
	return e, true
}

// page fills a page in, whole before the first byte leaves.
func (s *Server) page(w http.ResponseWriter, name string, data any) {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, data); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(b.Bytes()) // the browser has gone if this fails
}
