package main

import (
	"encoding/csv"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A folder of submissions is graded, killed in the middle, and graded on.
func TestFolderGoesOnAfterAKill(t *testing.T) {
	unixOnly(t)
	const n = 24
	dir := filepath.Join(t.TempDir(), "handed-in")
	for i := range n {
		sub := filepath.Join(dir, fmt.Sprintf("student %02d", i))
		if err := os.MkdirAll(sub, 0o755); err != nil {
			t.Fatal(err)
		}
		script := "echo 'not yet written'; exit 1\n"
		if i == 3 {
			script = "sleep 2; exit 1\n" // one that holds up a worker
		}
		if err := os.WriteFile(filepath.Join(sub, "server.sh"), []byte(script), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	reports := filepath.Join(t.TempDir(), "reports")
	command := func() *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "webserver", "--dir", dir, "--pattern", "student*", "--reports", reports, "--cmd", "sh server.sh {port}", "--jobs", "4")
		cmd.Env = append(os.Environ(), "GRADE_RUN_MAIN=1")
		return cmd
	}
	done := func() (names []string) {
		files, _ := filepath.Glob(filepath.Join(reports, "*.json"))
		return files
	}
	first := command()
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	for begin := time.Now(); len(done()) < 5 && time.Since(begin) < time.Minute; time.Sleep(5 * time.Millisecond) {
	}
	_ = first.Process.Kill()
	_ = first.Wait()
	before := map[string]time.Time{}
	for _, file := range done() {
		if info, err := os.Stat(file); err == nil {
			before[file] = info.ModTime()
		}
	}
	if len(before) < 5 || len(before) == n {
		t.Fatalf("%d of %d were done when it was killed", len(before), n)
	}
	out, err := command().CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for file, at := range before {
		if info, err := os.Stat(file); err != nil || !info.ModTime().Equal(at) {
			t.Errorf("%s was graded again", file)
		}
	}
	f, err := os.Open(filepath.Join(reports, "grades.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || len(rows) != n+1 || rows[1][0] != "student 00" || rows[1][1] != "0" {
		t.Fatalf("%d rows, %v: %v", len(rows), err, rows)
	}
	text, err := os.ReadFile(filepath.Join(reports, "student 00.txt"))
	if err != nil || !strings.Contains(string(text), "not yet written") {
		t.Errorf("%v: the report does not say what the program printed:\n%s", err, text)
	}
	if _, err := os.Stat(filepath.Join(reports, "student 00.html")); err != nil {
		t.Error(err)
	}
}

// A submission of one file has the name that the student gave it, which a shell must
// take for one word, and which must not command the teacher's terminal.
func TestFolderOfFiles(t *testing.T) {
	unixOnly(t)
	dir, reports := t.TempDir(), t.TempDir()
	const name = "Ada's server\x1b[2J100 of 100; exit 0.sh"
	if err := os.WriteFile(filepath.Join(dir, name), []byte("echo 'not yet written'; exit 1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "webserver", "--dir", dir, "--reports", reports, "--cmd", "sh {submission} {port}", "--check", "start")
	cmd.Env = append(os.Environ(), "GRADE_RUN_MAIN=1")
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Contains(string(out), "\x1b") {
		t.Fatalf("%v\n%q", err, out)
	}
	files, err := filepath.Glob(filepath.Join(reports, "*.txt"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil || !strings.Contains(string(text), "not yet written") || strings.Contains(string(text), "\x1b") {
		t.Errorf("%v: the file was not run, or its name commands a terminal:\n%q", err, text)
	}
}
