package message

import (
	"io"
	"strings"
	"testing"
)

// BenchmarkRead reads a mail with a large attachment.
func BenchmarkRead(b *testing.B) {
	const lines = 1 << 17
	mail := "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
		strings.Repeat(strings.Repeat("QUJD", 19)+"\r\n", lines) + "--b--\r\n"
	b.SetBytes(int64(len(mail)))
	for b.Loop() {
		err := Read(strings.NewReader(mail), func(p *Part) error {
			_, err := io.Copy(io.Discard, p.Body)
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
