//go:build unix

package e2e_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

var (
	promSample = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*",?)*\})? (\S+)( -?\d+)?$`)
	promHelp   = regexp.MustCompile(`^# HELP [a-zA-Z_:][a-zA-Z0-9_:]* .*$`)
	promType   = regexp.MustCompile(`^# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram|summary|untyped)$`)
)

// parsePrometheus reads the text format in version 0.0.4 strictly: the values
// by name and labels.
func parsePrometheus(text string) (map[string]float64, error) {
	if !strings.HasSuffix(text, "\n") {
		return nil, fmt.Errorf("the last line does not end")
	}
	samples, types, closed := map[string]float64{}, map[string]string{}, map[string]bool{}
	family := ""
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		bad := func(why string) error { return fmt.Errorf("line %d: %s: %q", i+1, why, line) }
		if m := promType.FindStringSubmatch(line); m != nil {
			if types[m[1]] != "" {
				return nil, bad("a second type")
			}
			types[m[1]] = m[2]
			continue
		}
		if strings.HasPrefix(line, "#") {
			if strings.HasPrefix(line, "# TYPE") || strings.HasPrefix(line, "# HELP") && !promHelp.MatchString(line) {
				return nil, bad("not a comment of the format")
			}
			continue
		}
		m := promSample.FindStringSubmatch(line)
		if m == nil {
			return nil, bad("not a sample")
		}
		value, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			return nil, bad("not a number")
		}
		if _, twice := samples[m[1]+m[2]]; twice {
			return nil, bad("a second value")
		}
		// The lines of one metric stand together.
		name := m[1]
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if base, ok := strings.CutSuffix(name, suffix); ok && (types[base] == "histogram" || types[base] == "summary") {
				name = base
			}
		}
		if name != family {
			if closed[name] {
				return nil, bad("apart from the others of its name")
			}
			closed[family], family = true, name
		}
		samples[m[1]+m[2]] = value
	}
	if len(samples) == 0 {
		return nil, fmt.Errorf("no samples")
	}
	return samples, nil
}
