package form

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestCurl posts forms with the curl of this machine, in chunks and with a
// length, and compares what was meant with what was read.
func TestCurl(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		if os.Getenv("TOPDOWN_REQUIRE_REAL") != "" {
			t.Fatal("curl is required and not installed")
		}
		t.Skip("curl is not installed")
	}
	big := strings.Repeat("\x00\r\n--boundary\xff", 100000)
	path := filepath.Join(t.TempDir(), "big.bin")
	if err := os.WriteFile(path, []byte(big), 0o600); err != nil {
		t.Fatal(err)
	}
	octetStream := "application/octet-stream"
	stored := func(f File, as string) File { f.StoredAs = as; return f }
	tests := []struct {
		name string
		args []string
		want Result
	}{
		{
			"multipart",
			[]string{"-F", "a=1 & 2", "-F", `q"uote=x`, "-F", "file=@" + path, "-F", "file=@" + path + `;filename=../we"ird.bin;type=image/png`},
			Result{
				Kind:   Multipart,
				Fields: []Field{field("a", "1 & 2"), field(`q"uote`, "x")},
				Files:  []File{stored(file("file", "big.bin", octetStream, big), "big.bin"), stored(file("file", `../we"ird.bin`, "image/png", big), "we_ird.bin")},
			},
		},
		{
			"urlencoded",
			[]string{"--data-urlencode", "a=1 & 2=%", "-d", "b=x+y"},
			Result{Kind: URLEncoded, Fields: []Field{field("a", "1 & 2=%"), field("b", "x y")}},
		},
		{
			"binary",
			[]string{"-H", "Content-Type: " + octetStream, "--data-binary", "@" + path},
			Result{Kind: Other, SHA256: sum(big)},
		},
	}
	for _, tt := range tests {
		for _, chunked := range []bool{false, true} {
			name := tt.name
			args := append([]string{"-sS", "--noproxy", "*"}, tt.args...)
			if chunked {
				name += " in chunks"
				args = append(args, "-H", "Transfer-Encoding: chunked")
			}
			t.Run(name, func(t *testing.T) {
				u, _ := openUploads(t, Quota{})
				var got *Result
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					result, err := Read(r.Body, r.Header.Get("Content-Type"), Options{Store: u})
					if err != nil {
						http.Error(w, err.Error(), http.StatusBadRequest)
						return
					}
					got = result
					w.Write(AppendJSON(nil, result))
				}))
				defer server.Close()
				var stderr bytes.Buffer
				cmd := exec.Command(curl, append(args, server.URL)...)
				cmd.Env = []string{}
				cmd.Stderr = &stderr
				answer, err := cmd.Output()
				if err != nil {
					t.Fatalf("curl: %v\n%s", err, stderr.Bytes())
				}
				if got == nil {
					t.Fatalf("refused: %s", answer)
				}
				want := tt.want
				want.ContentType, want.Size = got.ContentType, got.Size // curl's choice
				if diff := cmp.Diff(&want, got); diff != "" {
					t.Errorf("read (-want +got):\n%s", diff)
				}
			})
		}
	}
}
