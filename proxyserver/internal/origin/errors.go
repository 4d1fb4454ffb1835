package origin

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"

	"topdown/proxyserver/internal/exchange"
)

// What goes wrong on the way to an origin is told to clients in plain words:
// Go's own texts name resolvers, files and calls that are none of their
// business.

var errLate = errors.New("no answer within the time limit")

func lookupError(name string, err error) error {
	failure := &exchange.Error{
		Status: 502, Type: "dns_error", Step: "looking up the name " + name,
		Err: errors.New("the name server could not answer"),
	}
	dns, ok := errors.AsType[*net.DNSError](err)
	switch {
	case ok && dns.IsTimeout, errors.Is(err, context.DeadlineExceeded):
		failure.Status, failure.Type, failure.Err = 504, "dns_timeout", errLate
	case ok && dns.IsNotFound:
		failure.Err = errors.New("no such host")
	}
	return failure
}

func connectError(host string, err error) error {
	failure := &exchange.Error{
		Status: 502, Type: "destination_unavailable", Step: "connecting to " + host,
		Err: errors.New("the connection could not be made" + systemWords(err)),
	}
	netErr, ok := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, context.Canceled):
		failure.Status, failure.Type, failure.Err = 503, "proxy_internal_response", errors.New("the proxy is stopping")
	case ok && netErr.Timeout(), errors.Is(err, context.DeadlineExceeded):
		failure.Status, failure.Type, failure.Err = 504, "connection_timeout", errLate
	case errors.Is(err, syscall.ECONNREFUSED):
		failure.Type, failure.Err = "connection_refused", errors.New("connection refused: nothing listens there")
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		failure.Type, failure.Err = "destination_ip_unroutable", errors.New("there is no route to it")
	}
	return failure
}

// systemWords returns what the system says of an error, in brackets.
func systemWords(err error) string {
	if number, ok := errors.AsType[syscall.Errno](err); ok {
		return " (" + number.Error() + ")"
	}
	return ""
}

func secureError(name string, err error) error {
	failure := &exchange.Error{
		Status: 502, Type: "tls_protocol_error", Step: "agreeing on TLS with " + name,
		Err: errors.New("the other side broke off" + systemWords(err)),
	}
	bad, isCertificate := errors.AsType[*tls.CertificateVerificationError](err)
	_, isOther := errors.AsType[tls.RecordHeaderError](err)
	alert, isAlert := errors.AsType[tls.AlertError](err)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		failure.Status, failure.Type, failure.Err = 504, "connection_timeout", errLate
	case isCertificate:
		failure.Type, failure.Step, failure.Err = "tls_certificate_error", "checking the certificate of "+name, certificateError(name, bad)
	case isOther:
		failure.Err = errors.New("what answers there does not speak TLS")
	case isAlert:
		failure.Err = fmt.Errorf("it refused: %s", strings.TrimPrefix(alert.Error(), "tls: "))
	}
	return failure
}

func certificateError(name string, err *tls.CertificateVerificationError) error {
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return errors.New("it has expired or is not valid yet")
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return fmt.Errorf("it is not made out to %s", name)
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return errors.New("it is signed by an unknown authority (--ca-file FILE trusts another)")
	}
	return errors.New("it is not valid")
}
