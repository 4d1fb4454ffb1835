//go:build !linux

package sandbox

import "runtime"

func available() bool { return false }

func restrict(Rules) (string, error) {
	return "not available on " + runtime.GOOS, nil
}
