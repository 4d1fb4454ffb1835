package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"rsc.io/qr"
)

// errNoOther says why there is nothing to show to a phone.
var errNoOther = errors.New("--qr needs an address that other devices can reach: listen on :8080, in a network")

// printQR prints the first URL that leads to this machine from others as a QR code
// for the phone beside it.
func printQR(w io.Writer, urls []string) error {
	for _, url := range urls {
		if strings.Contains(url, "//localhost") || !strings.HasPrefix(url, "http") {
			continue
		}
		code, err := qr.Encode(url, qr.L)
		if err != nil {
			return fmt.Errorf("--qr: %w", err)
		}
		drawQR(w, code.Size, code.Black)
		return nil
	}
	return errNoOther
}

// drawQR draws two rows in each line, by half blocks. Light is drawn and dark left
// out, with the quiet zone of four modules around it that readers want, so that it
// can be read on a dark terminal; on a light one its colors are turned over, which
// readers take as well.
func drawQR(w io.Writer, size int, black func(x, y int) bool) {
	const quiet = 4
	light := func(x, y int) bool { return x < 0 || y < 0 || x >= size || y >= size || !black(x, y) }
	for y := -quiet; y < size+quiet; y += 2 {
		var line strings.Builder
		for x := -quiet; x < size+quiet; x++ {
			switch upper, lower := light(x, y), light(x, y+1) && y+1 < size+quiet; {
			case upper && lower:
				line.WriteRune('█')
			case upper:
				line.WriteRune('▀')
			case lower:
				line.WriteRune('▄')
			default:
				line.WriteRune(' ')
			}
		}
		fmt.Fprintln(w, line.String())
	}
}
