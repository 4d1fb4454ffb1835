package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
)

// scopesABI is the first whose kernels all leave the threads of one process their
// signals (see landlock(7), errata).
const scopesABI = 7

const childDir = "SANDBOX_TEST_DIR"

// TestMain lets the test program be its own child: what Restrict does cannot be
// undone.
func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		os.Exit(child(dir, os.Getenv("SANDBOX_TEST_PORT"), os.Getenv("SANDBOX_TEST_CONNECT") != ""))
	}
	os.Exit(m.Run())
}

// child restricts itself and tries what must work and what must not, on many
// threads. It prints what it got as "name: error" and the status first.
func child(dir, port string, connect bool) int {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	// Threads that exist before.
	var started, wait sync.WaitGroup
	release := make(chan struct{})
	results := make([]error, 8)
	for i := range results {
		started.Add(1)
		wait.Go(func() {
			started.Done()
			<-release
			_, results[i] = os.ReadFile(filepath.Join(dir, "outside", "file"))
		})
	}
	started.Wait()
	status, err := Restrict(Rules{
		ReadDirs:     []string{filepath.Join(dir, "root")},
		ReadFiles:    []string{filepath.Join(dir, "live", "cert")},
		WriteDirs:    []string{filepath.Join(dir, "uploads")},
		WriteFiles:   []string{filepath.Join(dir, "log", "access.log")},
		AllowConnect: connect,
	})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(status)
	close(release)
	wait.Wait()
	for i, err := range results {
		fmt.Printf("thread %d: %s\n", i, verdict(err))
	}
	tryFiles(dir)
	tryNet(ln, port)
	if data, err := os.ReadFile("/proc/thread-self/status"); err == nil {
		fmt.Println("no_new_privs: " + fmt.Sprint(bytes.Contains(data, []byte("NoNewPrivs:\t1"))))
	} else {
		fmt.Println("proc: " + verdict(err))
	}
	return 0
}

