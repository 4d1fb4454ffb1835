//go:build !windows

package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// onStatisticsSignal calls show at each SIGUSR1 until ctx is done.
func onStatisticsSignal(ctx context.Context, show func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1)
	defer signal.Stop(signals)
	for {
		select {
		case <-ctx.Done():
			return
		case <-signals:
			show()
		}
	}
}
