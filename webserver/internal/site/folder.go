package site

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"
)

// Folder is what there is to put into an archive of a directory: what a reader gets
// who follows the links of its listing. So of a folder with an index page that page
// is in it and nothing else; left out are links, hidden files, what others may not
// read, and what is neither file nor folder.
type Folder struct {
	Members []Member // folders before what is in them

	tree tree
	dir  string
}

// Member is a file or folder in a Folder.
type Member struct {
	Name    string // below the directory, with slashes; that of a folder ends with one
	ModTime time.Time
	Packed  bool // its kind of file is compressed already
}

// ErrTooLarge is what Folder returns for a directory beyond the limits.
var ErrTooLarge = errors.New("the directory is too large")

// Folder looks through the directory of a clean path. It fails with ErrTooLarge if
// that holds more names, or more bytes in files, than the limits, and with another
// error if it cannot be read.
func (s *Site) Folder(p string, maxNames int, maxBytes int64) (*Folder, error) {
	f := &Folder{tree: s.root(), dir: strings.Trim(p, "/")}
	if f.dir == "" {
		f.dir = "."
	}
	err := walk(f.tree, f.dir, &maxNames, func(name string, info fs.FileInfo) bool {
		below := name
		if f.dir != "." {
			below = strings.TrimPrefix(name, f.dir+"/")
		}
		switch {
		case !servable(below):
			return false
		case info.IsDir():
			f.Members = append(f.Members, Member{Name: below + "/", ModTime: info.ModTime()})
			if index := f.index(name); index != "" {
				f.add(below+"/"+path.Base(index), index, &maxBytes)
				return false
			}
			return true
		}
		f.add(below, name, &maxBytes)
		return false
	})
	if errors.Is(err, errTooMany) || maxBytes < 0 {
		err = ErrTooLarge
	}
	return f, err
}

// index returns the name of the index page of a folder, "" if it has none and is
// listed for that.
func (f *Folder) index(dir string) string {
	for _, base := range index {
		if info, err := f.tree.stat(path.Join(dir, base)); err == nil && info.Mode().IsRegular() {
			return path.Join(dir, base)
		}
	}
	return ""
}

// add takes a file into the folder if it may be served.
func (f *Folder) add(below, name string, maxBytes *int64) {
	info, err := f.tree.lstat(name)
	if err != nil || !info.Mode().IsRegular() || !othersMayRead(info) {
		return
	}
	media, known := types[strings.ToLower(path.Ext(name))]
	f.Members = append(f.Members, Member{Name: below, ModTime: info.ModTime(), Packed: known && !media.compress})
	if *maxBytes -= info.Size(); *maxBytes < 0 {
		*maxBytes = -1 // no further: files with holes may claim any size
	}
}

// Open opens a member that is a file. It returns nil without an error if the file is
// gone by now, or may no longer be served.
func (f *Folder) Open(m Member) (*MemberFile, error) {
	name := path.Join(f.dir, m.Name)
	opened, err := f.tree.open(name)
	if err != nil {
		if isMissing(err) || errors.Is(err, fs.ErrPermission) {
			err = nil
		}
		return nil, err
	}
	file, ok := opened.(*os.File)
	if !ok { // of the built-in site
		opened.Close()
		return nil, nil
	}
	info, err := file.Stat()
	if err == nil && info.Mode().IsRegular() && othersMayRead(info) {
		id := identify(info)
		// A link may stand in the place of the file by now.
		if now, linkErr := f.tree.lstat(name); linkErr == nil && os.SameFile(now, info) {
			// Of a file that was changed just now, a change that comes next may not be
			// seen by its times: its content is compared.
			large := &LargeFile{File: file, rep: &Representation{Size: id.size, id: id}, id: id, suspect: id.unsettled(time.Now())}
			large.Start(0)
			return &MemberFile{large: large, Size: id.size, ModTime: info.ModTime()}, nil
		}
	}
	file.Close()
	return nil, err
}

// MemberFile is an open file of a folder.
type MemberFile struct {
	Size    int64 // bytes, of the version that WriteTo writes
	ModTime time.Time

	large *LargeFile
}

// WriteTo writes the file. It fails with ErrChanged or ErrShrunk if that was not all
// of one version.
func (f *MemberFile) WriteTo(w io.Writer) (n int64, err error) {
	buf := make([]byte, min(64<<10, max(f.Size, 1)))
	for n < f.Size {
		p := buf[:min(f.Size-n, int64(len(buf)))]
		if got, err := f.large.ReadAt(p, n); got < len(p) {
			return n, errors.Join(ErrShrunk, err)
		}
		if err := f.large.Check(false); err != nil {
			return n, err
		}
		f.large.Sent(p)
		wrote, err := w.Write(p)
		n += int64(wrote)
		if err != nil {
			return n, fmt.Errorf("write: %w", err)
		}
	}
	if n == 0 {
		return 0, nil // there is nothing to be of two versions
	}
	return n, f.large.Check(true)
}

// Close closes the file.
func (f *MemberFile) Close() error { return f.large.File.Close() }
