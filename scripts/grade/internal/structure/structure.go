// Package structure compares how two programs are built: the sequences of words
// that both hold, as they stand and with every name taken for the same. It judges
// nothing.
package structure

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Run is the least number of words that count as a common sequence.
const Run = 8

// A File is a source file as words.
type File struct {
	Name  string
	words []string // as they stand, without comments
	kinds []string // with names, numbers and texts replaced
}

// maxSize is the largest file that is read, in bytes.
const maxSize = 1 << 20

var (
	comment = regexp.MustCompile(`(?s)/\*.*?\*/|//[^\n]*|(?m)^\s*#(?:[^i\n][^\n]*)?$|\s#\s[^\n]*`)
	word    = regexp.MustCompile("\"(?:[^\"\\\\\\n]|\\\\.)*\"|'(?:[^'\\\\\\n]|\\\\.)*'|[A-Za-z_][A-Za-z0-9_]*|[0-9][0-9.]*|[^\\s\\w]")
	keyword = regexp.MustCompile(`^(if|else|elif|for|while|do|return|break|continue|try|except|catch|finally|with|def|class|switch|case|struct|int|char|void|static|public|import|from|include|in|not|and|or|new|null|None|True|False)$`)
)

var sources = []string{".py", ".c", ".h", ".java", ".go", ".js", ".cpp", ".cc", ".rs"}

// Read reads the source files of a folder.
func Read(dir string) ([]File, error) {
	var files []File
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || !slices.Contains(sources, filepath.Ext(name)) {
			return err
		}
		info, err := d.Info()
		if err != nil || info.Size() > maxSize {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		files = append(files, parse(rel, string(text)))
		return err
	})
	return files, err
}

func parse(name, text string) File {
	f := File{Name: name}
	for _, w := range word.FindAllString(comment.ReplaceAllString(text, " "), -1) {
		kind := w
		switch c := w[0]; {
		case c == '"' || c == '\'':
			kind = "text"
		case c >= '0' && c <= '9':
			kind = "number"
		case keyword.MatchString(w):
		case c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
			kind = "name"
		}
		f.words, f.kinds = append(f.words, w), append(f.kinds, kind)
	}
	return f
}

// A Pair is how two files compare.
type Pair struct {
	Same    int    // percent of the smaller file's runs that are in the other, as they stand
	Renamed int    // the same with names, numbers and texts replaced
	Longest int    // words of the longest sequence in common, renamed
	Text    string // its beginning, as the first file has it
}

// Compare compares two files.
func Compare(a, b File) Pair {
	p := Pair{Same: common(a.words, b.words), Renamed: common(a.kinds, b.kinds)}
	at := 0
	p.Longest, at = longest(a.kinds, b.kinds)
	if p.Longest >= Run {
		p.Text = strings.Join(a.words[at:at+min(p.Longest, 24)], " ")
	}
	return p
}

// common returns the percentage of the runs of the smaller that the other has.
func common(a, b []string) int {
	if len(a) > len(b) {
		a, b = b, a
	}
	have := map[string]bool{}
	for i := 0; i+Run <= len(b); i++ {
		have[strings.Join(b[i:i+Run], "\x00")] = true
	}
	n, hits := 0, 0
	for i := 0; i+Run <= len(a); i++ {
		n++
		if have[strings.Join(a[i:i+Run], "\x00")] {
			hits++
		}
	}
	if n == 0 {
		return 0
	}
	return 100 * hits / n
}

// longest returns the length of the longest common sequence, and where it begins
// in a.
func longest(a, b []string) (length, at int) {
	row := make([]int, len(b)+1)
	for i := range a {
		for j, w := range slices.Backward(b) {
			if a[i] != w {
				row[j+1] = 0
				continue
			}
			row[j+1] = row[j] + 1
			if row[j+1] > length {
				length, at = row[j+1], i+1-row[j+1]
			}
		}
	}
	return length, at
}
