package rubric

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/BurntSushi/toml"
)

// A setting is what an instructor changes of one check.
type setting struct {
	Points *int
	Skip   bool
	Title  *string
	Hint   *string
	Bonus  *bool
}

// Apply changes the rubric as the TOML text says: a table for each lab, in it one
// for each check.
//
//	[webserver.hello]
//	points = 20
//	[webserver.keepalive]
//	skip = true
func (r *Rubric) Apply(text string) error {
	var labs map[string]map[string]setting
	meta, err := toml.Decode(text, &labs)
	if err != nil {
		return err
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return fmt.Errorf("%s: a check has points, skip, bonus, title and hint", unknown[0])
	}
	for id, s := range labs[r.Lab] {
		i := slices.IndexFunc(r.Checks, func(c Check) bool { return c.ID == id })
		if i < 0 {
			return fmt.Errorf("%s.%s: there is no such check; there are %s", r.Lab, id, strings.Join(r.IDs(), ", "))
		}
		c := &r.Checks[i]
		if s.Points != nil {
			if *s.Points < 0 {
				return fmt.Errorf("%s.%s: points = %d: 0 or more is expected", r.Lab, id, *s.Points)
			}
			c.Points = *s.Points
		}
		if s.Title != nil {
			c.Title = *s.Title
		}
		if s.Hint != nil {
			c.Hint = *s.Hint
		}
		if s.Bonus != nil {
			c.Bonus = *s.Bonus
		}
		if s.Skip {
			r.Checks = slices.Delete(r.Checks, i, i+1)
		}
	}
	return nil
}

// IDs returns the checks' IDs.
func (r *Rubric) IDs() []string {
	ids := make([]string, len(r.Checks))
	for i, c := range r.Checks {
		ids[i] = c.ID
	}
	return ids
}

// fill replaces {name} by its value.
func fill(text string, vars map[string]string) string {
	if text == "" {
		return ""
	}
	names := make([]string, 0, len(vars))
	for name := range vars {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		text = strings.ReplaceAll(text, "{"+name+"}", vars[name])
	}
	return text
}
