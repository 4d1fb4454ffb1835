//go:build !linux

package netio

import (
	"errors"
	"os"
)

const canSendFile = false

func (*Conn) sendFile(*os.File, int64, int64) (int64, error) { return 0, errors.ErrUnsupported }
