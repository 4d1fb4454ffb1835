//go:build !windows

package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// onStatisticsSignal has show called at each SIGUSR1 until ctx is done. From its
// return on the signal does not end the program any more.
func onStatisticsSignal(ctx context.Context, show func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1)
	go func() {
		defer signal.Stop(signals)
		for {
			select {
			case <-ctx.Done():
				return
			case <-signals:
				show()
			}
		}
	}()
}
