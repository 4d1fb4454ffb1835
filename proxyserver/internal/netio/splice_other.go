//go:build !linux

package netio

import (
	"errors"
	"sync/atomic"
)

func splice(*Conn, *Conn, *atomic.Int64, func()) error { return errors.ErrUnsupported }
