package store

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/rules"
)

const (
	crashKeys = 60
	crashSize = 3 << 20
)

// large reports whether the long forms of tests are asked for, as CI does.
func large() bool { return os.Getenv("TOPDOWN_LARGE") != "" }

func TestMain(m *testing.M) {
	if dir := os.Getenv("STORE_TEST_CRASH_DIR"); dir != "" {
		crash(dir)
	}
	os.Exit(m.Run())
}

// crash stores, updates, evicts and reads for ever; it is killed.
func crash(dir string) {
	d, err := OpenDisk(DiskOptions{Dir: dir, Size: crashSize, Memory: 1 << 20, Small: 64 << 10})
	if err != nil {
		fmt.Println("cannot open:", err)
		os.Exit(3)
	}
	ctx := context.Background()
	for range 4 {
		go func() {
			for {
				key := fmt.Sprintf("http://a/%d", rand.IntN(crashKeys))
				version := rand.IntN(1 << 30)
				body := bodyFor(key, version, crashBody(version))
				stored := crashStored(version, len(body))
				_, gen := d.Lookup(ctx, key)
				w, err := d.Create(ctx, key, gen, int64(len(body)))
				if err != nil {
					continue
				}
				for len(body) > 0 && err == nil {
					n := min(len(body), 1+rand.IntN(20000))
					_, err = w.Write(body[:n])
					body = body[n:]
				}
				if err == nil && rand.IntN(10) > 0 {
					w.Commit(stored)
				}
				w.Close()
				entries, _ := d.Lookup(ctx, key)
				for _, e := range entries {
					if rand.IntN(2) == 0 {
						next := e.Stored.Head
						next.ResponseTime = next.ResponseTime.Add(1)
						next.Fields = append(slices.Clone(next.Fields), httpmsg.Field{Name: "X-Update", Value: strings.Repeat("u", rand.IntN(200))})
						if len(next.Fields) > 6 {
							next.Fields = next.Fields[:2]
						}
						d.Update(ctx, e, rules.NewStored(next, rules.Config{}))
					}
					if rand.IntN(20) == 0 {
						d.Remove(ctx, e)
					}
				}
			}
		}()
	}
	fmt.Println("running")
	select {}
}

func crashBody(version int) int {
	if version%3 == 0 {
		return version % (300 << 10)
	}
	return version % 5000
}

func crashStored(version, size int) *rules.Stored {
	return rules.NewStored(rules.Head{
		Status: 200, Reason: "OK", RequestTime: time.Unix(0, int64(version)), ResponseTime: time.Now(), Total: int64(size),
		Vary:   httpmsg.Fields{{Name: "v", Value: fmt.Sprint(version % 3)}},
		Fields: httpmsg.Fields{{Name: "X-Version", Value: fmt.Sprint(version)}, {Name: "X-Size", Value: fmt.Sprint(size)}},
	}, rules.Config{})
}

// checkStored opens the store in dir and compares everything in it with what
// must have been written.
func checkStored(t *testing.T, dir string) (hits int) {
	t.Helper()
	d, err := OpenDisk(DiskOptions{Dir: dir, Size: crashSize, Memory: 1 << 20, Small: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for i := range crashKeys {
		key := fmt.Sprintf("http://a/%d", i)
		for _, e := range lookup(t, d, key) {
			version, size := int(version(e)), 0
			fmt.Sscan(e.Stored.Fields.Get("X-Size"), &size)
			if got := e.Stored.Fields.Get("X-Version"); got != fmt.Sprint(version) || e.Key != key || size != crashBody(version) {
				t.Fatalf("%s: a head of nobody: %+v", key, e.Stored.Head)
			}
			got, err := bodyOf(t, e)
			if err != nil {
				continue // counts as a miss
			}
			if !bytes.Equal(got, bodyFor(key, version, size)) {
				t.Fatalf("%s: %d bytes, not those of version %d", key, len(got), version)
			}
			hits++
		}
	}
	if left, _ := os.ReadDir(filepath.Join(dir, "tmp")); len(left) != 0 {
		t.Errorf("%d temporary files are left", len(left))
	}
	return hits
}

// A process that is killed at any moment leaves nothing that is handed out
// wrong or cut short.
func TestKill(t *testing.T) {
	kills := 40 // in CI 200
	if large() {
		kills = 200
	}
	dir := t.TempDir()
	hits, evicted := 0, false
	for i := range kills {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "STORE_TEST_CRASH_DIR="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err = cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line := make([]byte, 100)
		n, _ := out.Read(line)
		if string(line[:n]) != "running\n" {
			t.Fatalf("the child says %q", line[:n])
		}
		time.Sleep(time.Duration(rand.IntN(40)) * time.Millisecond)
		cmd.Process.Kill()
		cmd.Wait()
		if i%4 == 3 {
			if used := onDisk(dir); used > crashSize {
				t.Errorf("the directory takes %d bytes, more than %d", used, crashSize)
			}
			hits += checkStored(t, dir)
			evicted = evicted || onDisk(dir) > crashSize/2
		}
	}
	if hits < kills {
		t.Errorf("%d hits after %d kills: too few to mean anything", hits, kills)
	}
	if !evicted {
		t.Error("the store was never full")
	}
}