func tryFiles(dir string) {
	at := func(parts ...string) string { return filepath.Join(append([]string{dir}, parts...)...) }
	_, err := os.ReadFile(at("root", "sub", "file"))
	fmt.Println("read below the root: " + verdict(err))
	_, err = os.ReadDir(at("root"))
	fmt.Println("list the root: " + verdict(err))
	err = os.WriteFile(at("root", "file"), nil, 0o600)
	fmt.Println("write in the root: " + verdict(err))
	err = os.Remove(at("root", "sub", "file"))
	fmt.Println("remove in the root: " + verdict(err))
	_, err = os.ReadFile(at("outside", "file"))
	fmt.Println("read outside: " + verdict(err))
	_, err = os.ReadFile(at("root", "link"))
	fmt.Println("read outside through a link: " + verdict(err))
	err = exec.Command(at("root", "program")).Run()
	fmt.Println("run a program: " + verdict(err))
	err = os.WriteFile(at("uploads", ".tmp"), []byte("x"), 0o600)
	fmt.Println("upload: " + verdict(err))
	err = os.Rename(at("uploads", ".tmp"), at("uploads", "file"))
	fmt.Println("rename the upload: " + verdict(err))
	err = os.Remove(at("uploads", "file"))
	fmt.Println("remove the upload: " + verdict(err))
	// A renewal and a rotation, by another program, as far as this one goes.
	_, err = os.ReadFile(at("live", "cert"))
	fmt.Println("read the certificate behind its link: " + verdict(err))
	file, err := os.OpenFile(at("log", "access.log"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err == nil {
		file.Close()
	}
	fmt.Println("make a new log: " + verdict(err))
	// What shares a folder with these.
	_, err = os.ReadDir(at("live"))
	fmt.Println("list the folder of the certificate: " + verdict(err))
	_, err = os.ReadFile(at("log", "other"))
	fmt.Println("read beside the log: " + verdict(err))
	err = os.Remove(at("log", "other"))
	fmt.Println("remove beside the log: " + verdict(err))
	err = os.Truncate(at("log", "other"), 0)
	fmt.Println("cut off beside the log: " + verdict(err))
}

func tryNet(ln net.Listener, port string) {
	go func() {
		if conn, err := ln.Accept(); err == nil {
			conn.Close()
		}
	}()
	conn, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err == nil {
		conn.Close()
	}
	fmt.Println("connect: " + verdict(err))
	config := net.ListenConfig{}
	config.SetMultipathTCP(false) // which Landlock does not know
	other, err := config.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err == nil {
		other.Close()
	}
	fmt.Println("listen: " + verdict(err))
	conn, err = net.Dial("unix", os.Getenv("SANDBOX_TEST_SOCKET"))
	if err == nil {
		conn.Close()
	}
	fmt.Println("connect to another's abstract socket: " + verdict(err))
	fmt.Println("signal another process: " + verdict(syscall.Kill(os.Getppid(), 0)))
	fmt.Println("signal itself: " + verdict(syscall.Kill(os.Getpid(), 0)))
}

func verdict(err error) string {
	switch {
	case err == nil:
		return "allowed"
	case errors.Is(err, fs.ErrPermission):
		return "denied"
	}
	return err.Error()
}

// landlockABI returns the version of the kernel's Landlock, 0 for none.
func landlockABI() int {
	abi, err := ll.LandlockGetABIVersion()
	if err != nil {
		return 0
	}
	return abi
}

// tree makes the files that the child tries.
func tree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"root/sub/file", "outside/file", "archive/cert1", "uploads/old", "log/other"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("text"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "live"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "root", "program"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{"root/link": "../outside/file", "live/cert": "../archive/cert1"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// runChild returns the status line and the verdicts of a child.
func runChild(t *testing.T, env ...string) (status string, verdicts map[string]string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	abstract, err := net.Listen("unix", fmt.Sprintf("@webserver-sandbox-%d", os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	defer abstract.Close()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+tree(t), "SANDBOX_TEST_PORT="+port, "SANDBOX_TEST_SOCKET="+abstract.Addr().String())
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("child: %v\n%s", err, out)
	}
	status, rest, _ := strings.Cut(string(out), "\n")
	verdicts = map[string]string{}
	for line := range strings.Lines(rest) {
		name, verdict, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if !ok {
			t.Fatalf("child said %q", line)
		}
		verdicts[name] = verdict
	}
	return status, verdicts
}

func TestRestrict(t *testing.T) {
	abi := landlockABI()
	if abi == 0 {
		if os.Getenv("TOPDOWN_REQUIRE_REAL") == "1" {
			t.Fatal("this kernel has no Landlock, so the sandbox cannot be tried")
		}
		t.Skip("this kernel has no Landlock")
	}
	status, got := runChild(t)
	t.Log(status)
	if want := fmt.Sprintf("Landlock ABI %d: ", abi); !strings.HasPrefix(status, want) || !strings.Contains(status, "/root") {
		t.Errorf("status %q, want %q and the folders", status, want)
	}
	want := map[string]string{
		"read below the root": "allowed", "list the root": "allowed",
		"write in the root": "denied", "remove in the root": "denied",
		"read outside": "denied", "read outside through a link": "denied", "run a program": "denied",
		"upload": "allowed", "rename the upload": "allowed", "remove the upload": "allowed",
		"read the certificate behind its link": "allowed", "make a new log": "allowed",
		"list the folder of the certificate": "denied", "read beside the log": "denied", "remove beside the log": "denied",
		"proc": "denied",
	}
	for i := range 8 {
		want[fmt.Sprintf("thread %d", i)] = "denied"
	}
	if abi >= 3 { // the first that knows truncation
		want["cut off beside the log"] = "denied"
	}
	if abi >= netABI {
		want["connect"], want["listen"] = "denied", "denied"
	}
	if abi >= scopesABI {
		want["connect to another's abstract socket"], want["signal another process"], want["signal itself"] = "denied", "denied", "allowed"
	}
	for name, verdict := range want {
		if got[name] != verdict {
			t.Errorf("%s: %s, want %s", name, got[name], verdict)
		}
	}
}

func TestAllowConnect(t *testing.T) {
	if landlockABI() < netABI {
		t.Skip("this kernel cannot restrict the network")
	}
	_, got := runChild(t, "SANDBOX_TEST_CONNECT=1")
	if got["connect"] != "allowed" || got["listen"] != "denied" {
		t.Errorf("connect %s, listen %s; want allowed and denied", got["connect"], got["listen"])
	}
}

func TestRestrictErrors(t *testing.T) {
	if landlockABI() == 0 {
		t.Skip("this kernel has no Landlock")
	}
	missing := filepath.Join(t.TempDir(), "missing")
	if _, err := Restrict(Rules{ReadDirs: []string{missing}}); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), missing) {
		t.Errorf("%v, want one that names the folder", err)
	}
	// The rules were not applied: the folder that tests write to is there.
	if err := os.WriteFile(missing, nil, 0o600); err != nil {
		t.Error(err)
	}
}

// TestShared: the start says which folders are open for the sake of one file in them.
func TestShared(t *testing.T) {
	if landlockABI() == 0 {
		t.Skip("this kernel has no Landlock")
	}
	dir := tree(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	rules := Rules{ReadDirs: []string{at("root")}, ReadFiles: []string{at("live/cert")}, WriteFiles: []string{at("log/access.log")}}
	for _, step := range []struct {
		file string
		want []string
	}{
		{"log/other", []string{"files can be made and written to in " + at("log") + ", since access.log may be rotated"}},
		{"log/access.log.1.gz", nil},
		{"archive/key1", []string{"all of " + at("archive") + " stays readable, since cert1 may be replaced"}},
	} {
		if err := errors.Join(os.RemoveAll(at("log")), os.Mkdir(at("log"), 0o755), os.WriteFile(at(step.file), nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		if got := rules.Shared(); !slices.Equal(got, step.want) {
			t.Errorf("beside %s: %q, want %q", step.file, got, step.want)
		}
	}
}

func TestStatusNamesNothing(t *testing.T) {
	if got := list(nil); got != "nothing" {
		t.Errorf("list(nil) = %q", got)
	}
}
