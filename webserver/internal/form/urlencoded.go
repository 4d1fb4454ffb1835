package form

import (
	"bufio"
	"errors"
	"io"
)

// readURLEncoded reads pairs "name=value" joined by "&", in which "+" is a
// space and %XX a byte. Empty pairs are skipped, as browsers' parsers do; a
// percent sign that is not followed by two hexadecimal digits is an error.
func readURLEncoded(in io.Reader, k *keeper) error {
	br := bufio.NewReader(in)
	for {
		more, err := readPair(br, k)
		if err != nil || !more {
			return err
		}
	}
}

// readPair reads up to the next "&" (then more is true) or the end.
func readPair(br *bufio.Reader, k *keeper) (more bool, err error) {
	var name []byte
	val := value{k: k}
	var one [1]byte
	seen, inValue := false, false
	for {
		var c byte
		c, err = br.ReadByte()
		if err != nil && !errors.Is(err, io.EOF) {
			return false, err
		}
		more = err == nil
		if !more || c == '&' {
			break
		}
		if !seen {
			seen = true
			if err = k.part(); err != nil {
				return false, err
			}
		}
		switch {
		case c == '=' && !inValue:
			inValue = true
			continue
		case c == '+':
			c = ' '
		case c == '%':
			if c, err = readEscape(br); err != nil {
				return false, err
			}
		}
		if inValue {
			one[0] = c
			_, err = val.Write(one[:])
		} else {
			name = append(name, c)
			err = k.keep(1)
		}
		if err != nil {
			return false, err
		}
	}
	if seen {
		val.field(string(name))
	}
	return more, nil
}

// readEscape reads the two digits after a percent sign.
func readEscape(br *bufio.Reader) (byte, error) {
	var c byte
	for range 2 {
		d, err := br.ReadByte()
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		switch {
		case err == nil && '0' <= d && d <= '9':
			c = c<<4 | (d - '0')
		case err == nil && 'a' <= d|0x20 && d|0x20 <= 'f':
			c = c<<4 | (d | 0x20 - 'a' + 10)
		default:
			return 0, malformed("the form has a percent sign without two hexadecimal digits (a percent sign itself is sent as %%25)")
		}
	}
	return c, nil
}
