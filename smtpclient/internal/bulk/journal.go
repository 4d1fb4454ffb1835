package bulk

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
)

// State is what the journal knows about a row.
type State byte

// The states. A row that was started and has no outcome is Uncertain: the
// process ended while the mail was on its way.
const (
	Open State = iota
	Sent
	Refused
	Uncertain
)

// journalMagic is the first word of a journal and its format's version.
const journalMagic = "smtpclient-journal-1"

// The words of a record: "start 17 <message-id>", "sent 17", ...
var words = map[string]State{"start": Uncertain, "sent": Sent, "refused": Refused, "uncertain": Uncertain, "open": Open}

// A Journal records on disk, row by row, that a mail is about to leave and what
// became of it, each with one write that is over before the dialogue goes on.
// Killing the process at any moment therefore loses nothing: a row is either
// recorded, or not begun, or started without an outcome.
//
// It survives the end of the process. Against a power cut Sync makes each
// record wait for the disk.
type Journal struct {
	Sync bool
	// Gather lets the record of a sent mail wait for the next record of any
	// kind, which saves every other write of a fast run. If the process is
	// killed in between, the row counts as uncertain. It is for runs in which
	// the next record follows at once.
	Gather bool

	mu     sync.Mutex
	file   *os.File
	states []State
	ids    map[int]string // Message-IDs of the uncertain rows of earlier runs
	buf    []byte         // records not yet written
}

// ErrOtherRun says that a journal belongs to another list or another text.
var ErrOtherRun = errors.New("the journal belongs to another list or another mail: remove it to start anew, or name another with --journal")

// OpenJournal opens or creates the journal of a run with the given fingerprint
// and number of rows, and locks it against a second run.
func OpenJournal(path, fingerprint string, rows int) (*Journal, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	j := &Journal{file: f, states: make([]State, rows+1), ids: make(map[int]string)}
	if err := j.load(fingerprint); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return j, nil
}

func (j *Journal) load(fingerprint string) error {
	if err := lock(j.file); err != nil {
		return fmt.Errorf("another run uses this journal: %w", err)
	}
	r := bufio.NewReader(j.file)
	var whole int64 // bytes of complete records
	for n := 0; ; n++ {
		line, err := r.ReadString('\n')
		if errors.Is(err, io.EOF) {
			break // a torn last record says nothing: its write was not over
		}
		if err != nil {
			return err
		}
		whole += int64(len(line))
		if n == 0 {
			if magic, print, _ := strings.Cut(strings.TrimSpace(line), " "); magic != journalMagic {
				return errors.New("it is no journal of this program")
			} else if print != fingerprint {
				return ErrOtherRun
			}
			continue
		}
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		number, detail, _ := strings.Cut(rest, " ")
		row, err := strconv.Atoi(number)
		state, known := words[word]
		if err != nil || !known || row < 1 || row >= len(j.states) {
			return fmt.Errorf("line %d is no record", n+1)
		}
		j.states[row] = state
		switch {
		case word == "start":
			j.ids[row] = detail
		case state != Uncertain:
			delete(j.ids, row)
		}
	}
	if err := j.file.Truncate(whole); err != nil {
		return err
	}
	if whole == 0 {
		j.buf = append(j.buf, journalMagic+" "+fingerprint+"\n"...)
		return j.flush()
	}
	return nil
}

// Rows is the number of rows that the journal is for.
func (j *Journal) Rows() int { return len(j.states) - 1 }

// State returns what is known about a row, counted from 1.
func (j *Journal) State(row int) State {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.states[row]
}

// Uncertain returns the Message-IDs of the rows that earlier runs left
// uncertain, without angle brackets, and their numbers.
func (j *Journal) Uncertain() map[string]int {
	rows := make(map[string]int, len(j.ids))
	for row, id := range j.ids {
		rows[id] = row
	}
	return rows
}

// Count returns how many rows are in a state.
func (j *Journal) Count(state State) (n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, s := range j.states[1:] {
		if s == state {
			n++
		}
	}
	return n
}

// Start records that a mail is about to leave.
func (j *Journal) Start(row int, messageID string) error {
	return j.record("start", row, messageID)
}

// Finish records an outcome. Open means that nothing was delivered and the row
// may be tried again. The detail is for people.
func (j *Journal) Finish(row int, state State, detail string) error {
	word := [...]string{Open: "open", Sent: "sent", Refused: "refused", Uncertain: "uncertain"}[state]
	return j.record(word, row, detail)
}

func (j *Journal) record(word string, row int, detail string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	b := append(append(j.buf, word...), ' ')
	b = strconv.AppendInt(b, int64(row), 10)
	if detail != "" {
		b = append(append(b, ' '), strings.Map(oneLine, detail)...)
	}
	j.buf = append(b, '\n')
	if !j.Gather || j.Sync || word != "sent" {
		if err := j.flush(); err != nil {
			return err
		}
	}
	j.states[row] = words[word]
	return nil
}

// oneLine keeps a record on one line whatever a server answered.
func oneLine(r rune) rune {
	if r < ' ' {
		return ' '
	}
	return r
}

// flush writes all records with one write.
func (j *Journal) flush() error {
	if len(j.buf) == 0 {
		return nil
	}
	n, err := j.file.Write(j.buf)
	j.buf = j.buf[:0]
	if err != nil { // half a record would be the beginning of the next one
		end, _ := j.file.Seek(0, io.SeekEnd) // an error shows at the next step
		return fmt.Errorf("write the journal: %w", errors.Join(err, j.file.Truncate(end-int64(n))))
	}
	if j.Sync {
		return j.file.Sync()
	}
	return nil
}

// Close writes what waits and ends the journal's use; the file stays.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return errors.Join(j.flush(), j.file.Close())
}
