//go:build unix

package e2e_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// TestSampleSite: without --root the binary brings its own pages, each link of
// which leads somewhere.
func TestSampleSite(t *testing.T) {
	t.Parallel()
	s := start(t)
	link := regexp.MustCompile(`(?:href|src|action)="([^"#]+)"`)
	seen := map[string]bool{}
	queue := []string{"/", "/HelloWorld.html", "/MyForm.html", "/403.html", "/404.html"}
	images := 0
	for len(queue) > 0 {
		target := queue[0]
		queue = queue[1:]
		if seen[target] {
			continue
		}
		seen[target] = true
		r := s.get(t, target)
		if strings.Contains(target, "NoSuch") {
			continue // the sample of a 404
		}
		if r.StatusCode != 200 || len(r.body) == 0 {
			t.Errorf("%s: %s, %d bytes", target, r.Status, len(r.body))
		}
		if strings.HasPrefix(r.field("Content-Type"), "image/") {
			images++
		}
		if !strings.HasPrefix(r.field("Content-Type"), "text/html") {
			continue
		}
		base, err := url.Parse(target)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(r.body), -1) {
			to, err := base.Parse(m[1])
			if err != nil {
				t.Errorf("%s: link %q: %v", target, m[1], err)
			} else if to.Host == "" && to.Scheme == "" {
				queue = append(queue, to.RequestURI())
			}
		}
	}
	if images == 0 {
		t.Errorf("no image among %v", seen)
	}
	hello := s.get(t, "/HelloWorld.html")
	if !strings.Contains(string(hello.body), "Hello") || !strongETag.MatchString(hello.field("ETag")) {
		t.Errorf("HelloWorld.html: ETag %q\n%s", hello.field("ETag"), hello.body)
	}
	if r := s.get(t, "/HelloWorld.html", "If-None-Match: "+hello.field("ETag")); r.StatusCode != 304 {
		t.Errorf("HelloWorld.html again: %s, want 304", r.Status)
	}
	if r := s.get(t, "/image.png", "Range: bytes=0-7"); r.StatusCode != 206 || string(r.body) != "\x89PNG\r\n\x1a\n" {
		t.Errorf("the first bytes of image.png: %s %q", r.Status, r.body)
	}
	for _, target := range []string{"/www.go", "/text.go", "/../www.go", "/.", "/%2e%2e/"} {
		if r := s.get(t, target); strings.Contains(string(r.body), "package www") {
			t.Errorf("%s: %s with source code", target, r.Status)
		}
	}
}

