package status

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/history"
	"topdown/proxyserver/internal/mask"
)

// This file has what viewers of the live page are sent, as server-sent events.
// Each viewer has a goroutine that looks at the history a few times a second and
// sends what is new: exchanges know nothing of viewers, and one that is slow
// misses rows, and is dropped when it does not take what it was sent.

// Figures are those of the proxy now. Counters count since the start.
type Figures struct {
	Requests int64 `json:"requests"`
	Hits     int64 `json:"hits"`
	Misses   int64 `json:"misses"`
	Errors   int64 `json:"errors"`
	Saved    int64 `json:"saved"` // bytes sent that no origin had to send
	Clients  int64 `json:"clients"`
	Tunnels  int64 `json:"tunnels"`
	Stored   int64 `json:"stored"` // bytes in the store
	Limit    int64 `json:"limit"`  // bytes that it may have, 0: it is not known
	Entries  int64 `json:"entries"`
	// Shared is "up" or "down" where the store is shared; the figures above are of
	// what this proxy has of it.
	Shared string `json:"shared,omitempty"`
}

const (
	// While nobody looks, of the exchanges of a second so many are kept and
	// traced: a hit at full speed takes some microseconds, a record a tenth of
	// one, a trace fifty.
	recordsIdle, tracesIdle = 250, 5
	// And so many in a beat for a viewer.
	recordsBeat, tracesBeat = history.Size, 50

	beat      = 100 * time.Millisecond
	rowsBeat  = 100              // that a viewer is sent
	heartbeat = 15 * time.Second // between two messages at most

	sampleTime = 10 * time.Second
	samples    = int(time.Hour / sampleTime)
	maxOrigins = 50         // told apart in a sample
	maxTop     = 8          // that are shown
	others     = "(others)" // the rest
)

// hour is what the charts show: a sample every ten seconds for an hour.
type hour struct {
	samples []point
	origins map[string]int64 // requests of each since the last sample

	// Up to where they have been counted.
	change, last, requests int64
}

// point is the figures at a time, and the requests of each origin since the one
// before.
type point struct {
	Time time.Time `json:"time"`
	Figures
	origins map[string]int64
}

// NewHistory returns a history for a page that nobody looks at yet.
func NewHistory() *history.History {
	h := &history.History{}
	h.Allow(recordsIdle, tracesIdle)
	return h
}

