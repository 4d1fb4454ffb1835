//go:build !linux

package echo

import "time"

func sleep(d time.Duration) { time.Sleep(d) }
