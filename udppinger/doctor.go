package main

import (
	"context"
	"fmt"

	"topdown/udppinger/internal/doctor"
)

// examine is the command doctor.
func examine(ctx context.Context, c *config, std stdio) error {
	target, err := c.first(ctx)
	if err != nil {
		return err
	}
	d := doctor.Doctor{
		Target: target.addr, Options: c.options, Timeout: c.schedule.Timeout, Nonce: nonce(),
		Print: func(format string, args ...any) { fmt.Fprintf(std.out, format+"\n", args...) },
	}
	finding, err := d.Examine(ctx)
	if err != nil {
		return err
	}
	if !finding.IsOpen() {
		return errNoReply
	}
	return nil
}