// TestListing: HTML or JSON by Accept; only what can be served is in it, and
// names are escaped for HTML and for URLs.
func TestListing(t *testing.T) {
	t.Parallel()
	names := []string{"a file.txt", "<img src=x onerror=alert(1)>.txt", `"quoted" & 'co'.txt`, "100%25.txt", "ünï.txt", "ha#sh?.txt", "java:script.txt", "semi;colon.txt", "sub", "a+b.txt"}
	root := writeTree(t, nil)
	dir := filepath.Join(root, "list")
	for _, name := range names {
		if name == "sub" {
			name = "sub/inner.txt"
		}
		writeFile(t, filepath.Join(dir, name), "content of it")
	}
	writeFile(t, filepath.Join(dir, ".hidden"), "no")
	writeFile(t, filepath.Join(dir, ".well-known/x"), "no")
	writeFile(t, filepath.Join(root, "index/index.html"), "the index")
	for _, err := range []error{
		mkfifo(filepath.Join(dir, "fifo")),
		os.Symlink("/etc/passwd", filepath.Join(dir, "link-out")),
		os.Symlink("a file.txt", filepath.Join(dir, "link-in")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	names = append(names, "link-in")
	slices.Sort(names)
	s := start(t, "--root", root, "--listing")
	page := s.get(t, "/list/")
	if page.StatusCode != 200 || !strings.HasPrefix(page.field("Content-Type"), "text/html") {
		t.Fatalf("%s %s", page.Status, page.field("Content-Type"))
	}
	if strings.Contains(string(page.body), "<img src=x") {
		t.Error("a name became markup")
	}
	if strings.Contains(strings.ToLower(string(page.body)), "<script") {
		t.Error("the page needs a script")
	}
	// Each link can be followed, and leads to the file.
	hrefs := map[string]bool{}
	for _, m := range regexp.MustCompile(`href="([^"]*)"`).FindAllStringSubmatch(string(page.body), -1) {
		hrefs[strings.ReplaceAll(m[1], "&amp;", "&")] = true
	}
	base := &url.URL{Path: "/list/"}
	found := map[string]bool{}
	for href := range hrefs {
		to, err := base.Parse(href)
		if err != nil {
			t.Errorf("link %q: %v", href, err)
			continue
		}
		if to.Scheme != "" || to.Host != "" {
			if to.Scheme != "data" {
				t.Errorf("link %q leads away", href)
			}
			continue
		}
		name := strings.TrimSuffix(strings.TrimPrefix(to.Path, "/list/"), "/")
		if strings.HasPrefix(to.Path, "/list/") && name != "" {
			found[name] = true
		}
		if r := s.get(t, to.RequestURI()); r.StatusCode != 200 {
			t.Errorf("link %q: %s", href, r.Status)
		}
	}
	for _, name := range names {
		if !found[name] {
			t.Errorf("no link leads to %q", name)
		}
	}
	for name := range found {
		if !slices.Contains(names, name) {
			t.Errorf("%q is listed", name)
		}
	}
	// Sorting, by links that the page itself offers.
	sorts := map[string]bool{}
	for href := range hrefs {
		if strings.HasPrefix(href, "?") {
			sorts[string(s.get(t, "/list/"+href).body)] = true
		}
	}
	if len(sorts) < 3 {
		t.Errorf("%d different orders among the links, want name, size and time", len(sorts))
	}
	if r := s.get(t, "/list/?nonsense=%00&sort=%3Cscript%3E"); r.StatusCode != 200 && r.StatusCode != 400 || strings.Contains(string(r.body), "<script>") {
		t.Errorf("an odd query: %s", r.Status)
	}

	jsonReply := s.get(t, "/list/", "Accept: application/json")
	if got := jsonReply.field("Content-Type"); !strings.HasPrefix(got, "application/json") {
		t.Fatalf("JSON: %s, Content-Type %q", jsonReply.Status, got)
	}
	for _, r := range []*reply{page, jsonReply} {
		if !strings.Contains(strings.ToLower(r.field("Vary")), "accept") {
			t.Errorf("Vary %q of a listing", r.field("Vary"))
		}
		if cc := r.field("Cache-Control"); strings.Contains(cc, "immutable") || strings.Contains(cc, "max-age=") && !strings.Contains(cc, "max-age=0") {
			t.Errorf("Cache-Control %q of a listing", cc)
		}
	}
	var entries []struct {
		Name, Type, MTime string
		Size              *int64
	}
	if err := json.Unmarshal(jsonReply.body, &entries); err != nil {
		t.Fatalf("%v in %s", err, jsonReply.body)
	}
	var listed []string
	for _, e := range entries {
		listed = append(listed, e.Name)
		if e.Name == "sub" && e.Type != "directory" || e.Name == "a file.txt" && (e.Type != "file" || e.Size == nil || *e.Size != 13) {
			t.Errorf("entry %+v", e)
		}
	}
	slices.Sort(listed)
	if !slices.Equal(listed, names) {
		t.Errorf("JSON lists %q, want %q", listed, names)
	}
	for accept, want := range map[string]string{
		"*/*": "text/html", "text/html,application/xhtml+xml,*/*;q=0.8": "text/html", "application/json;q=0.1, text/html": "text/html",
		"text/html;q=0.1, application/json": "application/json", "application/json, text/plain": "application/json",
	} {
		if got := s.get(t, "/list/", "Accept: "+accept).field("Content-Type"); !strings.HasPrefix(got, want) {
			t.Errorf("Accept: %s: %q, want %s", accept, got, want)
		}
	}
	if r := s.get(t, "/index/"); string(r.body) != "the index" {
		t.Errorf("a directory with an index: %q", r.body)
	}
	if r := s.get(t, "/list/.well-known/"); r.StatusCode != 200 && r.StatusCode != 404 {
		t.Errorf(".well-known below the top: %s", r.Status)
	}
	// A new file is seen at once.
	writeFile(t, filepath.Join(dir, "newcomer.txt"), "x")
	written := time.Now()
	for asked := written; !strings.Contains(string(s.get(t, "/list/").body), "newcomer.txt"); asked = time.Now() {
		if asked.Sub(written) > 2*freshWithin {
			t.Fatal("a new file is not listed after a second")
		}
	}
}

// TestNoListing: without the flag a directory shows nothing.
func TestNoListing(t *testing.T) {
	t.Parallel()
	s := start(t, "--root", writeTree(t, map[string]string{"dir/name-of-a-file.txt": "x"}))
	for _, accept := range []string{"text/html", "application/json"} {
		if r := s.get(t, "/dir/", "Accept: "+accept); !statuses("403|404", r.StatusCode) || strings.Contains(string(r.body), "name-of-a-file") {
			t.Errorf("%s: %s %q", accept, r.Status, r.body)
		} else if !strings.Contains(string(r.body), "--listing") {
			t.Errorf("the page does not say why nothing is shown: %s", r.body)
		}
	}
}

// TestSPA: paths that name no file get index.html, and only those.
func TestSPA(t *testing.T) {
	t.Parallel()
	root := writeTree(t, map[string]string{"index.html": "<p>the app</p>", "app.js": "code", ".env": "secret", "private.txt": "no", "dir/x.txt": "x"})
	if err := os.Chmod(filepath.Join(root, "private.txt"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, "--root", root, "--spa")
	for _, test := range []struct{ target, want, body string }{
		{"/", "200", "the app"},
		{"/user/42", "200", "the app"},
		{"/user/42?tab=1", "200", "the app"},
		{"/app.js", "200", "code"},
		{"/private.txt", "403", ""},
		{"/.env", "200|404", ""},
		{"/%00", "400", ""},
		{"/..%2f", "400", ""},
	} {
		r := s.get(t, test.target, "Accept: text/html")
		if !statuses(test.want, r.StatusCode) || !strings.Contains(string(r.body), test.body) || strings.Contains(string(r.body), "secret") {
			t.Errorf("%s: %s %.60q, want %s with %q", test.target, r.Status, r.body, test.want, test.body)
		}
		if r.StatusCode == 200 && test.body == "the app" && !strings.HasPrefix(r.field("Content-Type"), "text/html") {
			t.Errorf("%s: Content-Type %q", test.target, r.field("Content-Type"))
		}
	}
	r := s.get(t, "/user/42")
	if again := s.get(t, "/user/42", "If-None-Match: "+r.field("ETag")); again.StatusCode != 304 {
		t.Errorf("revalidated: %s", again.Status)
	}
}

// TestCacheControl: everything revalidates unless its name is fingerprinted.
func TestCacheControl(t *testing.T) {
	t.Parallel()
	root := writeTree(t, map[string]string{
		"page.html": "x", "style.css": "x", "photo.jpg": "x", "jquery-3.7.1.js": "x", "app.min.js": "x", "index-of-names.js": "x",
		"main.8e0d62a1.js": "x", "style-B4gHJk2x.css": "x", "app.0a1b2c3d4e5f.css": "x", "page.8e0d62a1.html": "x",
	})
	s := start(t, "--root", root)
	for name, immutable := range map[string]bool{
		"page.html": false, "style.css": false, "photo.jpg": false, "jquery-3.7.1.js": false, "app.min.js": false, "index-of-names.js": false,
		"main.8e0d62a1.js": true, "app.0a1b2c3d4e5f.css": true, "page.8e0d62a1.html": false,
	} {
		cc := s.get(t, "/"+name).field("Cache-Control")
		if immutable {
			if !strings.Contains(cc, "immutable") || !strings.Contains(cc, "max-age=31536000") {
				t.Errorf("%s: Cache-Control %q, want a year and immutable", name, cc)
			}
			continue
		}
		if !strings.Contains(cc, "no-cache") && !strings.Contains(cc, "max-age=0") {
			t.Errorf("%s: Cache-Control %q, want revalidation", name, cc)
		}
	}
	if cc := s.get(t, "/missing.8e0d62a1.js").field("Cache-Control"); strings.Contains(cc, "immutable") {
		t.Errorf("404 with Cache-Control %q", cc)
	}
	s = start(t, "--root", root, "--cache-control", "public, max-age=60")
	for _, name := range []string{"/page.html", "/style.css"} {
		if cc := s.get(t, name).field("Cache-Control"); cc != "public, max-age=60" {
			t.Errorf("%s: Cache-Control %q, want what the flag says", name, cc)
		}
	}
	p := launch{args: []string{"--addr", "127.0.0.1:0", "--root", root, "--cache-control", "x\r\nSet-Cookie: y"}}.run(t)
	if code := p.exit(t); code != 2 {
		t.Errorf("a line break in --cache-control: exit code %d, want 2", code)
	}
}

// TestHtpasswd: everything needs a name and its password.
func TestHtpasswd(t *testing.T) {
	t.Parallel()
	hash, err := bcrypt.GenerateFromPassword([]byte("open:sesame"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "htpasswd")
	text := "# people\nada:" + string(hash) + "\n\n"
	if tool, err := exec.LookPath("htpasswd"); err == nil {
		out, err := exec.Command(tool, "-nbBC", "4", "bob", "pässword").Output()
		if err != nil {
			t.Fatal(err)
		}
		text += string(out)
	}
	writeFile(t, path, text)
	root := writeTree(t, map[string]string{"dir/index.html": "x"})
	basic := func(credentials string) string {
		return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(credentials))
	}
	plainAndTLS(t, func(t *testing.T, s *server) {
		t.Helper()
		for _, target := range []string{"/alive.txt", "/dir", "/missing", "/"} {
			r := s.get(t, target)
			if r.StatusCode != 401 || !strings.HasPrefix(r.field("WWW-Authenticate"), "Basic realm=") {
				t.Errorf("%s without credentials: %s, %q", target, r.Status, r.field("WWW-Authenticate"))
			}
			if strings.Contains(string(r.body), "alive") {
				t.Errorf("%s: the page of the 401 is %q", target, r.body)
			}
		}
		for field, want := range map[string]string{
			basic("ada:open:sesame"):                      "200",
			basic("ada:open"):                             "401",
			basic("ada:"):                                 "401",
			basic("ada"):                                  "400|401",
			basic("Ada:open:sesame"):                      "401",
			basic(":open:sesame"):                         "401",
			basic("eve:open:sesame"):                      "401",
			basic("ada:open:sesame\x00x"):                 "401",
			basic("ada:" + strings.Repeat("x", 10_000)):   "401",
			"Authorization: Basic":                        "400|401",
			"Authorization: Basic ???":                    "400|401",
			"Authorization: Bearer open:sesame":           "401",
			"Authorization: Digest username=ada":          "401",
			"Authorization: basic YWRhOm9wZW46c2VzYW1l":   "200",
			"Authorization: Basic  YWRhOm9wZW46c2VzYW1l ": "200",
		} {
			if r := s.get(t, "/alive.txt", field); !statuses(want, r.StatusCode) {
				t.Errorf("%s: %s, want %s", field, r.Status, want)
			}
		}
		if r := s.get(t, "/alive.txt", basic("ada:open:sesame"), basic("eve:x")); r.StatusCode == 200 {
			t.Errorf("two Authorization fields: %s", r.Status)
		}
		if strings.Contains(text, "bob:") {
			if r := s.get(t, "/alive.txt", basic("bob:pässword")); r.StatusCode != 200 {
				t.Errorf("a line of the real htpasswd: %s", r.Status)
			}
		}
		// The connection stays, as a browser expects that asks and comes back.
		c := s.dial(t)
		c.send(request("GET", "/alive.txt") + request("GET", "/alive.txt", basic("ada:open:sesame")))
		for _, want := range []int{401, 200} {
			if r := c.mustRead(t, "GET"); r.StatusCode != want {
				t.Errorf("%s, want %d", r.Status, want)
			}
		}
		s.stdout.await(t, "the name in the access log", func(text string) bool {
			return regexp.MustCompile(`(?m)^\S+ - ada \[.*" 200 `).MatchString(text)
		})
		if regexp.MustCompile(`(?m)^\S+ - \S+ \[.*" 401 `).FindString(s.stdout.String()) == "" || strings.Contains(s.stdout.String(), "sesame") {
			t.Errorf("access log:\n%s", s.stdout)
		}
	}, "--root", root, "--htpasswd", path, "--access-log", "-")
}

// TestPasswordFlood: 256 wrong passwords from one address, each on a connection that
// is closed at once, and somebody else comes in within seconds. Where a server
// without such company takes long as well, the machine is at fault.
func TestPasswordFlood(t *testing.T) {
	t.Parallel()
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.DefaultCost)
	if err != nil {
		t.Fatal(err)
	}
	users := filepath.Join(t.TempDir(), "htpasswd")
	writeFile(t, users, "ada:"+string(hash)+"\nbob:"+string(hash)+"\n")
	root := writeTree(t, nil)
	s, control := start(t, "--root", root, "--htpasswd", users), start(t, "--root", root, "--htpasswd", users)
	basic := func(user, password string) string {
		return request("GET", "/alive.txt", "Authorization: Basic "+base64.StdEncoding.EncodeToString([]byte(user+":"+password)))
	}
	login := func(s *server) time.Duration {
		t.Helper()
		c := dialFrom(t, "127.0.0.3", s.addr)
		began := time.Now()
		c.send(basic("bob", "secret"))
		if r := c.mustRead(t, "GET"); r.StatusCode != 200 {
			t.Errorf("the right password: %s", r.Status)
		}
		return time.Since(began)
	}
	for i := range 256 {
		c := dialFrom(t, "127.0.0.2", s.addr)
		c.send(basic([]string{"ada", "bob", "eve"}[i%3], fmt.Sprint("guess ", i)))
		c.Close()
	}
	took, usual := login(s), login(control)
	t.Logf("beside 256 wrong passwords: %v, without them: %v", took, usual)
	if took > 4*time.Second && took > 5*usual { // one after the other they take longer
		t.Errorf("somebody else waits for %v beside 256 wrong passwords, and %v without them", took, usual)
	}
}
