package main

import (
	"context"
	"fmt"
	"sync"

	"topdown/udppinger/internal/ping"
	"topdown/udppinger/internal/socket"
)

// heartbeat is the command heartbeat.
func heartbeat(ctx context.Context, c *config, std stdio) error {
	target, err := c.first(ctx)
	if err != nil {
		return err
	}
	conn, err := socket.Dial(target.addr, c.options)
	if err != nil {
		return err
	}
	defer conn.Close()
	var mu sync.Mutex
	refused := false
	ping.Heartbeat(ctx, conn, c.schedule.Interval, c.schedule.Count, func(seq uint64, err error) {
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			fmt.Fprintf(std.out, "Heartbeat %d not sent: %v\n", seq, err)
			return
		}
		fmt.Fprintf(std.out, "Heartbeat %d sent to %s\n", seq, target.addr)
	}, func(err error) {
		mu.Lock()
		defer mu.Unlock()
		refused = true
		fmt.Fprintf(std.out, "Refused %v: is the server running?\n", err)
	})
	mu.Lock()
	defer mu.Unlock()
	if refused {
		return errNoReply
	}
	return nil
}
