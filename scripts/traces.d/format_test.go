// Package traces holds the traces of all labs against the one description of their
// format, which stands in README.md: each lab has a writer of its own.
package traces

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var labs = []string{"webserver", "proxyserver", "smtpclient", "udppinger", "udppingserver"}

// format is what README.md says: the names that an event may have, and the words that
// some of them may hold.
type format struct {
	version string
	names   []string
	needed  []string
	words   map[string][]string // by name: what, fate, transport, and "state", the text of one
}

var (
	row    = regexp.MustCompile("(?m)^\\| (`[^|]+`) \\| (.+) \\|$")
	quoted = regexp.MustCompile("`([^`]+)`")
)

func describe(t *testing.T) *format {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(readme), "\n## The trace format\n")
	if !found {
		t.Fatal("README.md has no part on the trace format")
	}
	text, _, _ = strings.Cut(text, "\n## ")
	version := regexp.MustCompile(`A trace, version (\d+),`).FindStringSubmatch(text)
	if version == nil {
		t.Fatal("README.md tells no version")
	}
	f := &format{version: version[1], words: map[string][]string{}}
	for _, cells := range row.FindAllStringSubmatch(text, -1) {
		names, holds := words(cells[1]), cells[2]
		f.names = append(f.names, names...)
		if strings.HasSuffix(holds, "(needed)") || strings.Contains(holds, "(needed),") {
			f.needed = append(f.needed, names[0])
		}
		switch names[0] {
		case "what":
			kinds, states, _ := strings.Cut(holds, "with the `text`")
			f.words["what"], f.words["state"] = words(kinds), words(states)
		case "fate", "transport":
			f.words[names[0]] = words(holds)
		}
	}
	f.words["what"] = slices.DeleteFunc(f.words["what"], func(word string) bool { return word == "text" })
	for name, count := range map[string]int{"what": 6, "state": 5, "fate": 12, "transport": 2} {
		if len(f.words[name]) < count {
			t.Errorf("README.md describes %d words of %s: %v", len(f.words[name]), name, f.words[name])
		}
	}
	if !slices.Equal(f.needed, []string{"time", "conversation", "from", "what"}) {
		t.Errorf("README.md says that %v are needed", f.needed)
	}
	return f
}

func words(text string) (list []string) {
	for _, m := range quoted.FindAllStringSubmatch(text, -1) {
		list = append(list, m[1])
	}
	return list
}

// TestRecorded: the recorded traces are what the description says, line by line, and
// hold each lab's events that the viewer is to show. TOPDOWN_TRACES names a directory
// of others to look at.
func TestRecorded(t *testing.T) {
	f, directory := describe(t), "../../webserver/www"
	if d := os.Getenv("TOPDOWN_TRACES"); d != "" {
		directory = d
	}
	want := map[string][]string{ // lab: what its trace must have
		"webserver":     {`"what":"decision"`, `"rfc":9110`, `"step":"7 open"`, `image.png`},
		"udppinger":     {`"what":"timer"`, `"fate":"lost"`, `"fate":"late"`, `"fate":"duplicate"`, `"fate":"reordered"`},
		"udppingserver": {`"what":"datagram"`, `"fate":"lost"`},
		"smtpclient":    {`"text":"tls"`, `STARTTLS`, `RETR 1`},
		"proxyserver":   {`"fate":"miss"`, `"fate":"hit"`, `"rfc":9111`},
	}
	for _, lab := range labs {
		t.Run(lab, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(directory, lab+".ndjson"))
			if err != nil {
				t.Fatal(err)
			}
			for _, part := range want[lab] {
				if !bytes.Contains(text, []byte(part)) {
					t.Errorf("no %s", part)
				}
			}
			if !bytes.HasSuffix(text, []byte("}\n")) {
				t.Error("the last line is cut")
			}
			lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
			f.check(t, lab, lines)
			var header struct{ Start time.Time }
			if err := json.Unmarshal([]byte(lines[0]), &header); err != nil || header.Start.IsZero() {
				t.Errorf("no time of the start: %v", err)
			}
		})
	}
}

