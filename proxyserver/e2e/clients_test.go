package e2e

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// guarded is a proxy over TLS that asks for a password.
type guarded struct {
	*running
	ca  string // the file of its authority
	url string // with the user name and password
}

// usersFile is one with the user ann and her password, secret.
func usersFile(t *testing.T) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(path, []byte("ann:"+string(hash)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func startGuarded(t *testing.T, args ...string) *guarded {
	t.Helper()
	ca := newAuthority(t)
	cert, key, _ := ca.serverFiles(t, "localhost")
	p := start(t, nil, append([]string{"--addr", "127.0.0.1:0", "--cache-dir", t.TempDir(), "--tls-cert", cert, "--tls-key", key, "--auth-file", usersFile(t)}, args...)...)
	return &guarded{p, ca.file(t), "https://ann:secret@" + p.addr}
}

// explain reaches the proxy that has the store open, whatever that asks of its
// clients.
func TestExplainOfAGuardedProxy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	startGuarded(t, "--cache-dir", dir)
	origin := startCounting(t)
	for _, want := range []string{"fwd=uri-miss", "; hit; ttl="} {
		out, err := exec.CommandContext(t.Context(), program(t), "--cache-dir", dir, "explain", "http://"+origin.addr+"/page").CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), "asking the proxy that is running\nclient > GET http://"+origin.addr+"/page HTTP/1.1\n") || !strings.Contains(string(out), want) {
			t.Errorf("%v, printed:\n%s", err, out)
		}
	}
}

// command runs a program in dir with a home of its own and fails the test if it
// fails.
func command(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), need(t, name), args...)
	cmd.Dir = dir
	cmd.Env = append([]string{"HOME=" + dir, "PATH=" + os.Getenv("PATH"), "LC_ALL=C"}, env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// git clones, pushes what is too large for one buffer, and pulls, through a
// proxy over TLS with a password.
func TestGit(t *testing.T) {
	git := need(t, "git")
	t.Parallel()
	dir := t.TempDir()
	quiet := []string{"GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.org"}
	command(t, dir, quiet, "git", "init", "-q", "--bare", "repo.git")
	command(t, filepath.Join(dir, "repo.git"), quiet, "git", "config", "http.receivepack", "true")
	backend := &cgi.Handler{
		Path: git, Args: []string{"http-backend"}, Dir: dir,
		Env: []string{"GIT_PROJECT_ROOT=" + dir, "GIT_HTTP_EXPORT_ALL=1", "HOME=" + dir},
	}
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, err := io.ReadAll(r.Body) // CGI wants to know its length
		if err != nil {
			return
		}
		r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(bytes.NewReader(content)), int64(len(content)), nil
		backend.ServeHTTP(w, r)
	}))
	t.Cleanup(origin.Close)
	p := startGuarded(t)
	through := append(quiet, "GIT_TERMINAL_PROMPT=0")
	settings := []string{"-c", "http.proxy=" + p.url, "-c", "http.proxySSLCAInfo=" + p.ca, "-c", "http.postBuffer=65536", "-c", "init.defaultBranch=main"}
	run := func(where string, args ...string) {
		t.Helper()
		command(t, where, through, "git", append(append([]string(nil), settings...), args...)...)
	}
	run(dir, "clone", "-q", origin.URL+"/repo.git", "one")
	one := filepath.Join(dir, "one")
	content := make([]byte, 2<<20)
	for i := range content {
		content[i] = byte(i * i >> 3)
	}
	writeFiles(t, one, map[string][]byte{"file": content})
	run(one, "add", "file")
	run(one, "commit", "-q", "-m", "a file")
	run(one, "push", "-q", "origin", "HEAD:main")
	run(dir, "clone", "-q", "-b", "main", origin.URL+"/repo.git", "two")
	got, err := os.ReadFile(filepath.Join(dir, "two", "file"))
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("the clone has another file: %d bytes, %v", len(got), err)
	}
	writeFiles(t, one, map[string][]byte{"second": []byte("2\n")})
	run(one, "add", "second")
	run(one, "commit", "-q", "-m", "second")
	run(one, "push", "-q", "origin", "HEAD:main")
	run(filepath.Join(dir, "two"), "pull", "-q", "origin", "main")
	if _, err := os.Stat(filepath.Join(dir, "two", "second")); err != nil {
		t.Errorf("after the pull: %v", err)
	}
}

