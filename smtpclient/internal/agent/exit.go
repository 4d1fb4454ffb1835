package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"

	"topdown/smtpclient/internal/account"
	"topdown/smtpclient/internal/message"
	"topdown/smtpclient/internal/pop3"
	"topdown/smtpclient/internal/smtp"
	"topdown/smtpclient/internal/wire"
)

// The exit codes: those of BSD's sysexits.h where one fits, and two of our own.
const (
	ExitOK          = 0
	ExitFailed      = 1   // roundtrip: what came back differs
	ExitUsage       = 64  // EX_USAGE: the command line is wrong
	ExitData        = 65  // EX_DATAERR: the message or list cannot be sent as it is
	ExitNoInput     = 66  // EX_NOINPUT: a file, or a message in the mailbox, is not there
	ExitNoHost      = 68  // EX_NOHOST: the server's name is unknown
	ExitRefused     = 69  // EX_UNAVAILABLE: refused for good (5xx)
	ExitInternal    = 70  // EX_SOFTWARE
	ExitCantCreate  = 73  // EX_CANTCREAT: an output file cannot be made
	ExitTemporary   = 75  // EX_TEMPFAIL: try again later (4xx, no connection)
	ExitProtocol    = 76  // EX_PROTOCOL: what the server says is not the protocol, or TLS failed
	ExitAuth        = 77  // EX_NOPERM: authentication failed or is not safe
	ExitConfig      = 78  // EX_CONFIG: the accounts file
	ExitPartial     = 79  // some recipients were refused, the others have the mail
	ExitUncertain   = 80  // the mail may have been delivered: do not send it again blindly
	ExitInterrupted = 130 // Ctrl-C
)

// A CodeError is an error with the exit code that belongs to it.
type CodeError struct {
	Code int
	Err  error
}

func (e *CodeError) Error() string { return e.Err.Error() }
func (e *CodeError) Unwrap() error { return e.Err }

func fail(code int, format string, args ...any) error {
	return &CodeError{code, fmt.Errorf(format, args...)}
}

// Usage makes an error about the command line.
func Usage(format string, args ...any) error { return fail(ExitUsage, format, args...) }

// ExitCode says how the program ends after err.
func ExitCode(err error) int {
	if err == nil {
		return ExitOK
	}
	if coded, ok := errors.AsType[*CodeError](err); ok {
		return coded.Code
	}
	if _, ok := errors.AsType[*smtp.UncertainError](err); ok {
		return ExitUncertain
	}
	if wrong, ok := errors.AsType[*smtp.ReplyError](err); ok && wrong.Reply.Temporary() {
		return ExitTemporary
	}
	if refused, ok := errors.AsType[*pop3.Error](err); ok {
		switch refused.Code() {
		case "IN-USE", "SYS/TEMP", "LOGIN-DELAY":
			return ExitTemporary
		}
	}
	if _, ok := errors.AsType[*wire.AuthError](err); ok {
		if errors.Is(err, wire.ErrTimeout) || errors.Is(err, wire.ErrClosed) {
			return ExitTemporary
		}
		return ExitAuth
	}
	if _, ok := errors.AsType[*wire.TLSError](err); ok {
		return ExitProtocol
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		if dns.IsNotFound {
			return ExitNoHost
		}
		return ExitTemporary
	}
	_, source := errors.AsType[*smtp.SourceError](err)
	_, replied := errors.AsType[*smtp.ReplyError](err)
	_, unfit := errors.AsType[*smtp.UnsupportedError](err)
	_, denied := errors.AsType[*pop3.Error](err)
	_, lost := errors.AsType[*net.OpError](err)
	switch {
	case errors.Is(err, context.Canceled):
		return ExitInterrupted
	case source, errors.Is(err, message.ErrFormat), errors.Is(err, message.ErrTooComplex):
		return ExitData
	case errors.Is(err, account.ErrNoPassword):
		return ExitAuth
	case replied, unfit, denied, errors.Is(err, smtp.ErrNullMX):
		return ExitRefused
	case errors.Is(err, smtp.ErrProtocol), errors.Is(err, pop3.ErrProtocol), errors.Is(err, wire.ErrInjected), errors.Is(err, wire.ErrNoTLS):
		return ExitProtocol
	case errors.Is(err, wire.ErrTimeout), errors.Is(err, wire.ErrClosed), lost:
		return ExitTemporary
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return ExitNoInput
	}
	return ExitInternal
}
