package site

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"io/fs"
	"path"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"topdown/pkg/httpmsg"
)

// Resource is what a path stood for at one moment: one file in all the
// encodings that can be sent of it. It does not change, but for looks and sealable.
type Resource struct {
	Name    string    // of the file, below the root
	Type    string    // media type
	ModTime time.Time // of the file

	stamp   stamp
	dir     string                             // where the file is, below the root
	beside  [len(sidecars)]string              // names of the sidecars, below the root
	settled bool                               // the stamp tells this state from every later one
	reps    [1 + len(sidecars)]*Representation // identity first; nil where there is none
	// compress says that gzip may be made of the identity; zipped is that, or
	// nil if it is not worth it.
	compress bool
	zip      sync.Once
	zipped   *Representation
	control  string // Cache-Control
	vary     bool   // the client's Accept-Encoding makes a difference
	hashing  bool   // a large file's entity tag is being computed
	looks    looks
	// sealable says that the content should be sealed when it is asked for again.
	sealable atomic.Bool
}

// Representation is a resource in one encoding (RFC 9110, section 8). Its
// fields are rendered once; who sends it adds Date and Connection.
type Representation struct {
	Encoding string // content coding, "" for none
	ETag     string // strong, with its quotes; "" while a large file is being hashed
	Size     int64
	ModTime  time.Time // zero when it says nothing (stripped, or in the future)
	// Body is the whole content of a small file; a large one, and one that is
	// sealed, is nil here and must be opened.
	Body   []byte
	sealed *sealed // the whole content, unless nil

	// Fields are the field lines that 200 and 206 share, without
	// Content-Length and, so that a part can have its own, Content-Type.
	Fields []byte
	Type   string
	// OK are the fields of a 200 but for Date and what follows; NotModified those
	// of a 304 (RFC 9110, section 15.4.5).
	OK, NotModified []byte

	name    string
	id      identity
	settled bool // id tells this state of the file from every later one
}

// sidecars are files beside a file that hold it compressed, best first.
var sidecars = [...]struct{ suffix, coding string }{
	{".br", "br"}, {".zst", "zstd"}, {".gz", "gzip"},
}

// gzipMin is the size below which compressing does not save a packet.
const gzipMin = 1024

// memory returns the bytes of content that r keeps.
func (r *Resource) memory() int64 {
	var n int64
	for _, rep := range r.reps {
		if rep != nil {
			n += int64(len(rep.Body))
			if rep.sealed != nil {
				n += rep.Size
			}
		}
	}
	if r.compress {
		// Room for what gzip may make of it.
		n += int64(len(r.reps[0].Body)) / 3
	}
	return n
}

// load makes the resource of a stamp; with seal, one whose content is sealed.
func (s *Site) load(t tree, seen stamp, seal bool) (*Resource, error) {
	media := typeOf(seen.name)
	r := &Resource{Name: seen.name, Type: media.name, stamp: seen, ModTime: time.Unix(0, seen.file.mtime), dir: path.Dir(seen.name)}
	if r.control = s.options.CacheControl; r.control == "" {
		r.control = cacheControl(seen.name)
	}
	plain, err := s.represent(t, seen.name, "", seal)
	if err != nil {
		return nil, err
	}
	r.reps[0] = plain
	r.stamp.file, r.settled = plain.id, plain.settled
	paged := media.name == types[".html"].name && plain.extend(s.options.PageEnd)
	r.hashing = plain.settled && plain.ETag == "" && plain.Size > hashNow
	for i, sidecar := range sidecars {
		r.beside[i] = seen.name + sidecar.suffix
		if !seen.usable[i] || paged {
			continue // there is none, or it lacks the end
		}
		// A sidecar that went away or is being written is left out.
		rep, err := s.represent(t, r.beside[i], sidecar.coding, false)
		if err == nil && rep.id == seen.sidecars[i] {
			r.reps[1+i], r.settled = rep, r.settled && rep.settled
		} else {
			r.settled = false
		}
	}
	r.compress = media.compress && plain.Body != nil && plain.Size >= gzipMin && r.reps[3] == nil
	// Small text is sent compressed as a rule, and has to be in memory for that.
	r.sealable.Store(!seal && s.options.Seal && r.settled && sealMin < plain.Size && plain.Size <= sealMax && (plain.Body == nil || !media.compress))
	r.vary = r.Negotiable()
	for _, rep := range r.reps {
		if rep != nil {
			rep.render(r)
		}
	}
	return r, nil
}

// extend adds to the content, if that is in memory.
func (rep *Representation) extend(end string) bool {
	if end == "" || rep.Body == nil {
		return false
	}
	rep.Body = append(rep.Body, end...)
	rep.Size, rep.ETag = int64(len(rep.Body)), etag(sha256.Sum256(rep.Body))
	return true
}

// represent reads one file: its content if it is small, and its hash. The
// content is of one moment: the file is looked at before and after.
//
// A small file is taken as it is, even in the middle of a change: its tag is that
// of the very bytes. Only an empty one is waited for, briefly, since editors and
// shells truncate first and write then. A large one must rest before it is sent,
// or nothing would tell a change during the transfer.
func (s *Site) represent(t tree, name, coding string, seal bool) (*Representation, error) {
	f, err := t.open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var rep *Representation
	for start := time.Now(); ; time.Sleep(time.Millisecond) {
		var whole bool
		rep, whole, err = s.read(t, f, name, seal)
		if err != nil {
			return nil, err
		}
		if whole {
			break
		}
		limit := settle
		if rep.Size > hotMax {
			limit = settleMax
		}
		if time.Since(start) >= limit {
			// It never comes to rest (a log, say).
			rep.settled = false
			if rep.Body == nil && rep.sealed == nil {
				rep.ETag = ""
			}
			break
		}
	}
	rep.Encoding, rep.name = coding, name
	if mtime := time.Unix(0, rep.id.mtime); rep.id.mtime > int64(time.Second) {
		rep.ModTime = mtime
	}
	return rep, nil
}

