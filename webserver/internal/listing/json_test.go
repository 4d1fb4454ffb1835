package listing

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAppendJSON(t *testing.T) {
	page := Page{Sort: ByTime, Desc: true, Entries: []Entry{
		{Name: "a \"<b>\"\n.txt", Size: 0, ModTime: noon},
		{Name: "sub", IsDir: true, Size: 4096, ModTime: noon.In(time.FixedZone("", 3600))},
		{Name: "bad\xff", Size: 1<<63 - 1},
	}}
	want := `kept[
{"name":"sub","type":"directory","mtime":"Tue, 03 Nov 2026 12:00:00 GMT"},
{"name":"a \"\u003cb\u003e\"\n.txt","type":"file","mtime":"Tue, 03 Nov 2026 12:00:00 GMT","size":0},
{"name":"bad\ufffd","type":"file","size":9223372036854775807}
]
`
	if diff := cmp.Diff(want, string(AppendJSON([]byte("kept"), page))); diff != "" {
		t.Errorf("JSON (-want +got):\n%s", diff)
	}
	checkJSON(t, AppendJSON(nil, Page{}), 0)
}

// checkJSON checks that the text is an array of n objects.
func checkJSON(t *testing.T, text []byte, n int) {
	t.Helper()
	var got []map[string]any
	if err := json.Unmarshal(text, &got); err != nil || got == nil || len(got) != n {
		t.Errorf("%d objects, %v, want %d in %q", len(got), err, n, text)
	}
}

// TestJSONLikeNginx lists one directory with nginx and with AppendJSON.
func TestJSONLikeNginx(t *testing.T) {
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		if os.Getenv("TOPDOWN_REQUIRE_REAL") != "" {
			t.Fatal("nginx is required and not installed")
		}
		t.Skip("nginx is not installed")
	}
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	var entries []Entry
	for name, size := range map[string]int{"b.txt": 10, "a \"quoted\".txt": 0, "č%&<>.bin": 70000, "sub": -1} {
		path := filepath.Join(root, name)
		if size < 0 {
			err = os.MkdirAll(path, 0o755)
		} else if err = os.MkdirAll(root, 0o755); err == nil {
			err = os.WriteFile(path, make([]byte, size), 0o600)
		}
		if err == nil {
			err = os.Chtimes(path, noon, noon.Add(time.Duration(size)*time.Second))
		}
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, Entry{Name: name, IsDir: info.IsDir(), Size: info.Size(), ModTime: info.ModTime()})
	}
	theirs := fetchNginx(t, nginx, dir, root)
	var want, got any
	if err := json.Unmarshal(theirs, &want); err != nil {
		t.Fatalf("nginx: %v in %q", err, theirs)
	}
	if err := json.Unmarshal(AppendJSON(nil, Page{Entries: entries}), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("listing (-nginx +ours):\n%s", diff)
	}
}

// fetchNginx starts nginx in dir and returns its JSON listing of root.
func fetchNginx(t *testing.T, nginx, dir, root string) []byte {
	t.Helper()
	socket := filepath.Join(dir, "s")
	config := filepath.Join(dir, "nginx.conf")
	text := fmt.Sprintf(`daemon off; master_process off; pid %[1]s/pid; error_log stderr;
events {}
http {
	access_log off;
	client_body_temp_path %[1]s/tmp; proxy_temp_path %[1]s/tmp; fastcgi_temp_path %[1]s/tmp;
	uwsgi_temp_path %[1]s/tmp; scgi_temp_path %[1]s/tmp;
	server { listen unix:%[2]s; root %[3]s; autoindex on; autoindex_format json; }
}
`, dir, socket, root)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd := exec.Command(nginx, "-c", config, "-e", "stderr")
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	defer func() {
		cmd.Process.Kill()
		<-exited
	}()
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		resp, err := client.Get("http://nginx/")
		if err == nil {
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Fatalf("nginx: status %d, %v: %s", resp.StatusCode, err, body)
			}
			return body
		}
		select {
		case err := <-exited:
			exited <- err
			t.Fatalf("nginx ended: %v\n%s", err, stderr.Bytes())
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("nginx does not answer: %v", err)
		}
	}
}
