// Command smtpclient sends mail over a socket and proves that it arrived: the
// mail client lab. It is send, inbox and roundtrip, a test server for a first
// mail without an account, and a doctor for a domain's mail.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"topdown/smtpclient/internal/account"
	"topdown/smtpclient/internal/bulk"
	"topdown/smtpclient/internal/dkim"
	"topdown/smtpclient/internal/draft"
	"topdown/smtpclient/internal/mailbox"
	"topdown/smtpclient/internal/message"
	"topdown/smtpclient/internal/pop3"
	"topdown/smtpclient/internal/session"
	"topdown/smtpclient/internal/smtp"

	"golang.org/x/term"
)

// The exit codes: those of BSD's sysexits.h where one fits, and two of our own.
const (
	exitOK          = 0
	exitFailed      = 1   // roundtrip: what came back differs; doctor: something is wrong
	exitUsage       = 64  // EX_USAGE: the command line is wrong
	exitData        = 65  // EX_DATAERR: the message or list cannot be sent or read as it is
	exitNoInput     = 66  // EX_NOINPUT: a file, or a message in the mailbox, is not there
	exitNoHost      = 68  // EX_NOHOST: the server's name is unknown
	exitRefused     = 69  // EX_UNAVAILABLE: refused for good (5xx)
	exitInternal    = 70  // EX_SOFTWARE
	exitCantCreate  = 73  // EX_CANTCREAT: an output file cannot be made
	exitTemporary   = 75  // EX_TEMPFAIL: try again later (4xx, no connection)
	exitProtocol    = 76  // EX_PROTOCOL: what the server says is not the protocol, or TLS failed
	exitAuth        = 77  // EX_NOPERM: authentication failed or is not safe
	exitConfig      = 78  // EX_CONFIG: the accounts file, or a key that others can read
	exitPartial     = 79  // some recipients were refused, the others have the mail
	exitUncertain   = 80  // the mail may have been delivered: do not send it again blindly
	exitInterrupted = 130 // Ctrl-C
)

func main() {
	debug.SetGCPercent(300) // a mail is soon garbage, and there is never much of it
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	code := run(ctx, os.Args, os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the program without the process around it.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	p := &program{cfg: &config{command: name}, in: in, out: out, err: errOut, now: time.Now, random: rand.Reader, mask: &session.Mask{}}
	if f, ok := errOut.(*os.File); ok {
		p.terminal = term.IsTerminal(int(f.Fd()))
	}
	err := p.runCommand(ctx, args)
	if err == nil {
		return exitOK
	}
	code := exitCode(err)
	if ctx.Err() != nil && code != exitUncertain && code != exitPartial {
		code, err = exitInterrupted, errors.New("interrupted")
	}
	fmt.Fprintf(errOut, "%s: %s%s\n", name, p.safe(err.Error()), hint(err))
	if code == exitUsage {
		fmt.Fprintf(errOut, "Try '%s --help'.\n", p.cfg.command)
	}
	return code
}

// hint tells those who have no server yet that there is one to try.
func hint(err error) string {
	failed, ok := errors.AsType[*net.OpError](err)
	if !ok || !errors.Is(err, syscall.ECONNREFUSED) {
		return ""
	}
	if tcp, ok := failed.Addr.(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
		return ""
	}
	return " ('smtpclient testserver' runs a server for a first mail)"
}

// usageError is a mistake on the command line or in the environment.
type usageError struct{ error }

func usage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// A codeError is an error with the exit code that belongs to it.
type codeError struct {
	code int
	err  error
}

func (e *codeError) Error() string { return e.err.Error() }
func (e *codeError) Unwrap() error { return e.err }

func fail(code int, format string, args ...any) error {
	return &codeError{code, fmt.Errorf(format, args...)}
}

// exitCode says how the program ends after err.
func exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	if coded, ok := errors.AsType[*codeError](err); ok {
		return coded.code
	}
	is := func(targets ...error) bool {
		for _, target := range targets {
			if errors.Is(err, target) {
				return true
			}
		}
		return false
	}
	_, wrong := errors.AsType[usageError](err)
	_, mistaken := errors.AsType[*draft.UsageError](err)
	_, uncertain := errors.AsType[*smtp.UncertainError](err)
	reply, replied := errors.AsType[*smtp.ReplyError](err)
	refusal, refused := errors.AsType[*pop3.Error](err)
	_, auth := errors.AsType[*session.AuthError](err)
	_, insecure := errors.AsType[*session.TLSError](err)
	dns, unknown := errors.AsType[*net.DNSError](err)
	_, unread := errors.AsType[*smtp.SourceError](err)
	_, unfit := errors.AsType[*smtp.UnsupportedError](err)
	_, lost := errors.AsType[*net.OpError](err)
	gone := lost || is(session.ErrTimeout, session.ErrClosed)
	switch {
	case wrong, mistaken, is(mailbox.ErrName, session.ErrUnsafe):
		return exitUsage
	case uncertain:
		return exitUncertain
	case replied && reply.Reply.Temporary(), refused && refusal.Temporary(), auth && gone:
		return exitTemporary
	case auth, is(account.ErrNoPassword):
		return exitAuth
	case insecure, replied && reply.Reply.Positive(),
		is(smtp.ErrProtocol, pop3.ErrProtocol, session.ErrInjected, session.ErrNoTLS):
		return exitProtocol
	case unknown && dns.IsNotFound:
		return exitNoHost
	case unknown:
		return exitTemporary
	case is(context.Canceled):
		return exitInterrupted
	case is(mailbox.ErrOutput, draft.ErrTemporary):
		return exitCantCreate
	case is(dkim.ErrKey):
		return exitConfig
	case unread, is(message.ErrFormat, message.ErrTooComplex, bulk.ErrList, bulk.ErrOtherRun):
		return exitData
	case replied, unfit, refused, is(smtp.ErrNullMX):
		return exitRefused
	case gone:
		return exitTemporary
	case is(fs.ErrNotExist, fs.ErrPermission, mailbox.ErrNoMessage), isPath(err):
		return exitNoInput
	}
	return exitInternal
}

// isPath tells whether err is about a file.
func isPath(err error) bool {
	_, ok := errors.AsType[*fs.PathError](err)
	return ok
}