// read reads an open file. whole is false when it is worth while to read it again
// in a moment.
func (s *Site) read(t tree, f fs.File, name string, seal bool) (rep *Representation, whole bool, err error) {
	before, err := f.Stat()
	if err != nil {
		return nil, false, err
	}
	if !before.Mode().IsRegular() {
		return nil, false, &fs.PathError{Op: "read", Path: name, Err: fs.ErrNotExist}
	}
	id := identify(before)
	rep = &Representation{Size: id.size, id: id, settled: !id.unsettled(time.Now())}
	if seal && rep.settled {
		rep.sealed = s.sealed.seal(fromStart(f, id.size), id.size)
	}
	switch {
	case rep.sealed != nil:
		if rep.ETag, err = hash(io.NewSectionReader(rep.sealed, 0, id.size), id.size); err != nil {
			return nil, false, err
		}
	case id.size <= hotMax:
		rep.Body = make([]byte, id.size)
		n, readErr := io.ReadFull(fromStart(f, id.size), rep.Body)
		if err = ignoreShort(readErr); err != nil {
			return nil, false, err
		}
		rep.Body, rep.Size = rep.Body[:n], int64(n)
		rep.ETag = etag(sha256.Sum256(rep.Body))
	case !rep.settled:
		return rep, false, nil
	case id.size <= hashNow:
		if rep.ETag, err = hash(fromStart(f, id.size), id.size); err != nil {
			return rep, false, ignoreShort(err)
		}
	default:
		rep.ETag = s.hashes.get(id, func() (fs.File, error) { return t.open(name) })
	}
	after, err := f.Stat()
	if err != nil {
		return nil, false, err
	}
	whole = identify(after) == id && (rep.Size > 0 || rep.settled)
	return rep, whole, nil
}

// fromStart reads the first size bytes of a file, wherever it was read to.
func fromStart(f fs.File, size int64) io.Reader {
	if at, ok := f.(io.ReaderAt); ok {
		return io.NewSectionReader(at, 0, size)
	}
	return f // a file in memory, which is read once
}

// ignoreShort drops the error of a file that turned out shorter than it was: it
// has changed, which the caller sees anyway.
func ignoreShort(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// hash returns the entity tag of the first size bytes of r.
func hash(r io.Reader, size int64) (string, error) {
	h := sha256.New()
	if _, err := io.CopyN(h, r, size); err != nil {
		return "", err
	}
	return etag([32]byte(h.Sum(nil))), nil
}

// etag makes a strong entity tag of a content's hash: it is the same wherever
// and whenever the same bytes are served, whatever time the file bears.
func etag(sum [32]byte) string {
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
}

// render fills in the field lines of one of r's representations.
func (rep *Representation) render(r *Resource) {
	rep.Type = r.Type
	line := func(b []byte, name, value string) []byte {
		b, err := httpmsg.AppendField(b, name, value)
		if err != nil {
			// Only --cache-control comes from outside, and it is checked.
			panic(err)
		}
		return b
	}
	var shared []byte // what a 304 repeats of a 200
	if rep.ETag != "" {
		shared = line(shared, "ETag", rep.ETag)
	}
	shared = line(shared, "Cache-Control", r.control)
	if r.vary {
		shared = line(shared, "Vary", "Accept-Encoding")
	}
	fields := bytes.Clone(shared)
	if !rep.ModTime.IsZero() {
		// A time ahead of Date must not be sent (RFC 9110, section 8.8.2.1).
		if rep.ModTime.After(time.Now()) {
			rep.ModTime = time.Time{}
		} else {
			fields = line(fields, "Last-Modified", string(httpmsg.AppendDate(nil, rep.ModTime)))
		}
	}
	if rep.Encoding != "" {
		fields = line(fields, "Content-Encoding", rep.Encoding)
	}
	fields = line(fields, "Accept-Ranges", "bytes")
	fields = line(fields, "X-Content-Type-Options", "nosniff")
	rep.Fields = fields
	rep.OK = line(bytes.Clone(fields), "Content-Type", r.Type)
	rep.OK = line(rep.OK, "Content-Length", strconv.FormatInt(rep.Size, 10))
	rep.NotModified = shared
}

// gzip returns r compressed by us, nil if that does not make it smaller. The
// first call does the work.
func (r *Resource) gzip() *Representation {
	r.zip.Do(func() {
		plain := r.reps[0].Body
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, err := w.Write(plain)
		if err == nil {
			err = w.Close()
		}
		if err != nil || b.Len() >= len(plain)-len(plain)/20 {
			return
		}
		r.zipped = &Representation{
			Encoding: "gzip",
			ETag:     etag(sha256.Sum256(b.Bytes())),
			Size:     int64(b.Len()),
			ModTime:  r.reps[0].ModTime,
			Body:     bytes.Clone(b.Bytes()),
		}
		r.zipped.render(r)
	})
	return r.zipped
}

// Plain returns the representation without a content coding.
func (r *Resource) Plain() *Representation { return r.reps[0] }
