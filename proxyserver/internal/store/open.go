package store

import (
	"os"
	"runtime"
	"sync"
)

// openFiles holds files open that were sent lately, each once for all who send
// it: a hit of 100 KiB takes some 22 µs, of which to open the file and to close it
// were 7, and now are 1 (BenchmarkOpenFile). What is removed from disk is let go
// at once, so that it takes no room there unseen.
type openFiles struct {
	mu       sync.Mutex
	limit    int // of files held
	files    map[name]*openFile
	queue    *sieve[*openFile]
	removals int
}

// openFile is a file that many read at a time, wherever each is.
type openFile struct {
	*os.File
	in    *openFiles
	name  name
	node  int32 // in openFiles.queue
	users int   // those who opened it, and openFiles if it holds it; in.mu guards it
}

// maxOpen is how many files are held: the clients need descriptors as well.
const maxOpen = 64

func newOpenFiles() *openFiles {
	limit := maxOpen
	if runtime.GOOS == "windows" {
		limit = 0 // what is open cannot be removed there
	}
	return &openFiles{limit: limit, files: map[name]*openFile{}, queue: newSieve[*openFile](false)}
}

// open opens the file of that name in d.
func (o *openFiles) open(d *Disk, n name) (*openFile, error) {
	o.mu.Lock()
	f, removals := o.files[n], o.removals
	if f != nil {
		f.users++
		o.queue.use(f.node)
	}
	o.mu.Unlock()
	if f != nil {
		return f, nil
	}
	file, err := os.Open(d.path(n))
	if err != nil {
		return nil, err
	}
	f = &openFile{File: file, in: o, name: n, users: 1}
	var old *openFile
	o.mu.Lock()
	// What was removed since it was opened may be this one.
	if o.limit > 0 && o.removals == removals && o.files[n] == nil {
		if o.queue.count >= o.limit {
			old = *o.queue.get(o.queue.victim())
			o.unlist(old)
		}
		f.users++
		f.node = o.queue.add(f)
		o.files[n] = f
	}
	o.mu.Unlock()
	if old != nil {
		old.Close() //nolint:errcheck // only read from
	}
	return f, nil
}

// unlist lets nobody open f any more. mu is locked, and whoever calls closes f
// once it is not.
func (o *openFiles) unlist(f *openFile) {
	o.queue.remove(f.node)
	delete(o.files, f.name)
}

// remove lets go what was removed from disk.
func (o *openFiles) remove(files []file) {
	var gone []*openFile
	o.mu.Lock()
	o.removals++
	for _, at := range files {
		if f := o.files[at.name]; f != nil {
			o.unlist(f)
			gone = append(gone, f)
		}
	}
	o.mu.Unlock()
	for _, f := range gone {
		f.Close() //nolint:errcheck // only read from
	}
}

// close lets everything go, and holds nothing from then on.
func (o *openFiles) close() {
	o.mu.Lock()
	o.limit = 0
	held := o.files
	o.files, o.queue = map[name]*openFile{}, newSieve[*openFile](false)
	o.mu.Unlock()
	for _, f := range held {
		f.Close() //nolint:errcheck // only read from
	}
}

// Close closes the file when nobody else has it open.
func (f *openFile) Close() error {
	f.in.mu.Lock()
	f.users--
	last := f.users == 0
	f.in.mu.Unlock()
	if !last {
		return nil
	}
	return f.File.Close()
}