// TestGolden: each lab's own tests compare with a trace; it is as described, too. What
// changes from run to run is masked there.
func TestGolden(t *testing.T) {
	f := describe(t)
	for _, lab := range labs {
		t.Run(lab, func(t *testing.T) {
			found := 0
			for _, pattern := range []string{"testdata/*.ndjson", "testdata/script/*.txtar"} {
				files, err := filepath.Glob(filepath.Join("../..", lab, "e2e", pattern))
				if err != nil {
					t.Fatal(err)
				}
				for _, file := range files {
					text, err := os.ReadFile(file)
					if err != nil {
						t.Fatal(err)
					}
					// A transcript holds other text before and after.
					var lines []string
					for line := range strings.Lines(string(text)) {
						line = strings.TrimSuffix(line, "\n")
						if strings.HasPrefix(line, `{"trace":`) || len(lines) > 0 && strings.HasPrefix(line, "{") {
							lines = append(lines, strings.ReplaceAll(line, `"size":SIZE`, `"size":1`))
						}
					}
					if len(lines) > 0 {
						found++
						f.check(t, lab, lines)
					}
				}
			}
			if found == 0 {
				t.Errorf("%s/e2e/testdata has no trace", lab)
			}
		})
	}
}

var (
	text    = regexp.MustCompile(`^([ -\[\]-~]|\\([\\rnt]|x[0-9a-f]{2}))*$`)
	section = regexp.MustCompile(`^\d+(\.\d+)*$`)
	line    = regexp.MustCompile(`^\w+\.go:(\d+|LINE|#)$`)
)

// check holds the lines of a trace against the description.
func (f *format) check(t *testing.T, lab string, lines []string) {
	t.Helper()
	var header struct {
		Trace   string
		Version json.Number
		Lab, At string
	}
	if err := json.Unmarshal([]byte(lines[0]), &header); err != nil || header.Trace != "topdown" || header.Version.String() != f.version || header.Lab != lab {
		t.Errorf("the first line is %s (%v)", lines[0], err)
	}
	parties := map[string]bool{}
	for _, line := range lines[1:] {
		if strings.HasPrefix(line, `{"trace":`) { // another trace in the same file
			continue
		}
		e := map[string]any{}
		d := json.NewDecoder(strings.NewReader(line))
		if err := d.Decode(&e); err != nil {
			t.Errorf("%v: %s", err, line)
			continue
		}
		if _, err := d.Token(); err != io.EOF {
			t.Errorf("more than an object: %s", line)
		}
		if problem := f.problem(e); problem != "" {
			t.Errorf("%s: %s", problem, line)
		}
		from, _ := e["from"].(string)
		parties[from] = true
	}
	if !parties[header.At] {
		t.Errorf("the one who writes, %q, takes no part", header.At)
	}
}

// problem says how an event is not as described, "" if it is.
func (f *format) problem(e map[string]any) string {
	is := func(name string) string { s, _ := e[name].(string); return s }
	for name, value := range e {
		switch _, number := value.(float64); {
		case !slices.Contains(f.names, name):
			return name + " is not described"
		case number != (name == "time" || name == "size" || name == "rfc"):
			return name + " holds another kind of value"
		}
	}
	for _, name := range f.needed {
		if _, ok := e[name]; !ok || name != "time" && is(name) == "" {
			return name + " is missing"
		}
	}
	for _, name := range []string{"what", "fate", "transport"} {
		if word := is(name); word != "" && !slices.Contains(f.words[name], word) {
			return name + " " + word + " is not described"
		}
	}
	switch what := is("what"); {
	case (what == "line" || what == "bytes" || what == "datagram") && (is("to") == "" || is("to") == is("from")):
		return "a message to nobody"
	case what == "state" && !slices.Contains(f.words["state"], is("text")):
		return "an unknown state"
	case what != "decision" && what != "timer" && !text.MatchString(is("text")):
		return "text with other than printable ASCII and escapes"
	}
	at, _ := e["time"].(float64)
	size, sized := e["size"].(float64)
	_, rfc := e["rfc"]
	switch {
	case at < 0 || sized && size <= 0:
		return "a time or size below nothing"
	case is("section") != "" && (!rfc || !section.MatchString(is("section"))):
		return "no section of an RFC"
	case (is("source") == "") != (is("destination") == ""):
		return "half an address"
	case is("func") != "" && !line.MatchString(is("file")):
		return "no file and line"
	}
	return ""
}
