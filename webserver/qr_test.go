package main

import (
	"errors"
	"strings"
	"testing"

	"rsc.io/qr"
)

// TestPrintQR reads the drawing back, module by module.
func TestPrintQR(t *testing.T) {
	var out strings.Builder
	const url = "http://192.0.2.7:8080/"
	if err := printQR(&out, []string{"http://localhost:8080/", url, "http://[2001:db8::1]:8080/"}); err != nil {
		t.Fatal(err)
	}
	code, err := qr.Encode(url, qr.L)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	for y := range code.Size {
		for x := range code.Size {
			glyph := []rune(lines[(y+4)/2])[x+4]
			light := glyph == '█' || glyph == '▀' && (y+4)%2 == 0 || glyph == '▄' && (y+4)%2 == 1
			if light == code.Black(x, y) {
				t.Fatalf("the module at %d, %d is wrong", x, y)
			}
		}
	}
	if err := printQR(&out, []string{"http://localhost:8080/", "unix:/run/web"}); !errors.Is(err, errNoOther) {
		t.Errorf("without an address for others: %v", err)
	}
}
