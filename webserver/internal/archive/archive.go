// Package archive writes a folder of the site as a zip file or a compressed tar
// file, while it reads it: nothing is kept on disk or, but for the names, in memory.
//
// What it refuses: to complete an archive in which a file is half of one version and
// half of another. A file that is gone when its turn comes is left out.
package archive

import (
	"archive/tar"
	"archive/zip"
	"compress/flate"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"topdown/webserver/internal/site"
)

// Format is a kind of archive.
type Format struct {
	Name string // also the extension, without its dot
	Type string // media type
	open func(io.Writer) writer
}

var (
	// Zip is what Windows and macOS open by themselves.
	Zip = Format{"zip", "application/zip", newZip}
	// TarGz is what Unix expects.
	TarGz = Format{"tar.gz", "application/gzip", newTarGz}
)

// ParseQuery reports whether a URL's query, undecoded and without its question mark,
// asks for an archive ("archive=zip"), and in which format. That is the zero one for a
// format that is none of these.
func ParseQuery(rawQuery string) (format Format, asked bool) {
	for pair := range strings.SplitSeq(rawQuery, "&") {
		name, ok := strings.CutPrefix(pair, "archive=")
		if !ok {
			continue
		}
		for _, format := range []Format{Zip, TarGz} {
			if name == format.Name {
				return format, true
			}
		}
		asked = true
	}
	return Format{}, asked
}

// writer is what the formats have in common.
type writer interface {
	// folder and file begin a member. What file returns takes the content.
	folder(name string, m site.Member) error
	file(name string, m site.Member, f *site.MemberFile) (io.Writer, error)
	// finish writes the end, without which no reader takes the archive for complete.
	finish() error
}

// Write writes a folder to w, its members below a folder of that name, so that
// taking it out puts one folder where the user is. After an error, the archive has
// no end and must be broken off.
func Write(w io.Writer, format Format, name string, folder *site.Folder) error {
	out := format.open(w)
	for _, m := range folder.Members {
		if err := add(out, name+"/"+m.Name, folder, m); err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
	}
	return out.finish()
}

func add(out writer, name string, folder *site.Folder, m site.Member) error {
	if strings.HasSuffix(name, "/") {
		return out.folder(name, m)
	}
	f, err := folder.Open(m)
	if f == nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was only read from
	content, err := out.file(name, m, f)
	if err != nil {
		return err
	}
	_, err = f.WriteTo(content)
	return err
}

// tarGz writes a compressed tar file (POSIX.1-2001, for long names and sizes).
type tarGz struct {
	tar *tar.Writer
	zip *gzip.Writer
}

func newTarGz(w io.Writer) writer {
	zip, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		panic(err) // the level is one of the package's
	}
	return &tarGz{tar.NewWriter(zip), zip}
}

func (t *tarGz) folder(name string, m site.Member) error {
	return t.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755, ModTime: m.ModTime})
}

func (t *tarGz) file(name string, _ site.Member, f *site.MemberFile) (io.Writer, error) {
	return t.tar, t.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: f.Size, ModTime: f.ModTime})
}

func (t *tarGz) finish() error {
	if err := t.tar.Close(); err != nil {
		return err
	}
	return t.zip.Close()
}

// zipFile writes a zip file. Sizes and checksums follow the content (bit 3 of the
// general purpose flags); zip64 where it takes that. All is deflated, what is
// compressed already at level 0: readers that take the archive as it comes need a
// format that tells its own end.
type zipFile struct {
	zip     *zip.Writer
	packed  bool // the next member
	deflate [2]*flate.Writer
}

func newZip(w io.Writer) writer {
	z := &zipFile{zip: zip.NewWriter(w)}
	z.zip.RegisterCompressor(zip.Deflate, z.compressor)
	return z
}

// compressor returns one of two, which are used again and again.
func (z *zipFile) compressor(w io.Writer) (io.WriteCloser, error) {
	i, level := 0, flate.BestSpeed
	if z.packed {
		i, level = 1, flate.NoCompression
	}
	if z.deflate[i] == nil {
		var err error
		if z.deflate[i], err = flate.NewWriter(w, level); err != nil {
			return nil, err
		}
	} else {
		z.deflate[i].Reset(w)
	}
	return z.deflate[i], nil
}

func (z *zipFile) folder(name string, m site.Member) error {
	head := &zip.FileHeader{Name: name, Modified: zipTime(m.ModTime)}
	head.SetMode(fs.ModeDir | 0o755)
	_, err := z.zip.CreateHeader(head)
	return err
}

func (z *zipFile) file(name string, m site.Member, f *site.MemberFile) (io.Writer, error) {
	z.packed = m.Packed
	head := &zip.FileHeader{Name: name, Modified: zipTime(f.ModTime), Method: zip.Deflate}
	head.SetMode(0o644)
	return z.zip.CreateHeader(head)
}

// zipTime is the time nearest to t that a zip file can hold: files of images and
// packages often are of 1970, which readers would take for 2098.
func zipTime(t time.Time) time.Time {
	first, last := time.Date(1980, 1, 1, 0, 0, 0, 0, t.Location()), time.Date(2107, 12, 31, 0, 0, 0, 0, t.Location())
	switch {
	case t.Before(first):
		return first
	case t.After(last):
		return last
	}
	return t
}

func (z *zipFile) finish() error { return z.zip.Close() }
