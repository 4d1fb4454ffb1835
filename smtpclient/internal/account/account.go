// Package account says which server a mail goes through, who the user is, and
// where the password comes from: the environment, a file, a command or a
// prompt, never a command line that others can read in the process list.
//
// It refuses an accounts file that other users can read.
package account

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

// An Account is one section of the accounts file. Every field may be empty.
type Account struct {
	Server, TLS, User, Auth, From, CA, Helo string
	POP3, POP3TLS, POP3User                 string
	PasswordFile, PasswordCommand, Password string
}

// ErrMode is wrapped by the error for a file that other users can read.
var ErrMode = errors.New("other users can read it")

// Load reads one account of a file of sections:
//
//	[work]
//	server = smtp.example.com:587
//	user = alice@example.com
//	password-command = pass show mail
//
// Empty lines and lines that start with # or ; are skipped. The file must be
// readable by its owner alone.
func Load(path, name string) (*Account, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if runtime.GOOS != "windows" && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s: %w: run chmod 600 %s", path, ErrMode, path)
	}
	account := &Account{}
	fields := map[string]*string{
		"server": &account.Server, "tls": &account.TLS, "user": &account.User, "auth": &account.Auth,
		"from": &account.From, "ca": &account.CA, "helo": &account.Helo,
		"pop3": &account.POP3, "pop3-tls": &account.POP3TLS, "pop3-user": &account.POP3User,
		"password-file": &account.PasswordFile, "password-command": &account.PasswordCommand, "password": &account.Password,
	}
	var sections []string
	scanner := bufio.NewScanner(f)
	current, found := "", false
	for n := 1; scanner.Scan(); n++ {
		line := strings.TrimSpace(scanner.Text())
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		if section, ok := strings.CutPrefix(line, "["); ok {
			if current, ok = strings.CutSuffix(section, "]"); !ok {
				return nil, fmt.Errorf("%s: line %d: a section is written [name]", path, n)
			}
			sections = append(sections, current)
			found = found || current == name
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		key = strings.ToLower(strings.TrimSpace(key))
		field := fields[key]
		if !ok || field == nil {
			return nil, fmt.Errorf("%s: line %d: %q is no setting", path, n, key)
		}
		if current == name {
			*field = strings.TrimSpace(value)
		}
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if !found {
		slices.Sort(sections)
		return nil, fmt.Errorf("%s has no account %q; it has: %s", path, name, strings.Join(sections, ", "))
	}
	return account, nil
}

// A Secret is where a password comes from; the first that is set is used.
type Secret struct {
	Value   string // from the environment or the accounts file
	File    string // its first line
	Command string // the first line of its output, run by the shell
	// CommandIn and CommandErr are the command's, which may ask for a passphrase.
	CommandIn  io.Reader
	CommandErr io.Writer
	// Prompt asks the user, without echo. Nil: there is nobody to ask.
	Prompt func() (string, error)
}

// commandTimeout is how long a password command may take: long enough for
// somebody to unlock a key.
const commandTimeout = 2 * time.Minute

// ErrNoPassword says that there is no source of a password.
var ErrNoPassword = errors.New("no password: set SMTP_PASSWORD, or use --password-file or --password-command")

// Password gets the password.
func (s *Secret) Password(ctx context.Context) (string, error) {
	switch {
	case s.Value != "":
		return s.Value, nil
	case s.File != "":
		data, err := os.ReadFile(s.File)
		if err != nil {
			return "", err
		}
		return firstLine(data, "the password file "+s.File)
	case s.Command != "":
		limited, cancel := context.WithTimeout(ctx, commandTimeout)
		defer cancel()
		shell, option := "/bin/sh", "-c"
		if runtime.GOOS == "windows" {
			shell, option = "cmd", "/C"
		}
		cmd := exec.CommandContext(limited, shell, option, s.Command)
		cmd.Stdin, cmd.Stderr = s.CommandIn, s.CommandErr
		cmd.WaitDelay = time.Second // an agent that it left behind may hold its output open
		out, err := cmd.Output()
		if err != nil {
			return "", fmt.Errorf("password command: %w", err)
		}
		return firstLine(out, "the output of the password command")
	case s.Prompt != nil:
		return s.Prompt()
	}
	return "", ErrNoPassword
}

func firstLine(data []byte, what string) (string, error) {
	line, _, _ := bytes.Cut(data, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	if len(line) == 0 {
		return "", fmt.Errorf("the first line of %s is empty", what)
	}
	return string(line), nil
}
