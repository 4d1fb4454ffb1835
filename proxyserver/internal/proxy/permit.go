package proxy

import (
	"errors"

	"topdown/proxyserver/internal/access"
	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/rules"
)

// permit applies every rule that does not need the target's address.
func (c *session) permit() error {
	s := c.server
	if c.refusal != nil {
		c.keep = false
		s.Stats.Refused.Add(1)
		return c.refusal
	}
	if err := s.Rules.Client(c.client.Addr()); err != nil {
		c.keep = false
		return policy(403, "http_request_denied", "checking the client's address", err)
	}
	if users := s.users.Load(); users != nil {
		if err := c.authenticate(users); err != nil {
			return err
		}
	}
	return c.permitTarget()
}

// permitTarget applies those that are about what is asked for.
func (c *session) permitTarget() error {
	s := c.server
	if c.target.host == "" || c.target.mode == reverse {
		return nil
	}
	name, _, _ := rules.SplitPort(c.target.host)
	if err := s.Rules.Host(name); err != nil {
		return policy(403, "http_request_denied", "checking the host's name", err)
	}
	if c.target.mode == tunnel {
		if err := s.Rules.Connect(name, c.target.port); err != nil {
			return policy(403, "http_request_denied", "checking the port", err)
		}
	} else if err := s.Rules.Port(c.target.scheme, c.target.port); err != nil {
		return policy(403, "destination_ip_prohibited", "checking the port", err)
	}
	return nil
}

// authenticate finds the user. A client that knows of the proxy is asked with
// 407; one that uses the path style believes to talk to an ordinary server and
// is asked with 401 (RFC 9110, section 11).
func (c *session) authenticate(users *access.Users) error {
	status, credentials := 407, c.req.Fields.Get("Proxy-Authorization")
	c.ownAuthorization = false
	if c.target.mode == pathStyle || c.target.mode == local || c.target.mode == reverse {
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
				Err: &retryError{errors.New("this user has transferred as much as is allowed in a day"), rest},
			}
		}
	}
	return nil
}
