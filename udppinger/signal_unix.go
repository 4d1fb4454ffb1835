//go:build !windows

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// onStatisticsSignal calls show at each SIGQUIT or SIGUSR1 until stop is called.
func onStatisticsSignal(show func()) (stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGQUIT, syscall.SIGUSR1)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-done:
				return
			case <-signals:
				show()
			}
		}
	}()
	return func() {
		signal.Stop(signals)
		close(done)
	}
}
