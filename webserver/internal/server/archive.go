package server

import (
	"errors"
	"net/netip"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"topdown/pkg/httpmsg"
	"topdown/webserver/internal/archive"
	"topdown/webserver/internal/site"
)

// What an archive may be. It is made for each who asks, so it costs more than any
// other response.
const (
	archiveNames  = 100_000
	archiveTime   = time.Hour
	archives      = 4 // at a time
	archivesOfOne = 2 // of one client
)

// archiving are the archives that are being sent, by client.
type archiving struct {
	mu   sync.Mutex
	busy int
	of   map[netip.Addr]int
}

// take counts one more, unless there are enough.
func (a *archiving) take(client netip.Addr) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.busy >= archives || a.of[client] >= archivesOfOne {
		return false
	}
	if a.of == nil {
		a.of = make(map[netip.Addr]int)
	}
	a.busy++
	a.of[client]++
	return true
}

// give counts one less.
func (a *archiving) give(client netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.busy--
	if a.of[client]--; a.of[client] == 0 {
		delete(a.of, client)
	}
}

// sendArchive sends what is in a directory as one file, made on the way. How long it
// becomes is not known before: it is sent in chunks (RFC 9112, section 7.1), and a
// client that gets the last one has got it whole.
func (c *conn) sendArchive(x *exchange, format archive.Format) {
	switch {
	case c.s.MaxArchive == 0:
		c.say("9110, 15.5.5", "directories are not sent as archives here: 404")
		c.sendError(x, 404, "Directories are not sent as one file here.")
		return
	case format.Name == "":
		c.say("9110, 15.5.1", "the format of the archive is unknown: 400")
		c.sendError(x, 400, "A directory is sent as zip or tar.gz: ?archive=zip, ?archive=tar.gz.")
		return
	}
	client := network(x.client)
	if !c.s.archiving.take(client) {
		c.say("9110, 15.6.4", "as many archives as may be are on their way: 503")
		c.sendError(x, 503, "Other archives are being sent. Come back in a while.", httpmsg.Field{Name: "Retry-After", Value: "30"})
		return
	}
	defer c.s.archiving.give(client)
	folder, err := c.s.Site.Folder(x.path, archiveNames, c.s.MaxArchive)
	if errors.Is(err, site.ErrTooLarge) {
		c.say("9110, 15.5.4", "the directory is too large for an archive: 403")
		c.sendError(x, 403, "This directory is too large to be sent as one file. Its subdirectories may not be.")
		return
	}
	if err != nil {
		c.s.Log.Warn("cannot list a directory", zap.String("path", x.path), zap.Error(err))
		c.sendErrorPage(x, 403, "This directory cannot be listed.")
		return
	}
	c.sayf("9110, 15.3.1", "%s is sent as an archive (%s) of %d files and directories", visible(x.path), format.Name, len(folder.Members))
	name := "files"
	if x.path != "/" {
		name = path.Base(x.path)
	}
	c.status(x, 200, []httpmsg.Field{
		{Name: "Content-Type", Value: format.Type},
		{Name: "Content-Disposition", Value: attachment(name + "." + format.Name)},
		{Name: "Cache-Control", Value: "no-store"},
		{Name: "X-Content-Type-Options", Value: "nosniff"},
	})
	out := &stream{c: c, x: x, until: time.Now().Add(archiveTime)}
	if c.work.req.Minor > 0 {
		out.chunked = true
		c.line("Transfer-Encoding", "chunked")
	} else {
		c.closing = true // its end is the connection's
	}
	c.end(x)
	if c.work.req.Method == "HEAD" || c.flush() != nil {
		return
	}
	if err = archive.Write(out, format, name, folder); err == nil {
		err = out.finish()
	}
	if err != nil {
		c.abort(true)
		c.s.Log.Debug("an archive was broken off", zap.String("path", x.path), zap.Error(err))
	}
	c.trace.content(nil, x.sent)
}

// attachment is a Content-Disposition that has a browser save the content under a
// name (RFC 6266, and RFC 8187 for what is not ASCII).
func attachment(name string) string {
	plain := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || strings.ContainsRune(`"\/:*?<>|%`, r) {
			return '_'
		}
		return r
	}, name)
	// What this leaves as it is, RFC 8187 takes as it is; "+" is its space.
	encoded := strings.ReplaceAll(url.QueryEscape(name), "+", "%20")
	return `attachment; filename="` + plain + `"; filename*=UTF-8''` + encoded
}

// stream sends content whose length is not known yet, in pieces.
type stream struct {
	c       *conn
	x       *exchange
	chunked bool
	until   time.Time
	piece   []byte // what has been collected
}

var errArchiveTime = errors.New("the archive has taken too long")

// Write implements io.Writer.
func (s *stream) Write(p []byte) (int, error) {
	s.piece = append(s.piece, p...)
	if len(s.piece) < maxOut/2 {
		return len(p), nil
	}
	return len(p), s.send()
}

// send sends what has been collected.
func (s *stream) send() error {
	if time.Now().After(s.until) {
		return errArchiveTime
	}
	w := s.c.work
	if s.chunked {
		w.out = httpmsg.AppendChunk(w.out, s.piece)
	} else {
		w.out = append(w.out, s.piece...)
	}
	s.x.sent += int64(len(s.piece))
	s.piece = s.piece[:0]
	return s.c.flush()
}

// finish sends what is left, and that it was the last.
func (s *stream) finish() error {
	if err := s.send(); err != nil || !s.chunked {
		return err
	}
	var err error
	s.c.work.out, err = httpmsg.AppendLastChunk(s.c.work.out, nil)
	return err
}
