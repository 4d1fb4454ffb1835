// Package submission is what is graded: a folder of files, a command line with
// {placeholders}, and what the checks do with them: start the program, stop it,
// fill in ports and files.
package submission

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"topdown/scripts/grade/internal/sandbox"
	"topdown/scripts/grade/internal/transcript"
)

// A Spec says what is graded and how. It goes to the worker as JSON.
type Spec struct {
	Lab       string
	Name      string            // for the report
	Dir       string            // the submission's files; they are copied
	Command   string            // how to run it
	Also      map[string]string // commands of bonus checks, by name
	Compile   string            // run once before
	Addr      string            // a server that runs elsewhere, instead of Command
	FixedPort int               // the port that the program has built in, 0 if none
	Seed      uint64
	Timeout   time.Duration // how long an answer may take
	Loss      []float64     // the shares of loss that the ping server may have
	Rubric    string        // TOML text
	Only      []string
	Stage     int

	Transcripts bool // of what passed, too
}

// A Submission is a Spec at work.
type Submission struct {
	Spec

	Box  *sandbox.Box
	Work string // where its files are, and where it runs
	Rand *rand.Rand

	taken []net.PacketConn // what holds the ports that FreePort gave
}

// New copies the files and compiles them. The error of a compiler is for the
// student.
func New(ctx context.Context, spec Spec, box *sandbox.Box) (*Submission, error) {
	s := &Submission{
		Spec: spec, Box: box, Work: filepath.Join(box.Scratch, "work"),
		Rand: rand.New(rand.NewPCG(spec.Seed, 0)),
	}
	s.Timeout = Unhurried(s.Timeout)
	if err := os.MkdirAll(s.Work, 0o755); err != nil {
		return nil, err
	}
	if err := os.Mkdir(filepath.Join(box.Scratch, "tmp"), 0o755); err != nil {
		return nil, err
	}
	if spec.Dir != "" && spec.Addr == "" {
		if err := copyDir(s.Work, spec.Dir); err != nil {
			return nil, err
		}
	}
	if err := box.Own(box.Scratch); err != nil {
		return nil, err
	}
	if spec.Compile != "" {
		p, err := box.Start(sandbox.Command{Line: spec.Compile, Dir: s.Work, Env: s.environ(), Limits: sandbox.CompileLimits})
		if err != nil {
			return nil, err
		}
		select {
		case <-p.Done():
		case <-ctx.Done():
			p.Stop()
			return nil, fmt.Errorf("the compiler did not end in time: %s%s", spec.Compile, Printed(p.Output()))
		}
		if p.ExitCode() != 0 {
			return nil, fmt.Errorf("it does not compile: %s%s", spec.Compile, Printed(p.Output()))
		}
	}
	return s, nil
}

// Bounds of a submission's folder.
const (
	maxFiles = 5000
	maxBytes = 64 << 20
)

// errTooLarge is for a folder that holds more than a submission.
var errTooLarge = errors.New("it holds more than 64 MiB or 5,000 files; name the submission's own folder with --in")

// copyDir copies the files of from, without hidden ones and links.
func copyDir(to, from string) error {
	files, bytes := 0, int64(0)
	return filepath.WalkDir(from, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, name)
		if err != nil || rel == "." {
			return err
		}
		if strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules" || d.Name() == "__pycache__" {
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		target := filepath.Join(to, rel)
		if d.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		if !d.Type().IsRegular() {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if files, bytes = files+1, bytes+info.Size(); files > maxFiles || bytes > maxBytes {
			return fmt.Errorf("%s: %w", from, errTooLarge)
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		return os.WriteFile(target, data, info.Mode().Perm()|0o444)
	})
}

