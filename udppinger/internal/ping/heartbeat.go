package ping

import (
	"context"
	"time"

	"topdown/udppinger/internal/socket"
	"topdown/udppinger/internal/wire"
)

// Heartbeat sends a heartbeat on conn every interval, count of them (0: no end),
// until ctx is done. It tells sent of each. Nobody answers a heartbeat; an ICMP
// error is what refused is told of.
func Heartbeat(ctx context.Context, conn Conn, interval time.Duration, count uint64, sent func(seq uint64, err error), refused func(error)) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			n, err := conn.Receive(time.Time{})
			if err != nil {
				return
			}
			if n.Kind == socket.Refusal {
				refused(n.Err)
			}
		}
	}()
	defer func() {
		conn.Interrupt()
		<-done
	}()
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for seq := uint64(1); count == 0 || seq <= count; seq++ {
		sent(seq, conn.Send(seq, wire.AppendHeartbeat(nil, seq, time.Now())))
		if seq == count {
			break
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
	// Errors about the last one come within a round trip, or never.
	select {
	case <-ctx.Done():
	case <-time.After(min(interval, 200*time.Millisecond)):
	}
}
