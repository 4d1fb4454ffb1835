package form

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
)

// batch is the files of one request: all of them are stored, or none.
type batch struct {
	u     *Uploads
	size  usage     // reserved in u for this request
	temps []*upload // one per file of the form, in order
}

// upload is one file on its way into the store.
type upload struct {
	b    *batch
	file *os.File // nil once it is written
	temp string   // name while it is being received; empty if there is none
	name string   // name in the store; empty before commit
}

func (u *Uploads) begin() *batch { return &batch{u: u} }

// create starts the next file. It takes the place of io.Writer for its content
// until finish.
func (b *batch) create() (*upload, error) {
	one := usage{files: 1}
	if err := b.u.reserve(one); err != nil {
		return nil, err
	}
	b.size.add(one)
	temp := tempPrefix + rand.Text() + tempSuffix
	file, err := b.u.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, fmt.Errorf("store upload: %w", err)
	}
	f := &upload{b: b, file: file, temp: temp}
	b.temps = append(b.temps, f)
	return f, nil
}

// Write writes within the quotas.
func (f *upload) Write(p []byte) (int, error) {
	n := int64(len(p))
	if most := f.b.u.quota.PerRequest; most > 0 && n > most-f.b.size.bytes {
		return 0, tooLarge("the files of one request may have at most %d bytes in all", most)
	}
	more := usage{bytes: n}
	if err := f.b.u.reserve(more); err != nil {
		return 0, err
	}
	f.b.size.add(more)
	if _, err := f.file.Write(p); err != nil {
		return 0, fmt.Errorf("store upload: %w", err)
	}
	return len(p), nil
}

// finish ends the file that was created last, and drops it unless it is wanted.
func (b *batch) finish(wanted bool) error {
	f := b.temps[len(b.temps)-1]
	err := f.file.Close()
	f.file = nil
	if !wanted {
		err = errors.Join(err, f.remove())
		one := usage{files: 1}
		b.u.mu.Lock()
		b.u.pending.remove(one)
		b.u.mu.Unlock()
		b.size.remove(one)
	}
	if err != nil {
		return fmt.Errorf("store upload: %w", err)
	}
	return nil
}

// remove removes the temporary, if there is one.
func (f *upload) remove() error {
	if f.temp == "" {
		return nil
	}
	err := f.b.u.root.Remove(f.temp)
	f.temp = ""
	return err
}

// commit gives all files their names and notes them in files, which are the
// batch's, in order. If one fails the earlier ones are removed again.
func (b *batch) commit(files []File) error {
	b.u.naming.Lock()
	defer b.u.naming.Unlock()
	for i, f := range b.temps {
		if f.temp == "" {
			continue
		}
		if err := f.publish(SafeName(files[i].Name)); err != nil {
			for _, done := range b.temps[:i+1] {
				if done.name != "" {
					err = errors.Join(err, b.u.root.Remove(done.name))
				}
			}
			return fmt.Errorf("store upload: %w", err)
		}
		files[i].StoredAs = f.name
	}
	b.u.mu.Lock()
	defer b.u.mu.Unlock()
	b.u.stored.add(b.size)
	b.u.pending.remove(b.size)
	b.size = usage{}
	return nil
}

// end releases what was not committed.
func (b *batch) end() error {
	var errs []error
	for _, f := range b.temps {
		if f.file != nil {
			f.file.Close()
			f.file = nil
		}
		errs = append(errs, f.remove())
	}
	b.u.mu.Lock()
	b.u.pending.remove(b.size)
	b.u.mu.Unlock()
	b.size = usage{}
	return errors.Join(errs...)
}

// maxNumbered bounds how many names are remembered with their numbers.
const maxNumbered = 1024

// publish moves the temporary to the name or, where that is taken, to the name
// with a number: the one after the last that was given, so that a thousand equal
// names cost no more than a thousand others. The caller holds u.naming.
func (f *upload) publish(name string) error {
	const tries = 100
	next := f.b.u.next
	for i := range tries + 1 {
		number := next[name] + i
		candidate := name
		switch {
		case i == tries: // enough of counting
			candidate = numbered(name, rand.Text())
		case number > 0:
			candidate = numbered(name, strconv.Itoa(number))
		}
		err := f.moveTo(candidate)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err == nil && number > 0 && i < tries {
			if len(next) >= maxNumbered {
				clear(next)
			}
			next[name] = number + 1
		}
		return err
	}
	return fmt.Errorf("%s: %w", name, fs.ErrExist)
}

// moveTo renames the temporary, but never over another file: renaming would
// replace it silently, linking refuses. On a file system without links the name
// is taken first by creating it, which refuses too.
func (f *upload) moveTo(name string) error {
	root := f.b.u.root
	err := f.b.u.link(f.temp, name)
	if err == nil {
		f.name = name
		return f.remove()
	}
	if errors.Is(err, fs.ErrExist) {
		return err
	}
	placeholder, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	placeholder.Close()
	if err := root.Rename(f.temp, name); err != nil {
		return errors.Join(err, root.Remove(name))
	}
	f.name, f.temp = name, ""
	return nil
}
