// Package exposure finds what should not stand below the root of a web server:
// secrets, leftovers, what leads out of it, and what others may change.
//
// It goes by names and modes, and looks into a file only to tell a private key from
// a certificate. It misses what bears a harmless name.
package exposure

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"
)

// Finding is one thing that should not be there.
type Finding struct {
	Path string // below the root, safe to print
	Why  string
}

// Find walks through the directory. What it cannot look into is an error, after all
// else has been looked at.
func Find(root string) (findings []Finding, err error) {
	real, err := filepath.EvalSymlinks(root)
	if err != nil {
		return nil, err
	}
	add := func(path, why string) {
		rel, relErr := filepath.Rel(real, path)
		if relErr != nil {
			rel = path
		}
		findings = append(findings, Finding{printable(rel), why})
	}
	walkErr := filepath.WalkDir(real, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			if path == real {
				return err
			}
			add(path, "this user cannot look into it")
			return nil
		}
		if path == real {
			return nil
		}
		if why := hidden(d.Name(), filepath.Dir(path) == real); why != "" {
			add(path, why)
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.Type()&fs.ModeSymlink != 0 {
			if target, evalErr := filepath.EvalSymlinks(path); evalErr != nil {
				add(path, "a link that leads nowhere")
			} else if rel, relErr := filepath.Rel(real, target); relErr != nil || rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
				add(path, "a link that leads out, to "+printable(target)+" (it is not followed)")
			}
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return nil // it has just gone
		}
		if info.IsDir() && info.Mode().Perm()&0o001 == 0 {
			add(path, "others may not enter this directory, but what they may read in it is served")
		}
		if info.Mode().Perm()&0o002 != 0 && (info.IsDir() && info.Mode()&fs.ModeSticky == 0 || info.Mode().IsRegular()) {
			add(path, "every user of this machine may write it")
		}
		if info.Mode().IsRegular() && info.Mode().Perm()&0o004 != 0 {
			if why := secret(path, d.Name()); why != "" {
				add(path, why)
			}
		}
		return nil
	})
	return findings, walkErr
}

// hidden says what is wrong with a name that begins with a dot. This server does
// not serve it; the next one may.
func hidden(name string, top bool) string {
	const but = " (this server does not serve it, but it should not stand here)"
	switch lower := strings.ToLower(name); {
	case !strings.HasPrefix(name, ".") || top && lower == ".well-known":
		return ""
	case lower == ".git" || lower == ".svn" || lower == ".hg" || lower == ".bzr":
		return "the history of all versions" + but
	case strings.HasPrefix(lower, ".env"):
		return "settings, which are often secret" + but
	case strings.HasPrefix(lower, ".ht"), lower == ".netrc", lower == ".pgpass", lower == ".npmrc", lower == ".aws", lower == ".ssh":
		return "passwords or keys" + but
	case lower == ".ds_store":
		return "a list of the files of this directory" + but
	}
	return ""
}

// secret says what is wrong with a file that others may read.
func secret(path, name string) string {
	lower := strings.ToLower(name)
	switch lower {
	case "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519":
		return "a private key"
	case "htpasswd", "passwd", "shadow":
		return "passwords"
	}
	switch ext := filepath.Ext(lower); ext {
	case ".p12", ".pfx", ".jks", ".kdbx":
		return "keys or passwords"
	case ".key", ".pem", ".ppk":
		if isPrivateKey(path) {
			return "a private key"
		}
	case ".bak", ".old", ".orig", ".save", ".swp", ".swo", ".tmp", ".rej":
		return "a leftover of an editor or a backup"
	case ".sql", ".dump", ".sqlite", ".sqlite3", ".db":
		return "a database"
	case ".log":
		return "a log"
	}
	if strings.HasSuffix(lower, "~") || strings.HasPrefix(lower, "#") && strings.HasSuffix(lower, "#") {
		return "a leftover of an editor or a backup"
	}
	return ""
}

// isPrivateKey looks at the beginning of a file.
func isPrivateKey(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, 64<<10))
	return err == nil && (bytes.Contains(text, []byte("PRIVATE KEY-----")) || bytes.HasPrefix(text, []byte("PuTTY-User-Key-File")))
}

// printable escapes what a name may hold to confuse a terminal.
func printable(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.QuoteToASCII(name)
	}
	return name
}
