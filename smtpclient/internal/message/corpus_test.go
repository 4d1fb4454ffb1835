package message

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
)

// The corpus is mail that nobody here wrote: the test data of Debian's
// libpython3.11-testsuite and of the Go modules of other mail programs, which
// are fetched as any module is, and used by no product.
const pythonTests = "/usr/lib/python3.11/test/test_email"

var corpusModules = []string{
	"github.com/jhillyerd/enmime/v2@v2.3.0",
	"github.com/emersion/go-message@v0.18.2",
	"github.com/ProtonMail/gluon@v0.17.1-0.20230724134000-308be39be96e",
	"github.com/wneessen/go-mail@v0.8.1",
}

// fewest is how many messages the corpus must have to prove anything.
const fewest = 300

// An oracleMail is a message as Python's email package reads it.
type oracleMail struct {
	Name, File, Subject, Error string
	Parts                      []oraclePart
	Defects                    []string
}

type oraclePart struct {
	Path, Type, Name, CTE, SHA, Loose, Subject string
	Size                                       int64
}

// corpus returns the messages, each with what Python reads and its bytes.
func corpus(t *testing.T) ([]oracleMail, func(oracleMail) []byte) {
	t.Helper()
	if testing.Short() {
		t.Skip("the corpus takes a while")
	}
	missing := func(format string, args ...any) {
		t.Helper()
		if os.Getenv("TOPDOWN_REQUIRE_REAL") == "1" {
			t.Fatalf(format, args...)
		}
		t.Skipf(format, args...)
	}
	const python = "/usr/bin/python3"
	if _, err := os.Stat(pythonTests); err != nil {
		missing("libpython3.11-testsuite is not installed: %v", err)
	}
	dir := t.TempDir()
	args := []string{filepath.Join("testdata", "oracle.py"), "--keep", dir, pythonTests}
	for _, module := range corpusModules {
		cmd := exec.Command("go", "mod", "download", "-json", module)
		cmd.Dir = dir // no go.mod here: nothing is added to ours
		cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
		out, err := cmd.Output()
		var info struct{ Dir string }
		if err != nil || json.Unmarshal(out, &info) != nil {
			missing("%s cannot be fetched: %v %s", module, err, out)
		}
		args = append(args, info.Dir)
	}
	cmd := exec.Command(python, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	var mails []oracleMail
	decoder := json.NewDecoder(bytes.NewReader(out))
	for decoder.More() {
		var m oracleMail
		if err := decoder.Decode(&m); err != nil {
			t.Fatal(err)
		}
		mails = append(mails, m)
	}
	if len(mails) < fewest {
		t.Fatalf("only %d messages", len(mails))
	}
	return mails, func(m oracleMail) []byte {
		data, err := os.ReadFile(filepath.Join(dir, m.File))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
}

var lineEndSpace = regexp.MustCompile(`[ \t]+\n`)

// readAsOracle reads a message in the oracle's form.
func readAsOracle(data []byte) (m oracleMail, err error) {
	var visitor *Visitor
	visitor = &Visitor{
		Head: func(h Header) error { m.Subject = h.Text("Subject"); return nil },
		Part: func(p *Part) error {
			part := oraclePart{Path: p.Path, Type: p.Type, Name: p.Filename}
			if p.IsMessage() {
				at := len(m.Parts)
				m.Parts = append(m.Parts, part)
				inner := *visitor
				inner.Head = func(h Header) error { m.Parts[at].Subject = h.Text("Subject"); return nil }
				return p.Read(&inner)
			}
			content, err := io.ReadAll(p.Body)
			content = bytes.ReplaceAll(content, []byte("\r\n"), []byte("\n"))
			sum := sha256.Sum256(content)
			part.SHA = hex.EncodeToString(sum[:])
			sum = sha256.Sum256(bytes.TrimRight(lineEndSpace.ReplaceAll(content, []byte("\n")), " \t\r\n\f\v"))
			part.Loose = hex.EncodeToString(sum[:])
			part.Size = int64(len(content))
			m.Parts = append(m.Parts, part)
			return err
		},
	}
	return m, visitor.Read(bytes.NewReader(data))
}

func squeeze(s string) string { return strings.Join(strings.Fields(s), " ") }

// difference says where two readings differ, or nothing.
func difference(python, ours oracleMail) string {
	if squeeze(python.Subject) != squeeze(ours.Subject) {
		return fmt.Sprintf("subject: Python %q, we %q", python.Subject, ours.Subject)
	}
	tree := func(m oracleMail) string {
		var b strings.Builder
		for _, p := range m.Parts {
			kind := p.Type
			if strings.HasPrefix(kind, "multipart/") {
				kind = "text/plain" // a multipart without parts: both have its text
			}
			fmt.Fprintf(&b, " %s:%s", p.Path, kind)
		}
		return b.String()
	}
	if tree(python) != tree(ours) {
		return fmt.Sprintf("parts: Python%s, we%s", tree(python), tree(ours))
	}
	for i, want := range python.Parts {
		got := ours.Parts[i]
		switch {
		case squeeze(want.Name) != squeeze(got.Name):
			return fmt.Sprintf("part %s: its name: Python %q, we %q", want.Path, want.Name, got.Name)
		case squeeze(want.Subject) != squeeze(got.Subject):
			return fmt.Sprintf("part %s: its subject: Python %q, we %q", want.Path, want.Subject, got.Subject)
		case want.SHA == "" || got.SHA == "": // a container
		case want.SHA != got.SHA && (want.CTE != "quoted-printable" || want.Loose != got.Loose):
			// Quoted-printable: spaces at line ends do not count (RFC 2045
			// section 6.7 rule 3), which Python keeps.
			return fmt.Sprintf("part %s (%s, %s): Python reads %d bytes, we %d", want.Path, want.Type, want.CTE, want.Size, got.Size)
		}
	}
	return ""
}

// TestCorpus compares our reading with Python's.
func TestCorpus(t *testing.T) {
	t.Parallel()
	mails, bytesOf := corpus(t)
	same, differ, worse := 0, 0, 0
	for _, want := range mails {
		got, err := readAsOracle(bytesOf(want))
		if err != nil {
			t.Errorf("%s: %v", want.Name, err)
		}
		diff := difference(want, got)
		if diff == "" {
			same++
			continue
		}
		why, known := right[want.Name]
		if !known {
			worse++
			t.Logf("%s: %s (Python's defects: %v)", want.Name, diff, want.Defects)
			continue
		}
		differ++
		t.Logf("%s: %s\n\twe are right: %s", want.Name, diff, why)
	}
	t.Logf("%d messages: %d read the same, %d differ and are right, %d not", len(mails), same, differ, worse)
	if worse*100 > len(mails) {
		t.Errorf("Python is right and we are not in %d of %d messages", worse, len(mails))
	}
}

// right says of each message that we read otherwise than Python why ours is the
// better reading.
var right = map[string]string{
	"msg_15.txt":                             "an inner multipart has the boundary of the outer: its parts are those up to the first end",
	"msg_39.txt":                             "the same, several times",
	"test_defect_handling.py#2":              "the same",
	"msg_42.txt":                             "an end without a beginning is text: Python drops it",
	"test_defect_handling.py#8":              "the same",
	"test_defect_handling.py#16":             "base64 that is cut off gives what there is: Python leaves it undecoded",
	"extra-base64-character.raw":             "the same",
	"eml_test.go#19":                         "the same, with other characters between (RFC 2045 section 6.8 ignores those)",
	"test_defect_handling.py#18":             "a line end belongs to a delimiter only if there is one",
	"badboundary.raw":                        "the same",
	"test_policy.py#86":                      "a comma for the semicolon before the boundary is understood",
	"eml_test.go#5":                          "an @ for the semicolon is understood",
	"bad-header-wrap.raw":                    "a parameter at the start of its line belongs to the field before",
	"example_test.go#2":                      "the same",
	"eml_test.go#21":                         "a broken Content-Type does not end the header",
	"eml_test.go#23":                         "the same",
	"mime-bad-content-transfer-encoding.raw": "text that is no base64 stays as it is, line ends too",
	"eml_test.go#7":                          "text that is no base64 stays as it is",
	"eml_test.go#8":                          "the same",
	"mime-bad-content-type.raw":              "a type without semicolon is no type with a name in it",
	"mime-blank-media-name.raw":              "the same",
	"structure_test.go#2":                    "a type that is none means text (RFC 2045 section 5.2)",
}

// TestCorpusDamaged cuts and changes each message (outside of CI every sixth):
// nothing but clean results, in bounded memory.
func TestCorpusDamaged(t *testing.T) {
	t.Parallel()
	mails, bytesOf := corpus(t)
	random := rand.New(rand.NewPCG(1, 2))
	var peak uint64
	for n, m := range mails {
		if n%6 != 0 && os.Getenv("TOPDOWN_LARGE") == "" {
			continue
		}
		data := bytesOf(m)
		if len(data) > 256<<10 {
			continue // the large one only takes long
		}
		read := func(what string, data []byte) {
			start := time.Now()
			visitor := &Visitor{Part: func(p *Part) error {
				_, err := io.Copy(io.Discard, p.Text())
				_ = SafeName(p)
				return err
			}}
			if err := visitor.Read(bytes.NewReader(data)); err != nil {
				t.Errorf("%s %s: %v", m.Name, what, err)
			}
			if _, err := PlainText(bytes.NewReader(data)); err != nil {
				t.Errorf("%s %s as HTML: %v", m.Name, what, err)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("%s %s took %v", m.Name, what, took)
			}
		}
		for i := range 20 {
			read(fmt.Sprintf("cut at %d", i), data[:len(data)*i/20])
		}
		changed := bytes.Clone(data)
		for range 20 {
			if len(changed) > 0 {
				changed[random.IntN(len(changed))] = byte(random.IntN(256))
			}
		}
		read("changed", changed)
		if n%30 == 0 {
			var stats runtime.MemStats
			runtime.ReadMemStats(&stats)
			peak = max(peak, stats.HeapSys)
		}
	}
	t.Logf("heap of at most %d MiB", peak>>20)
	if peak > 64<<20 {
		t.Errorf("%d bytes of heap", peak)
	}
}
