package access

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync/atomic"

	"topdown/pkg/httpmsg"
)

// HostList is a set of host names.
type HostList struct {
	names atomic.Pointer[map[string]struct{}]
}

// Replace makes l hold the names of other. It may be called while l is in use.
func (l *HostList) Replace(other *HostList) { l.names.Store(other.names.Load()) }

// ParseHosts reads a list of host names, one a line. A name stands for itself
// and for every name below it. Empty lines and what follows "#" are passed
// over; of a line in the form of /etc/hosts the last word is taken.
func ParseHosts(r io.Reader) (*HostList, error) {
	names := make(map[string]struct{})
	scanner := bufio.NewScanner(r)
	for number := 1; scanner.Scan(); number++ {
		line, _, _ := strings.Cut(scanner.Text(), "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		name := normalName(strings.TrimPrefix(words[len(words)-1], "*."))
		name = strings.TrimPrefix(name, ".")
		if name == "" || strings.ContainsAny(name, "/@") || !httpmsg.IsHost(name) && !strings.Contains(name, ":") {
			return nil, fmt.Errorf("line %d: %q is not a host name", number, words[len(words)-1])
		}
		names[name] = struct{}{}
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("read the host list: %w", err)
	}
	list := new(HostList)
	list.names.Store(&names)
	return list, nil
}

// Has reports whether the list has name or a name above it.
func (l *HostList) Has(name string) bool {
	names := *l.names.Load()
	for name = normalName(name); name != ""; {
		if _, ok := names[name]; ok {
			return true
		}
		_, name, _ = strings.Cut(name, ".")
	}
	return false
}

// normalName returns a name in lower case without a dot at its end, and an
// address in its shortest form.
func normalName(s string) string {
	s = strings.TrimSuffix(strings.ToLower(s), ".")
	if addr, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return addr.Unmap().String()
	}
	return s
}
