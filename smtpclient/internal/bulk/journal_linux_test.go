package bulk

import (
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
)

// Where the disk is full in the middle of a record, the records that other
// connections write later are still those of a journal.
func TestJournalDiskFull(t *testing.T) {
	signal.Ignore(syscall.SIGXFSZ)
	path := filepath.Join(t.TempDir(), "journal")
	j, err := OpenJournal(path, "f", 3)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Start(1, "id1"); err != nil {
		t.Fatal(err)
	}
	info, err := j.file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: uint64(info.Size()) + 5, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	full := j.Start(2, "id2")
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	if full == nil {
		t.Fatal("a record beyond the limit was written")
	}
	if j.State(2) != Open {
		t.Error("a mail whose start could not be noted counts as started")
	}
	if err := j.Finish(1, Sent, ""); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if j, err = OpenJournal(path, "f", 3); err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if j.State(1) != Sent || j.State(2) != Open {
		t.Errorf("rows 1 and 2 are %d and %d", j.State(1), j.State(2))
	}
}
