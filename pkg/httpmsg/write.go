package httpmsg

import (
	"errors"
	"fmt"
	"strconv"
)

// ErrUnsafe is what every function that writes a head returns, wrapped with the
// place, for a part that would break the head apart: a CR, LF, NUL or other
// control character in a value, a name or method that is not a token.
var ErrUnsafe = errors.New("unsafe byte in a message head")

// AppendRequest appends the head of r, with the empty line that ends it, to
// dst. On an error it returns dst unchanged.
func AppendRequest(dst []byte, r *Request) ([]byte, error) {
	if !IsToken(r.Method) {
		return dst, fmt.Errorf("%w: method", ErrUnsafe)
	}
	for i := 0; i < len(r.Target); i++ {
		if class[r.Target[i]]&targetByte == 0 {
			return dst, fmt.Errorf("%w: target", ErrUnsafe)
		}
	}
	if r.Target == "" {
		return dst, fmt.Errorf("%w: empty target", ErrUnsafe)
	}
	b := append(append(append(dst, r.Method...), ' '), r.Target...)
	b = append(b, " HTTP/1."...)
	b = append(strconv.AppendInt(b, int64(r.Minor), 10), "\r\n"...)
	return appendEnd(dst, b, r.Fields)
}

// AppendResponse appends the head of r, with the empty line that ends it, to
// dst. On an error it returns dst unchanged.
func AppendResponse(dst []byte, r *Response) ([]byte, error) {
	if r.Status < 100 || r.Status > 999 || !IsValue(r.Reason) {
		return dst, fmt.Errorf("%w: status line", ErrUnsafe)
	}
	b := append(dst, "HTTP/1."...)
	b = append(strconv.AppendInt(b, int64(r.Minor), 10), ' ')
	b = append(strconv.AppendInt(b, int64(r.Status), 10), ' ')
	b = append(append(b, r.Reason...), "\r\n"...)
	return appendEnd(dst, b, r.Fields)
}

// appendEnd appends fields and the empty line to b; dst is what to return on an
// error.
func appendEnd(dst, b []byte, fields Fields) ([]byte, error) {
	b, err := AppendFields(b, fields)
	if err != nil {
		return dst, err
	}
	return append(b, "\r\n"...), nil
}

// AppendFields appends a line for each field. On an error it returns dst
// unchanged.
func AppendFields(dst []byte, fields Fields) ([]byte, error) {
	b := dst
	for _, field := range fields {
		var err error
		if b, err = AppendField(b, field.Name, field.Value); err != nil {
			return dst, err
		}
	}
	return b, nil
}

// AppendField appends one field line. On an error it returns dst unchanged.
func AppendField(dst []byte, name, value string) ([]byte, error) {
	if !IsToken(name) {
		return dst, fmt.Errorf("%w: field name %q", ErrUnsafe, name)
	}
	if !IsValue(value) {
		return dst, fmt.Errorf("%w: value of field %s", ErrUnsafe, name)
	}
	b := append(append(dst, name...), ": "...)
	return append(append(b, value...), "\r\n"...), nil
}

// AppendChunk appends data as one chunk (RFC 9112, section 7.1). Empty data
// appends nothing: an empty chunk would end the body.
func AppendChunk(dst, data []byte) []byte {
	if len(data) == 0 {
		return dst
	}
	dst = append(strconv.AppendInt(dst, int64(len(data)), 16), "\r\n"...)
	return append(append(dst, data...), "\r\n"...)
}

// AppendLastChunk appends the chunk of size 0 and the trailer fields. On an
// error it returns dst unchanged.
func AppendLastChunk(dst []byte, trailers Fields) ([]byte, error) {
	return appendEnd(dst, append(dst, "0\r\n"...), trailers)
}
