package metrics

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/metrics"
	"strconv"
)

// memory tells how much memory the process has.
type memory struct {
	statm *os.File // proc_pid_statm(5), nil where there is none
}

// newMemory opens what write reads, which a sandbox may forbid later on.
func newMemory() *memory {
	file, err := os.Open("/proc/self/statm")
	if err != nil {
		file = nil // not Linux
	}
	return &memory{statm: file}
}

// write writes the memory of the Go heap and, where that can be found out, of
// the whole process.
func (m *memory) write(w io.Writer) {
	samples := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(samples)
	if samples[0].Value.Kind() == metrics.KindUint64 {
		fmt.Fprintf(w, "go_memstats_heap_alloc_bytes %d\n", samples[0].Value.Uint64())
	}
	if resident, ok := m.resident(); ok {
		fmt.Fprintf(w, "process_resident_memory_bytes %d\n", resident)
	}
}

func (m *memory) resident() (uint64, bool) {
	if m.statm == nil {
		return 0, false
	}
	buf := make([]byte, 128)
	n, err := m.statm.ReadAt(buf, 0)
	fields := bytes.Fields(buf[:n])
	if err != nil && !errors.Is(err, io.EOF) || len(fields) < 2 {
		return 0, false
	}
	pages, err := strconv.ParseUint(string(fields[1]), 10, 64)
	return pages * uint64(os.Getpagesize()), err == nil
}
