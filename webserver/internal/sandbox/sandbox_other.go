//go:build !linux

package sandbox

import "runtime"

func restrict(Rules) (string, error) {
	return "not available on " + runtime.GOOS, nil
}
