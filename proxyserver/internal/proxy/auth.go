package proxy

import (
	"encoding/base64"
	"errors"
	"net/url"
	"time"

	"topdown/proxyserver/internal/access"
	"topdown/proxyserver/internal/exchange"
)

// retryError says when a client may come back.
type retryError struct {
	error
	after time.Duration
}

// authenticate finds the user. A client that knows of the proxy is asked with
// 407; one that uses the path style believes to talk to an ordinary server and
// is asked with 401 (RFC 9110, section 11).
func (c *session) authenticate(users *access.Users) error {
	status, credentials := 407, c.req.Fields.Get("Proxy-Authorization")
	c.ownAuthorization = false
	if c.where.way == pathStyle || c.where.way == local || c.where.way == reverse {
		status = 401
		if credentials == "" {
			credentials = c.req.Fields.Get("Authorization")
			c.ownAuthorization = true
		}
	}
	now := c.server.Now()
	user, err := users.Check(credentials, c.client.Addr(), now)
	if errors.Is(err, access.ErrTooManyFailures) {
		c.keep = false
		return policy(429, "http_request_denied", "checking the password", err)
	}
	if err != nil {
		return policy(status, "http_request_denied", "checking the password", err)
	}
	c.user = user
	if quota := c.server.Quota; quota != nil {
		if left, rest := quota.Left(user, now); left <= 0 {
			return &exchange.Error{
				Status: 429, Type: "http_request_denied", Step: "checking the quota",
				Err: &retryError{errors.New("this user's octets for today are used up"), rest},
			}
		}
	}
	return nil
}

// basic makes the Authorization value of a URL's user part.
func basic(login string) string {
	if decoded, err := url.PathUnescape(login); err == nil {
		login = decoded
	}
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(login))
}