// environ is what the programs find: no more than they need, and nothing of the
// grader's.
func (s *Submission) environ() []string {
	env := []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + s.Work,
		"TMPDIR=" + filepath.Join(s.Box.Scratch, "tmp"),
		"LANG=C.UTF-8",
		"PYTHONUNBUFFERED=1", "PYTHONDONTWRITEBYTECODE=1",
	}
	for _, name := range []string{"JAVA_HOME", "SystemRoot", "GOROOT", "GOPROXY", "GOFLAGS"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// Has reports whether the command has the placeholder.
func (s *Submission) Has(name string) bool { return strings.Contains(s.Command, "{"+name+"}") }

// Line fills the placeholders of a command.
func Line(command string, vars map[string]string) string {
	for name, v := range vars {
		command = strings.ReplaceAll(command, "{"+name+"}", Quote(v))
	}
	return command
}

// Quote makes v one word of the shell.
func Quote(v string) string {
	if v != "" && strings.IndexFunc(v, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-", r)
	}) < 0 {
		return v
	}
	return "'" + strings.ReplaceAll(v, "'", `'\''`) + "'"
}

// Start runs a command line with the placeholders filled; env is added to the
// environment.
func (s *Submission) Start(command string, vars map[string]string, env ...string) (*sandbox.Process, error) {
	return s.Box.Start(sandbox.Command{
		Line: Line(command, vars), Dir: s.Work, Env: append(s.environ(), env...), Limits: sandbox.DefaultLimits,
	})
}

// Write writes a file of the grader's into the folder where the program runs, and
// returns its path.
func (s *Submission) Write(name string, data []byte) (string, error) {
	path := filepath.Join(s.Work, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		return "", err
	}
	return path, s.Box.Own(filepath.Dir(path))
}

// FreePort returns a port that nothing listens on, TCP nor UDP, or the program's
// own if it has one built in.
func (s *Submission) FreePort() int {
	if s.FixedPort != 0 {
		return s.FixedPort
	}
	return s.ClosedPort()
}

// ClosedPort returns a port that nothing listens on. The system gives it to nobody,
// as it is below those for port 0 and for outgoing connections, and another
// submission that is graded at the same time gets another.
func (s *Submission) ClosedPort() int {
	at := func(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
	for range 1000 {
		port := 20000 + rand.IntN(6000)
		// The sign for others that it is taken: the UDP port 6000 above, to the end of
		// this process.
		sign, err := net.ListenPacket("udp4", at(port+6000))
		if err != nil {
			continue
		}
		ln, tcpErr := net.Listen("tcp4", at(port))
		if tcpErr == nil {
			ln.Close()
		}
		pc, udpErr := net.ListenPacket("udp4", at(port))
		if udpErr == nil {
			pc.Close()
		}
		if tcpErr == nil && udpErr == nil {
			s.taken = append(s.taken, sign)
			return port
		}
		sign.Close()
	}
	return 0
}

// Text returns a word that nobody can guess, of n letters and digits.
func (s *Submission) Text(n int) string {
	const letters = "abcdefghijkmnpqrstuvwxyz23456789"
	b := make([]byte, n)
	for i := range b {
		b[i] = letters[s.Rand.IntN(len(letters))]
	}
	return string(b)
}

// Bytes returns n bytes of any value.
func (s *Submission) Bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(s.Rand.Uint32())
	}
	return b
}

// Patience is how long a program may take to start: 5 seconds, more on a machine
// that is busy.
func Patience() time.Duration { return Unhurried(5 * time.Second) }

// Unhurried makes a time longer, up to six times, as the machine is busy.
func Unhurried(d time.Duration) time.Duration {
	text, _ := os.ReadFile("/proc/loadavg")
	word, _, _ := strings.Cut(string(text), " ")
	load, err := strconv.ParseFloat(word, 64)
	if err != nil {
		return d
	}
	busy := load / float64(runtime.NumCPU())
	return time.Duration(min(max(1, busy), 6) * float64(d)).Round(d / 10)
}

// Printed formats the end of what a program printed, for a failure's text.
func Printed(output string) string {
	output = strings.TrimSpace(output)
	if output == "" {
		return "; it printed nothing"
	}
	lines := strings.Split(output, "\n")
	const most = 12
	if len(lines) > most {
		lines = lines[len(lines)-most:]
	}
	for i, line := range lines {
		lines[i] = transcript.Escape(strings.TrimRight(line, "\r"))
	}
	return "; it printed:\n    " + strings.Join(lines, "\n    ")
}
