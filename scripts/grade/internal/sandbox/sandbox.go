// Package sandbox runs somebody else's program so that it can neither harm the
// machine nor its own grade: a process group of its own that is ended by id, limits
// on CPU, memory, file sizes and processes, an output that is bounded, and, where
// the system can, an unprivileged user, a network with nothing but loopback, and a
// file system that is read-only but for a scratch folder.
//
// Three processes take part. The grader starts a worker for each submission (Enter
// is called in it), in namespaces of its own; the worker makes the checks and
// starts the submission's program through a launcher, which sets the limits and
// becomes the program. What the worker finds goes up a pipe that the program does
// not have, so nothing that the program prints or writes can raise its score; the
// worker's end is the end of everything that it started.
package sandbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"
)

// Limits bound one program.
type Limits struct {
	CPU       time.Duration // processor time
	Memory    int64         // bytes of private memory, of each process and of all together
	FileSize  int64         // bytes of a file that it writes
	Processes int           // processes and threads besides those that the user had
	Output    int64         // bytes that it may print before it is ended
}

// DefaultLimits are ample for a lab.
var DefaultLimits = Limits{
	CPU:       60 * time.Second,
	Memory:    2 << 30,
	FileSize:  64 << 20,
	Processes: 256,
	Output:    64 << 20,
}

// CompileLimits are for the compiler.
var CompileLimits = Limits{
	CPU:       300 * time.Second,
	Memory:    4 << 30,
	FileSize:  512 << 20,
	Processes: 512,
	Output:    64 << 20,
}

// A Command is a program to run.
type Command struct {
	Line   string // for the shell
	Dir    string
	Env    []string
	Limits Limits
}

// kept is how much of the output is kept for the checks, in bytes.
const kept = 1 << 20

// A Process is a program that runs, or ran.
type Process struct {
	Line    string
	Started time.Time

	cmd    *exec.Cmd
	done   chan struct{} // closed when it has ended and its output is read
	mu     sync.Mutex
	out    bytes.Buffer
	total  int64
	excess string // the limit that ended it
	ended  time.Time
	stop   func()
	read   chan struct{}
}

// launch is what the launcher is told.
type launch struct {
	Limits Limits
	Line   string
}

const (
	launcherArg = "__launch"
	// WorkerArg is the first argument of a worker.
	WorkerArg = "__worker"
)

// Start starts the command. A shell takes it apart.
func (b *Box) Start(c Command) (*Process, error) {
	spec, err := json.Marshal(launch{c.Limits, c.Line})
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	cmd := exec.Command(self(), launcherArg, string(spec))
	cmd.Dir, cmd.Env = c.Dir, c.Env
	cmd.Stdout, cmd.Stderr = w, w
	b.confine(cmd)
	p := &Process{Line: c.Line, Started: time.Now(), cmd: cmd, done: make(chan struct{}), read: make(chan struct{})}
	p.stop = func() { b.killGroup(cmd.Process) }
	if err := cmd.Start(); err != nil {
		r.Close()
		return nil, err
	}
	b.add(p)
	go p.drain(r, c.Limits.Output)
	go func() {
		_ = cmd.Wait()
		p.mu.Lock()
		p.ended = time.Now()
		p.mu.Unlock()
		// What it left behind in its group would keep the pipe open.
		b.killGroup(cmd.Process)
		select {
		case <-p.read:
		case <-time.After(time.Second):
			r.Close() // a child in a session of its own holds the pipe
			<-p.read
		}
		b.remove(p)
		close(p.done)
	}()
	return p, nil
}

// drain reads what the program prints: the first bytes are kept, the rest is
// thrown away so that the program does not block.
func (p *Process) drain(r *os.File, most int64) {
	defer close(p.read)
	defer r.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		p.mu.Lock()
		p.total += int64(n)
		if room := kept - p.out.Len(); room > 0 {
			p.out.Write(buf[:min(n, room)])
		}
		over := p.total > most && p.excess == ""
		if over {
			p.excess = fmt.Sprintf("it printed more than %d MiB and was ended", most>>20)
		}
		p.mu.Unlock()
		if over {
			p.stop()
		}
		if err != nil {
			return
		}
	}
}

// Output returns what the program has printed, on standard output and standard
// error, in order; at most the first MiB.
func (p *Process) Output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits for the end, at most for d, and reports whether it came.
func (p *Process) Wait(d time.Duration) bool {
	select {
	case <-p.done:
		return true
	case <-time.After(d):
		return false
	}
}

// Running reports whether the program still runs.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Stop ends the program and its process group, and waits until it has ended.
func (p *Process) Stop() {
	p.stop()
	<-p.done
}

// Lasted returns how long the program ran.
func (p *Process) Lasted() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended.IsZero() {
		return time.Since(p.Started)
	}
	return p.ended.Sub(p.Started)
}

// ExitCode returns the exit code, 128 plus the signal's number if a signal ended
// it, as a shell has it, and -1 if it still runs.
func (p *Process) ExitCode() int {
	if p.Running() {
		return -1
	}
	return exitCode(p.cmd.ProcessState)
}

// Excess returns the limit that ended the program, if one did.
func (p *Process) Excess() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.excess
}

func (p *Process) setExcess(why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.excess == "" {
		p.excess = why
	}
}

// Ending says in words how the program ended.
func (p *Process) Ending() string {
	if p.Running() {
		return "it still runs"
	}
	if why := p.Excess(); why != "" {
		return why
	}
	return describe(p.cmd.ProcessState)
}

// A Box is where the programs of one submission run.
type Box struct {
	// Scratch is the folder that programs may write to.
	Scratch string
	// Isolated is set when the network is the box's own.
	Isolated bool

	uid     int // 0: the grader's own user
	mu      sync.Mutex
	running map[*Process]bool
}

func (b *Box) add(p *Process) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running == nil {
		b.running = map[*Process]bool{}
	}
	b.running[p] = true
}

func (b *Box) remove(p *Process) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.running, p)
}

// Processes returns the programs that run.
func (b *Box) Processes() []*Process {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []*Process
	for p := range b.running {
		list = append(list, p)
	}
	return list
}

// Close ends everything.
func (b *Box) Close() {
	for _, p := range b.Processes() {
		p.Stop()
	}
	b.killRest()
}
