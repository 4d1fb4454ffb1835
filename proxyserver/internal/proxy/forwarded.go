package proxy

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/rules"
)

// addForwarded tells the origin of reverse mode who asks, and under which name:
// X-Forwarded-For, -Host, -Proto and -Port, and the same as Forwarded (RFC 7239).
// What the client said of that was left out, for anybody can say so; only the
// word of a proxy in TrustProxy counts.
func (c *session) addForwarded() {
	proto := "http"
	if c.server.TLS != nil {
		proto = "https"
	}
	chain, host := c.ip(), c.req.Fields.Get("Host")
	forwarded, port := "", ""
	if c.trusted() {
		f := c.req.Fields
		if before := joined(f, "X-Forwarded-For"); before != "" {
			chain = before + ", " + chain
		}
		if name := f.Get("X-Forwarded-Host"); name != "" && httpmsg.IsHost(name) {
			host = name
		}
		if name := strings.ToLower(f.Get("X-Forwarded-Proto")); name == "http" || name == "https" {
			proto = name
		}
		port = f.Get("X-Forwarded-Port")
		forwarded = joined(f, "Forwarded")
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		_, own, _ := rules.SplitPort(host)
		if port = own; port == "" {
			if port = "80"; proto == "https" {
				port = "443"
			}
		}
	}
	if forwarded == "" {
		forwarded = forwardedFrom(chain, host, proto)
	} else {
		forwarded += ", for=" + node(c.ip())
	}
	out := &c.out.Fields
	out.Add("X-Forwarded-For", chain)
	if host != "" {
		out.Add("X-Forwarded-Host", host)
	}
	out.Add("X-Forwarded-Proto", proto)
	out.Add("X-Forwarded-Port", port)
	out.Add("Forwarded", forwarded)
}

// trusted reports whether the client is a proxy whose word counts.
func (c *session) trusted() bool {
	return slices.ContainsFunc(c.server.TrustProxy, func(p netip.Prefix) bool { return p.Contains(c.client.Addr()) })
}

// joined returns a list-based field in one line.
func joined(f httpmsg.Fields, name string) string {
	return strings.Join(slices.Collect(f.List(name)), ", ")
}

// forwardedFrom says with RFC 7239 what the X-Forwarded fields say: the first
// hop was to host by proto.
func forwardedFrom(chain, host, proto string) string {
	var room [128]byte
	b := room[:0]
	for addr := range httpmsg.Members(chain) {
		if len(b) > 0 {
			b = append(append(b, ", for="...), node(addr)...)
			continue
		}
		b = append(append(b, "for="...), node(addr)...)
		if host != "" {
			b = append(append(b, ";host="...), quote(host)...)
		}
		b = append(append(b, ";proto="...), proto...)
	}
	return string(b)
}

// node is an address as RFC 7239, section 6 has it.
func node(addr string) string {
	ip, err := netip.ParseAddr(addr)
	switch {
	case err != nil:
		return "unknown"
	case ip.Is6() && !ip.Is4In6():
		return `"[` + ip.WithZone("").String() + `]"`
	case ip.Is4():
		return addr
	}
	return ip.Unmap().String()
}
