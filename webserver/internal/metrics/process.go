package metrics

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime/metrics"
	"strconv"
)

// writeMemory writes how much memory the process has: of the system, where that
// can be found out, and in the Go heap.
func writeMemory(w io.Writer) {
	samples := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(samples)
	if samples[0].Value.Kind() == metrics.KindUint64 {
		fmt.Fprintf(w, "go_memstats_heap_alloc_bytes %d\n", samples[0].Value.Uint64())
	}
	if resident, ok := residentBytes(); ok {
		fmt.Fprintf(w, "process_resident_memory_bytes %d\n", resident)
	}
}

// residentBytes reads proc_pid_statm(5). It exists on Linux only, and a sandbox
// may hide it.
func residentBytes() (uint64, bool) {
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, false
	}
	fields := bytes.Fields(data)
	if len(fields) < 2 {
		return 0, false
	}
	pages, err := strconv.ParseUint(string(fields[1]), 10, 64)
	return pages * uint64(os.Getpagesize()), err == nil
}
