package proxy

import (
	"errors"
	"time"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/exchange"
)

// policy is a request that the proxy does not carry out though it could.
func policy(status int, kind, step string, err error) error {
	return &exchange.Error{Status: status, Type: kind, Step: step, Err: err}
}

// badTarget is a request target that names nothing.
func badTarget(reason string) error {
	return &httpmsg.Error{Status: 400, Reason: reason}
}

// retryError says when a client may come back.
type retryError struct {
	error
	after time.Duration
}

func isProtocol(err error) bool {
	_, ok := errors.AsType[*httpmsg.Error](err)
	return ok
}

// explainFailure returns what a client is told of an error.
func explainFailure(err error) *exchange.Error {
	if failure, ok := errors.AsType[*exchange.Error](err); ok {
		return failure
	}
	if bad, ok := errors.AsType[*httpmsg.Error](err); ok {
		if bad.Status == 502 {
			return &exchange.Error{Status: 502, Type: "http_protocol_error", Step: "reading the answer", Err: bad}
		}
		return &exchange.Error{Status: bad.Status, Type: "http_request_error", Step: "reading the request", Err: bad}
	}
	return &exchange.Error{
		Status: 502, Type: "proxy_internal_error", Step: "passing the request on", Err: errors.New("the proxy could not do that"),
	}
}
