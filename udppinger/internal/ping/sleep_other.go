//go:build !linux

package ping

import "time"

func sleep(d time.Duration) { time.Sleep(d) }
