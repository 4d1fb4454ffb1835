// Package wiretest plays the server for tests of those who read its replies.
package wiretest

import (
	"bytes"
	"fmt"
	"hash/crc32"

	"topdown/udppinger/internal/wire"
)

// Reply returns udppingserver's reply to a request, with the given report in its
// slot if it has one. The golden vectors keep it true.
func Reply(request []byte, r wire.Report) []byte {
	reply := bytes.ToUpper(request)
	at := bytes.Index(reply, bytes.Repeat([]byte("."), 80))
	if at < 0 {
		return reply
	}
	fields := fmt.Sprintf("%016X%08X%08X%08X%08X%012X%012X", r.Received.UnixNano(), int64(r.Residence), r.Count, r.Answered, r.Top, r.SeenMask, r.AnsMask)
	copy(reply[at:], fields)
	at += len(fields)
	sum := crc32.Update(crc32.ChecksumIEEE(reply[:at]), crc32.IEEETable, reply[at+8:])
	copy(reply[at:], fmt.Sprintf("%08X", sum))
	return reply
}