// npm installs a package through a proxy over TLS with a password.
func TestNpm(t *testing.T) {
	need(t, "npm")
	t.Parallel()
	var archive bytes.Buffer
	zipped := gzip.NewWriter(&archive)
	tarred := tar.NewWriter(zipped)
	for name, content := range map[string]string{
		"package/package.json": `{"name":"hello","version":"1.0.0","main":"index.js"}`, "package/index.js": "module.exports = 'hello'\n",
	} {
		tarred.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))})
		io.WriteString(tarred, content)
	}
	tarred.Close()
	zipped.Close()
	sum := sha1.Sum(archive.Bytes())
	var mu sync.Mutex
	asked := map[string]int{}
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked[r.URL.Path]++
		mu.Unlock()
		switch r.URL.Path {
		case "/hello":
			w.Header().Set("Cache-Control", "max-age=300")
			json.NewEncoder(w).Encode(map[string]any{
				"name": "hello", "dist-tags": map[string]string{"latest": "1.0.0"},
				"versions": map[string]any{"1.0.0": map[string]any{"name": "hello", "version": "1.0.0", "dist": map[string]string{
					"tarball": "http://" + r.Host + "/hello/-/hello-1.0.0.tgz", "shasum": hex.EncodeToString(sum[:]),
				}}},
			})
		case "/hello/-/hello-1.0.0.tgz":
			w.Header().Set("Cache-Control", "max-age=300")
			w.Write(archive.Bytes())
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(origin.Close)
	p := startGuarded(t)
	for range 2 {
		dir := t.TempDir()
		writeFiles(t, dir, map[string][]byte{"package.json": []byte(`{"name":"x","version":"1.0.0"}`)})
		command(t, dir, nil, "npm", "install", "hello", "--cafile", p.ca, "--registry", origin.URL+"/",
			"--proxy", p.url, "--https-proxy", p.url, "--noproxy=", "--no-audit", "--no-fund", "--no-update-notifier", "--fetch-retries", "0", "--cache", filepath.Join(dir, "cache"))
		if got, err := os.ReadFile(filepath.Join(dir, "node_modules", "hello", "index.js")); err != nil || !strings.Contains(string(got), "hello") {
			t.Errorf("%q, %v", got, err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if n := asked["/hello/-/hello-1.0.0.tgz"]; n != 1 {
		t.Errorf("the package was fetched %d times, want once: %v", n, asked)
	}
}

// Go fetches a module in path style: the proxy is a cache for a room, and the
// students name it in GOPROXY.
func TestGoModules(t *testing.T) {
	need(t, "go")
	t.Parallel()
	var module bytes.Buffer
	zipped := zip.NewWriter(&module)
	for name, content := range map[string]string{"go.mod": "module hello.example/hello\n", "hello.go": "package hello\n"} {
		w, err := zipped.Create("hello.example/hello@v1.0.0/" + name)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, content)
	}
	zipped.Close()
	var mu sync.Mutex
	asked := map[string]int{}
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked[r.URL.Path]++
		mu.Unlock()
		w.Header().Set("Cache-Control", "max-age=300")
		switch strings.TrimPrefix(r.URL.Path, "/mod/hello.example/hello/@v/") {
		case "v1.0.0.info":
			io.WriteString(w, `{"Version":"v1.0.0","Time":"2026-01-01T00:00:00Z"}`)
		case "v1.0.0.mod":
			io.WriteString(w, "module hello.example/hello\n")
		case "v1.0.0.zip":
			w.Write(module.Bytes())
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(origin.Close)
	p := start(t, nil, "--addr", "127.0.0.1:0", "--cache-dir", t.TempDir())
	for range 2 {
		// Go may still write to its home when it has ended.
		dir, err := os.MkdirTemp("", "proxyserver-go-") //nolint:usetesting // see above
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		command(t, dir, []string{
			"GOPROXY=http://" + p.addr + "/" + origin.URL + "/mod", "GONOSUMDB=*", "GONOSUMCHECK=1", "GOFLAGS=-modcacherw", "GOTOOLCHAIN=local",
			"GOPATH=" + filepath.Join(dir, "go"), "GOCACHE=" + filepath.Join(dir, "build"), "GOWORK=off",
		}, "go", "mod", "download", "hello.example/hello@v1.0.0")
		if _, err := os.Stat(filepath.Join(dir, "go", "pkg", "mod", "hello.example", "hello@v1.0.0", "hello.go")); err != nil {
			t.Error(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if n := asked["/mod/hello.example/hello/@v/v1.0.0.zip"]; n != 1 {
		t.Errorf("the module was fetched %d times, want once: %v", n, asked)
	}
}

// apt installs from an archive that sends it on to another host, by proxy over
// TLS with a password and in path style; packages are kept.
func TestApt(t *testing.T) {
	need(t, "apt-get")
	need(t, "dpkg-deb")
	t.Parallel()
	dir := t.TempDir()
	pkg := filepath.Join(dir, "hello-topdown")
	if err := os.MkdirAll(filepath.Join(pkg, "DEBIAN"), 0o755); err != nil {
		t.Fatal(err)
	}
	control := "Package: hello-topdown\nVersion: 1.0\nArchitecture: all\nMaintainer: a <a@example.org>\nDescription: a test\n"
	writeFiles(t, filepath.Join(pkg, "DEBIAN"), map[string][]byte{"control": []byte(control)})
	command(t, dir, nil, "dpkg-deb", "--root-owner-group", "-b", pkg, filepath.Join(dir, "hello.deb"))
	deb, err := os.ReadFile(filepath.Join(dir, "hello.deb"))
	if err != nil {
		t.Fatal(err)
	}
	sum := strings.Fields(command(t, dir, nil, "sha256sum", "hello.deb"))[0]
	packages := control + fmt.Sprintf("Filename: ./pool/hello.deb\nSize: %d\nSHA256: %s\n", len(deb), sum)
	var mu sync.Mutex
	asked := map[string]int{}
	mirror := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked[path.Clean(r.URL.Path)]++
		mu.Unlock()
		w.Header().Set("Last-Modified", "Mon, 02 Mar 2026 10:00:00 GMT")
		switch path.Clean(r.URL.Path) {
		case "/debian/Packages":
			io.WriteString(w, packages)
		case "/debian/pool/hello.deb":
			w.Write(deb)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(mirror.Close)
	archive := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".deb") {
			http.Redirect(w, r, mirror.URL+r.URL.Path, http.StatusFound)
			return
		}
		mirror.Config.Handler.ServeHTTP(w, r)
	}))
	t.Cleanup(archive.Close)
	guard := startGuarded(t)
	plain := start(t, nil, "--addr", "127.0.0.1:0", "--cache-dir", t.TempDir())
	for _, tt := range []struct {
		name, source string
		options      []string
	}{
		{"proxy", archive.URL + "/debian", []string{"-o", "Acquire::http::Proxy=" + guard.url, "-o", "Acquire::https::CaInfo=" + guard.ca}},
		{"path style", "http://" + plain.addr + "/" + archive.URL + "/debian", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mu.Lock()
			clear(asked)
			mu.Unlock()
			for range 2 {
				root := t.TempDir()
				for _, d := range []string{"state/lists/partial", "cache/archives/partial", "etc/preferences.d", "etc/apt.conf.d"} {
					if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
						t.Fatal(err)
					}
				}
				writeFiles(t, root, map[string][]byte{"sources.list": []byte("deb [trusted=yes] " + tt.source + " ./\n"), "status": nil})
				apt := append([]string{
					"-o", "Dir::State=" + root + "/state", "-o", "Dir::State::status=" + root + "/status", "-o", "Dir::Cache=" + root + "/cache",
					"-o", "Dir::Etc=" + root + "/etc", "-o", "Dir::Etc::sourcelist=" + root + "/sources.list", "-o", "Dir::Etc::sourceparts=-",
					"-o", "APT::Sandbox::User=root", "-o", "Acquire::Languages=none", "-o", "Acquire::Retries=0", "-o", "Debug::NoLocking=1",
				}, tt.options...)
				command(t, root, nil, "apt-get", append(apt, "update")...)
				command(t, root, nil, "apt-get", append(apt, "download", "hello-topdown")...)
				if found, _ := filepath.Glob(filepath.Join(root, "*.deb")); len(found) != 1 {
					t.Errorf("downloaded: %v", found)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			if n := asked["/debian/pool/hello.deb"]; n != 1 {
				t.Errorf("the package was fetched %d times, want once: %v", n, asked)
			}
		})
	}
}

// wget knows no proxy over TLS; it takes the password over plain HTTP.
func TestWget(t *testing.T) {
	need(t, "wget")
	t.Parallel()
	origin := startCounting(t)
	p := start(t, nil, "--addr", "127.0.0.1:0", "--cache-dir", t.TempDir(), "--auth-file", usersFile(t))
	got := command(t, t.TempDir(), []string{"http_proxy=http://ann:secret@" + p.addr}, "wget", "-q", "-O", "-", "http://"+origin.addr+"/page")
	if got != "counted\n" {
		t.Errorf("%q", got)
	}
}