// sample takes samples, and lets some exchanges be traced while nobody looks,
// until ctx is done.
func (l *Live) sample(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for second := 0; ; second++ {
		watched, due := l.viewers.Load() > 0, second%int(sampleTime/time.Second) == 0
		if !watched {
			l.History.Allow(recordsIdle, tracesIdle)
		}
		l.mu.Lock()
		if watched || due {
			l.countOrigins()
		}
		if due {
			s := point{time.Now(), l.Figures(), l.hour.origins}
			l.hour.origins = nil
			l.hour.samples = append(l.hour.samples, s)
			l.hour.samples = slices.Delete(l.hour.samples, 0, max(0, len(l.hour.samples)-samples))
		}
		l.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// countOrigins counts the requests since the last time by origin. Where the
// history has not kept all, those that it has stand for the others.
func (l *Live) countOrigins() {
	h := &l.hour
	change, requests := l.History.Changes(), l.Figures().Requests
	if change == h.change {
		return
	}
	last := h.last
	h.last = l.History.Last()
	records := slices.DeleteFunc(l.History.Since(h.change, history.Size), func(r history.Record) bool { return r.ID <= last })
	each := max(1, (requests-h.requests)/max(1, int64(len(records))))
	h.change, h.requests = change, requests
	if h.origins == nil {
		h.origins = make(map[string]int64)
	}
	for _, r := range records {
		if r.Host == "" {
			continue
		}
		host := strings.Clone(r.Host[:min(len(r.Host), 255)])
		if h.origins[host] == 0 && len(h.origins) >= maxOrigins {
			host = others
		}
		h.origins[host] += each
	}
}

// row is an exchange, as the page shows it.
type row struct {
	ID       int64      `json:"id"`
	UnderWay bool       `json:"underWay,omitempty"`
	Start    time.Time  `json:"start"`
	Took     float64    `json:"took"` // ms
	Exact    bool       `json:"exact,omitempty"`
	Client   string     `json:"client"`
	User     string     `json:"user,omitempty"`
	Method   string     `json:"method"`
	URL      string     `json:"url"`
	Stored   bool       `json:"stored,omitempty"` // the store may have it
	Word     string     `json:"word"`
	Status   int        `json:"status"`
	Size     int64      `json:"size"`
	Tier     string     `json:"tier"`
	Why      string     `json:"why,omitempty"` // the proxy answered by itself
	Steps    []stepTime `json:"steps,omitempty"`
}

// stepTime is a part of the way of an exchange, in ms since its start.
type stepTime struct {
	Name string  `json:"name"`
	From float64 `json:"from"`
	To   float64 `json:"to"`
}

func newRow(r *history.Record) row {
	out := row{
		ID: r.ID, UnderWay: r.UnderWay, Start: r.Start, Took: ms(r.Took), Exact: r.Exact, Client: r.Client.Addr().String(), User: r.User,
		Method: r.Method, URL: r.URL(), Word: r.Word(), Status: r.Status, Size: r.Sent, Tier: r.Tier,
	}
	out.Stored = r.Host != "" && r.Method != "CONNECT"
	switch {
	case r.UnderWay:
		out.Word = "under way"
	case r.Failure != nil:
		out.Why = mask.Login(r.Failure.Error())
	case r.Tier == "" && r.Result == exchange.Collapsed:
		out.Tier = "another's fetch"
	case r.Tier == "" && r.Host != "" && r.Status != 0:
		out.Tier = "origin"
	}
	ready := time.Duration(0)
	for _, s := range r.Steps {
		out.Steps = append(out.Steps, stepTime{s.Name, ms(s.From), ms(s.To)})
		ready = max(ready, s.To)
	}
	if r.FirstByte > 0 {
		out.Steps = append(out.Steps, stepTime{"first byte", ms(ready), ms(r.FirstByte)})
		ready = r.FirstByte
	}
	if r.Exact && !r.UnderWay {
		name := "content"
		if ready == 0 {
			name = "whole"
		}
		out.Steps = append(out.Steps, stepTime{name, ms(ready), ms(r.Took)})
	}
	return out
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// message is an event for a viewer. What is absent has not changed.
type message struct {
	Rows    []row    `json:"rows,omitempty"`
	Missed  int64    `json:"missed,omitempty"` // rows left out: there were too many
	Figures *Figures `json:"figures,omitempty"`
	Hour    []point  `json:"hour,omitempty"`
	Origins []origin `json:"origins,omitempty"` // of the last hour, the most asked first
}

type origin struct {
	Host     string `json:"host"`
	Requests int64  `json:"requests"`
}

// events sends a viewer what happens, beginning with what the history has after
// the event that the viewer has seen last.
func (l *Live) events(w http.ResponseWriter, r *http.Request) {
	if l.viewers.Add(1) > maxViewers {
		l.viewers.Add(-1)
		http.Error(w, "Too many look at this page.", http.StatusServiceUnavailable)
		return
	}
	defer l.viewers.Add(-1)
	w.Header().Set("Content-Type", "text/event-stream")
	after := r.URL.Query().Get("after")
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		after = last
	}
	seen, err := strconv.ParseInt(after, 10, 64)
	if err != nil || seen > l.History.Changes() {
		seen = 0
	}
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	rows, known := history.Size, int64(0) // known: requests counted
	var figures Figures
	var origins []origin
	var sent, last time.Time // when it was sent something; the last sample
	for n := 0; ; n++ {
		l.History.Allow(recordsBeat, tracesBeat)
		var m message
		if change := l.History.Changes(); change > seen {
			for _, record := range l.History.Since(seen, rows) {
				m.Rows = append(m.Rows, newRow(&record))
			}
			seen = change
		}
		requests := l.Figures().Requests
		if n > 0 && requests-known > rowsBeat {
			m.Missed = max(0, requests-known-int64(len(m.Rows)))
		}
		known = requests
		rows = rowsBeat
		if n%10 == 0 {
			if now := l.Figures(); now != figures || n == 0 {
				figures, m.Figures = now, &now
			}
			m.Hour, last = l.since(last)
			if now := l.topOrigins(); !slices.Equal(now, origins) {
				origins, m.Origins = now, now
			}
		}
		if m.Rows == nil && m.Figures == nil && m.Hour == nil && m.Origins == nil {
			if time.Since(sent) > heartbeat && l.send(w, []byte(":\n\n")) != nil {
				return
			}
		} else {
			text, err := json.Marshal(m)
			if err != nil || l.send(w, fmt.Appendf(nil, "id: %d\ndata: %s\n\n", seen, text)) != nil {
				return
			}
			sent = time.Now()
		}
		select {
		case <-r.Context().Done():
			return
		case <-ticker.C:
		}
	}
}

// send sends a piece of the events, if the viewer takes it in time.
func (l *Live) send(w http.ResponseWriter, piece []byte) error {
	controller := http.NewResponseController(w)
	if err := controller.SetWriteDeadline(time.Now().Add(l.Patience)); err != nil {
		return err
	}
	if _, err := bytes.NewReader(piece).WriteTo(w); err != nil {
		return err
	}
	return controller.Flush()
}

// since returns the samples after a time, and the time of the latest.
func (l *Live) since(last time.Time) (news []point, latest time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.hour.samples {
		if p.Time.After(last) {
			news, last = append(news, p), p.Time
		}
	}
	return news, last
}

// topOrigins returns those that were asked most in the last hour.
func (l *Live) topOrigins() (top []origin) {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := maps.Clone(l.hour.origins)
	if all == nil {
		all = make(map[string]int64)
	}
	for _, p := range l.hour.samples {
		for host, n := range p.origins {
			all[host] += n
		}
	}
	for host, n := range all {
		top = append(top, origin{host, n})
	}
	slices.SortFunc(top, func(a, b origin) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), strings.Compare(a.Host, b.Host))
	})
	return top[:min(len(top), maxTop)]
}
