package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"topdown/pkg/httpmsg"
)

// validate reads the arguments, and checks what no flag can by itself.
func (c *config) validate(args []string) error {
	if err := c.positional(args); err != nil {
		return err
	}
	if err := c.validateDomains(); err != nil {
		return err
	}
	switch {
	case (c.tlsCert == "") != (c.tlsKey == ""):
		return errors.New("--tls-cert and --tls-key go together")
	case c.redirectHTTP != "" && c.tlsCert == "" && len(c.domains) == 0:
		return errors.New("--redirect-http needs --tls-cert and --tls-key, or --domain: there is no https to redirect to")
	case !httpmsg.IsValue(c.cacheControl):
		return fmt.Errorf("--cache-control %q: a field cannot hold one of its characters", c.cacheControl)
	case c.check && c.root == "":
		return errors.New("--check needs --root or DIR: the sample site has nothing to hide")
	case c.uploads != "" && c.htpasswd != "" && (c.tokenFile != "" || c.token != ""):
		return errors.New("an upload token (--upload-token-file, WEBSERVER_UPLOAD_TOKEN) and --htpasswd cannot both be asked for: a request carries one of them; use either")
	case c.archive && !c.listing:
		return errors.New("--archive needs --listing: only what is listed is sent as one file")
	case c.liveReload && c.root == "":
		return errors.New("--live-reload needs --root or DIR: the sample site does not change")
	case c.spa && c.root == "":
		return errors.New("--spa needs --root: the sample site is no application")
	}
	return nil
}

// positional reads [DIR] [PORT].
func (c *config) positional(args []string) error {
	if len(args) > 0 && !isNumber(args[0]) {
		info, err := os.Stat(args[0])
		if err != nil || !info.IsDir() {
			return fmt.Errorf("argument %q: a directory is expected, or a port from 1 to 65535", args[0])
		}
		if c.root != "" {
			return fmt.Errorf("argument %q: --root says what to serve already", args[0])
		}
		c.root, args = args[0], args[1:]
	}
	if len(args) == 0 {
		return nil
	}
	if len(args) > 1 {
		return fmt.Errorf("unexpected argument %q: the port comes last", args[1])
	}
	if _, err := strconv.ParseUint(args[0], 10, 16); err != nil {
		return fmt.Errorf("argument %q: a port from 1 to 65535 is expected, or 0 for any", args[0])
	}
	c.addr, c.address.given = ":"+args[0], "PORT"
	return nil
}

func isNumber(s string) bool { return strings.Trim(s, "0123456789") == "" }
