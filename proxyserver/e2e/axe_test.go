//go:build unix

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// axeScript returns the accessibility checker axe: scripts/peers install has npm
// put it where all users find it.
func axeScript(t *testing.T) string {
	t.Helper()
	where, err := exec.Command(need(t, "npm"), "root", "--global").Output()
	if err != nil {
		t.Fatalf("npm root --global: %v", err)
	}
	script, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(where)), "axe-core", "axe.min.js"))
	if err != nil && os.Getenv("TOPDOWN_REQUIRE_REAL") == "1" {
		t.Fatalf("npm has no axe-core, and TOPDOWN_REQUIRE_REAL=1: %v", err)
	} else if err != nil {
		t.Skipf("npm has no axe-core: %v", err)
	}
	return string(script)
}

// accessible has axe look at the page that the browser shows, and reports what it
// finds serious or critical.
func (b *browser) accessible(axe, page string) {
	b.t.Helper()
	b.eval(axe+"; true", nil)
	var report struct {
		Passes     int
		Violations []struct {
			ID, Impact, Help string
			Nodes            []struct{ HTML, FailureSummary string }
		}
	}
	b.eval(`axe.run().then(r => ({passes: r.passes.length, violations: r.violations}))`, &report)
	if report.Passes == 0 {
		b.t.Errorf("%s: axe found nothing to check", page)
	}
	for _, v := range report.Violations {
		var where strings.Builder
		for _, node := range v.Nodes {
			fmt.Fprintf(&where, "\n%.200s\n%s", node.HTML, node.FailureSummary)
		}
		say := b.t.Logf
		if v.Impact == "serious" || v.Impact == "critical" {
			say = b.t.Errorf
		}
		say("%s: %s (%s): %s%s", page, v.ID, v.Impact, v.Help, where.String())
	}
}

// dark has pages drawn as a reader who prefers dark ones sees them.
func (b *browser) dark(on bool) {
	b.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{
		{"name": "prefers-color-scheme", "value": map[bool]string{true: "dark", false: "light"}[on]},
	}})
}
