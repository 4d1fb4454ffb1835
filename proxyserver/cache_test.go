package main

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"topdown/proxyserver/internal/rules"
	"topdown/proxyserver/internal/store"
)

// A command looks into a store, and evicts nothing from one that is larger than
// its own flags say: those are for the proxy.
func TestCommandsEvictNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	disk, err := store.OpenDisk(store.DiskOptions{Dir: dir, Size: 16 << 20})
	if err != nil {
		t.Fatal(err)
	}
	const n = 4
	body := make([]byte, 1<<20)
	for i := range n {
		key := fmt.Sprintf("http://127.0.0.1:1/%d", i)
		_, gen := disk.Lookup(t.Context(), key)
		w, err := disk.Create(t.Context(), key, gen, int64(len(body)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err = w.Write(body); err != nil {
			t.Fatal(err)
		}
		stored := rules.NewStored(rules.Head{Status: 200, ResponseTime: time.Now(), Total: -1}, rules.Config{})
		if _, err = w.Commit(stored); err != nil {
			t.Fatal(err)
		}
		w.Close()
	}
	if err = disk.Close(); err != nil {
		t.Fatal(err)
	}
	for _, words := range [][]string{{"cache", "list"}, {"explain", "http://127.0.0.1:1/dead"}, {"cache", "list"}} {
		var stdout, stderr bytes.Buffer
		args := append([]string{name, "--cache-dir", dir, "--cache-size", "1MiB"}, words...)
		if run(t.Context(), args, &stdout, &stderr) != exitOK && words[0] == "cache" {
			t.Fatalf("%v: %s", words, &stderr)
		}
		if listed := strings.Count(stdout.String(), "\n"); words[0] == "cache" && listed != n {
			t.Fatalf("%d responses are listed, want %d:\n%s", listed, n, &stdout)
		}
	}
}
