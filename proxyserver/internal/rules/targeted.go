package rules

import (
	"slices"

	"topdown/pkg/httpmsg"

	"github.com/dunglas/httpsfv"
)

// policy is what a response says about its caching to this cache.
type policy struct {
	directives
	targeted string // the targeted field that said it; "" for Cache-Control
}

// policyOf reads the first valid targeted field, or else Cache-Control
// (RFC 9213, section 2.2).
func policyOf(f httpmsg.Fields, c Config) policy {
	for _, name := range c.Targeted {
		if !f.Has(name) {
			continue
		}
		if d, ok := parseTargeted(slices.Collect(f.Values(name))); ok {
			return policy{d, name}
		}
	}
	return policy{directives: parseCacheControl(f)}
}

// parseTargeted reads the lines of a targeted cache control field, which is a
// dictionary (RFC 9213, section 2.1; RFC 9651). ok is false where it is empty
// or not one, and then all of it must be ignored. A directive whose value is
// of the wrong type is ignored alone. Of one given twice the last counts.
func parseTargeted(lines []string) (d directives, ok bool) {
	dict, err := httpsfv.UnmarshalDictionary(lines)
	if err != nil || len(dict.Names()) == 0 {
		return d, false
	}
	d = noDirectives()
	d.present = true
	for _, name := range dict.Names() {
		member, _ := dict.Get(name)
		item, isItem := member.(httpsfv.Item)
		if !isItem {
			continue
		}
		if seconds := d.seconds(name); seconds != nil {
			if n, isInteger := item.Value.(int64); isInteger && n >= 0 {
				*seconds = min(n, maxSeconds)
			} else if isInteger {
				*seconds = invalid
			}
			continue
		}
		arg, qualified := item.Value.(string)
		if token, isToken := item.Value.(httpsfv.Token); isToken {
			arg, qualified = string(token), true
		}
		on, isBoolean := item.Value.(bool)
		switch {
		case name == "no-cache" && (qualified || on):
			d.restrict(&d.noCache, &d.noCacheFields, arg, qualified)
		case name == "private" && (qualified || on):
			d.restrict(&d.private, &d.privateFields, arg, qualified)
		case name != "no-cache" && name != "private" && isBoolean:
			if flag := d.flag(name); flag != nil {
				*flag = on
			}
		}
	}
	return d, true
}
