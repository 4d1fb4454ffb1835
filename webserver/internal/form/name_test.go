package form

import (
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestSafeName(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"plain", "report.pdf", "report.pdf"},
		{"spaces inside", "my report.pdf", "my report.pdf"},
		{"other scripts", "计算机网络 Č.pdf", "计算机网络 Č.pdf"},
		{"dots inside", "a.tar.gz", "a.tar.gz"},
		{"empty", "", "upload"},
		{"dot", ".", "upload"},
		{"two dots", "..", "upload"},
		{"only spaces", "   ", "upload"},
		{"only controls", "\x00\x01\n", "upload"},
		{"climbing path", "../../etc/passwd", "passwd"},
		{"absolute path", "/etc/passwd", "passwd"},
		{"climbing path of Windows", `..\..\boot.ini`, "boot.ini"},
		{"drive", `C:\temp\x.txt`, "x.txt"},
		{"drive without a separator", "C:x.txt", "C_x.txt"},
		{"only a path", "dir/", "upload"},
		{"two dots at the end", "dir/..", "upload"},
		{"alternate stream", "x.txt:evil", "x.txt_evil"},
		{"dotfile", ".htaccess", "htaccess"},
		{"many dots", "...hidden", "hidden"},
		{"dot after a space", " .htaccess", "htaccess"},
		{"dot after a control", "\x00.htaccess", "htaccess"},
		{"our own temporary", ".upload-ABC.tmp", "upload-ABC.tmp"},
		{"dots and spaces at the end", "x.txt. . ", "x.txt"},
		{"option", "-rf", "_-rf"},
		{"NUL inside", "a.php\x00.txt", "a.php.txt"},
		{"line end", "a\r\nb.txt", "ab.txt"},
		{"escape sequence", "\x1b[31mred", "[31mred"},
		{"right-to-left override", "gpj\u202eexe", "gpjexe"},
		{"no-break space", "a\u00a0b", "a b"},
		{"zero width", "a\u200bb\ufeff", "ab"},
		{"not allowed on Windows", `a<b>"c|d?e*f`, "a_b__c_d_e_f"},
		{"not UTF-8", "a\xff\xfeb.txt", "a_b.txt"},
		{"device", "CON", "_CON"},
		{"device with an ending", "con.txt", "_con.txt"},
		{"device with two endings", "Aux.tar.gz", "_Aux.tar.gz"},
		{"device with two other endings", "CON.a.txt", "_CON.a.txt"},
		{"device and space", "nul .txt", "_nul .txt"},
		{"numbered device", "LPT1", "_LPT1"},
		{"superscript device", "com².log", "_com².log"},
		{"console", "conin$", "_conin$"},
		{"no device", "CONSOLE", "CONSOLE"},
		{"no numbered device", "COM10", "COM10"},
		{"device after a path", `a\PRN`, "_PRN"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := SafeName(tt.in); got != tt.want {
				t.Errorf("SafeName(%q) = %q, want %q", tt.in, got, tt.want)
			}
		})
	}
}

func TestSafeNameLength(t *testing.T) {
	tests := []struct{ name, in, suffix string }{
		{"long ASCII", strings.Repeat("a", 300) + ".txt", ".txt"},
		{"two-byte characters", strings.Repeat("č", 150) + ".txt", ".txt"},
		{"three-byte characters", strings.Repeat("网", 100), "网"},
		{"four-byte characters", strings.Repeat("😀", 75) + ".jpeg", ".jpeg"},
		{"long ending", "a." + strings.Repeat("b", 300), "b"},
		{"dots where it is cut", strings.Repeat("a.", 200) + "txt", ".txt"},
		{"long option", "-" + strings.Repeat("a", 300) + ".txt", ".txt"},
		{"longest option", "-" + strings.Repeat("a", 195) + ".txt", ".txt"},
		{"device after the cut", "CON" + strings.Repeat(" ", 300) + "x.txt", "_CON.txt"},
		{"spaces where it is cut", "a" + strings.Repeat(" ", 300) + ".txt", "a.txt"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := SafeName(tt.in)
			if len(got) > maxName || !utf8.ValidString(got) || !strings.HasSuffix(got, tt.suffix) {
				t.Errorf("SafeName = %q (%d bytes), want at most %d bytes of UTF-8 that end with %q", got, len(got), maxName, tt.suffix)
			}
		})
	}
}

func TestNumbered(t *testing.T) {
	for in, want := range map[string]string{
		"a.txt":                            "a-1.txt",
		"a":                                "a-1",
		"a.tar.gz":                         "a.tar-1.gz",
		"a." + strings.Repeat("b", maxExt): "a." + strings.Repeat("b", maxExt) + "-1",
	} {
		if got := numbered(in, "1"); got != want {
			t.Errorf("numbered(%q) = %q, want %q", in, got, want)
		}
	}
}

// FuzzSafeName: whatever the client says, the result is one visible path
// segment of bounded length, and is left alone when it comes by again.
func FuzzSafeName(f *testing.F) {
	for _, s := range []string{"", "a.txt", "../../etc/passwd", `C:\x`, "CON", "-rf", ".a", "a\x00b", "\xff", strings.Repeat("网", 100), strings.Repeat(". ", 200)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		name := SafeName(in)
		if name == "" || len(name) > maxName || !utf8.ValidString(name) || !filepath.IsLocal(name) {
			t.Fatalf("SafeName(%q) = %q", in, name)
		}
		if strings.ContainsAny(name, "/\\:\x00") || strings.ContainsFunc(name, unicode.IsControl) ||
			strings.HasPrefix(name, ".") || strings.HasPrefix(name, "-") || strings.TrimRight(name, ". ") != name || isDevice(name) {
			t.Errorf("SafeName(%q) = %q", in, name)
		}
		if again := SafeName(name); again != name {
			t.Errorf("SafeName(%q) = %q, and of that %q", in, name, again)
		}
	})
}
