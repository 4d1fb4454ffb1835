package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"topdown/smtpclient/internal/account"

	"golang.org/x/term"
)

// prompt returns a function that asks for a password on the terminal, without
// echo and at most once, or nil if there is no terminal.
func prompt(ctx context.Context, w io.Writer) func() (string, error) {
	terminal := os.Stdin
	if !term.IsTerminal(int(terminal.Fd())) {
		tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
		if err != nil {
			return nil
		}
		terminal = tty
	}
	answer := ""
	return func() (string, error) {
		if answer != "" {
			return answer, nil
		}
		fmt.Fprint(w, "Password: ")
		before, err := term.GetState(int(terminal.Fd()))
		if err != nil {
			return "", fmt.Errorf("read the password: %w", err)
		}
		typed := make(chan struct{})
		var password []byte
		go func() {
			defer close(typed)
			password, err = term.ReadPassword(int(terminal.Fd()))
		}()
		select {
		case <-typed:
		case <-ctx.Done(): // Ctrl-C: the terminal must echo again
			_ = term.Restore(int(terminal.Fd()), before) // the program is ending
			fmt.Fprintln(w)
			return "", ctx.Err()
		}
		fmt.Fprintln(w)
		if err != nil {
			return "", fmt.Errorf("read the password: %w", err)
		}
		answer = string(password)
		if answer == "" {
			return "", account.ErrNoPassword
		}
		return answer, nil
	}
}
