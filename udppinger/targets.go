package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"

	"topdown/udppinger/internal/ping"
)

// named is a target with its address found.
type named struct {
	name string
	addr netip.AddrPort
}

// maxTargets is how many targets one run may have.
const maxTargets = 1000

// resolve finds the addresses of all targets. It says of those that have none
// that they are left out, and reports whether there were any.
func (c *config) resolve(ctx context.Context, std stdio) (targets []named, missing bool, err error) {
	names, err := c.names(std.in)
	if err != nil {
		return nil, false, err
	}
	if len(names) > 1 && c.alone() != "" {
		return nil, false, usageError{fmt.Errorf("%s is for one target: here are %d", c.alone(), len(names)), c.command}
	}
	for _, target := range names {
		found, err := c.find(ctx, target)
		if err != nil {
			fmt.Fprintf(std.err, "%s: %v\n", name, err)
			missing = true
			continue
		}
		targets = append(targets, found)
	}
	return targets, missing, nil
}

// find finds the address of one target.
func (c *config) find(ctx context.Context, target string) (named, error) {
	host, addr, err := ping.Resolve(ctx, c.network, target)
	if err != nil {
		return named{}, err
	}
	if s := c.options.Source; s.IsValid() && s.Addr().Unmap().Is4() != addr.Addr().Is4() {
		return named{}, fmt.Errorf("source %s and target %s are not of the same family", s.Addr(), addr.Addr())
	}
	return named{host, addr}, nil
}

// first returns the only target of a command that has one.
func (c *config) first(ctx context.Context) (named, error) {
	if len(c.targets) == 0 {
		return c.find(ctx, "127.0.0.1")
	}
	return c.find(ctx, c.targets[0])
}

// names returns the targets of the command line and of the list.
func (c *config) names(stdin io.Reader) ([]string, error) {
	all := c.targets
	if c.list != "" {
		more, err := readList(c.list, stdin)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
		if len(all) == 0 {
			return nil, fmt.Errorf("--targets %s: there is no target in it", c.list)
		}
	}
	if len(all) == 0 {
		all = []string{"127.0.0.1"}
	}
	if len(all) > maxTargets {
		return nil, fmt.Errorf("here are more than %d targets: so many are pinged at a time, at most", maxTargets)
	}
	return all, nil
}

// readList reads targets from a file, one a line; # begins a comment.
func readList(file string, stdin io.Reader) (targets []string, err error) {
	in := stdin
	if file != "-" {
		opened, err := os.Open(file)
		if err != nil {
			return nil, fileError("--targets", file, err)
		}
		defer opened.Close()
		in = opened
	}
	lines := bufio.NewScanner(in)
	for n := 1; lines.Scan() && len(targets) <= maxTargets; n++ {
		target, _, _ := strings.Cut(lines.Text(), "#")
		if target = strings.TrimSpace(target); target == "" {
			continue
		}
		if _, _, err := ping.SplitTarget(target); err != nil {
			return nil, fmt.Errorf("--targets %s: line %d: %w", file, n, err)
		}
		targets = append(targets, target)
	}
	if err := lines.Err(); err != nil {
		return nil, fileError("--targets", file, err)
	}
	return targets, nil
}
