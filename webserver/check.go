package main

import (
	"fmt"
	"io"

	"topdown/webserver/internal/exposure"
)

// checkRoot lists what should not stand below the root, and ends with exitFault if
// there is anything.
func checkRoot(c *config, stdout io.Writer) error {
	findings, err := exposure.Find(c.root)
	for _, f := range findings {
		fmt.Fprintf(stdout, "%s: %s\n", f.Path, f.Why)
	}
	if err != nil {
		return fileError("--root", c.root, err)
	}
	if len(findings) > 0 {
		return statusError{code: exitFault}
	}
	fmt.Fprintln(stdout, "Nothing that should not be served was found.")
	return nil
}
