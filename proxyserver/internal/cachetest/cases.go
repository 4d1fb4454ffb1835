package cachetest

import "fmt"

// Cases returns the table.
func Cases() []Case {
	var all []Case
	for _, part := range [][]Case{
		storingCases(), freshnessCases(), ageCases(), requestCases(), validationCases(), conditionalCases(),
		varyCases(), invalidationCases(), authorizationCases(), rangeCases(), headCases(), staleCases(),
		targetedCases(), fieldCases(), mixtureCases(),
	} {
		all = append(all, part...)
	}
	return all
}

// reused is a case of a response that answers a second request too.
func reused(name, section, reply string, wait int) Case {
	return Case{Name: name, Section: section, Steps: []Step{{Reply: "200\n" + reply}, {Wait: wait}}}
}

// notReused is one that does not: the origin is asked again.
func notReused(name, section, reply string, wait int) Case {
	return Case{Name: name, Section: section, Steps: []Step{{Reply: "200\n" + reply}, {Wait: wait, Reply: "200\n" + reply}}}
}

func storingCases() []Case {
	const s3 = "RFC 9111, 3"
	cases := []Case{
		notReused("neither freshness nor validator", s3, "", 0),
		notReused("no-store", "RFC 9111, 5.2.2.5", "Cache-Control: no-store", 0),
		notReused("no-store in any case", "RFC 9111, 5.2", "Cache-Control: No-StOrE, max-age=100", 0),
		notReused("no-store beats max-age and Expires", "RFC 9111, 5.2.2.5", "Cache-Control: max-age=100, no-store\nExpires: {100}", 0),
		notReused("no-store on a second line", "RFC 9111, 5.2", "Cache-Control: max-age=100\nCache-Control: no-store", 0),
		notReused("no-store with an argument", "RFC 9111, 5.2", "Cache-Control: max-age=100, no-store=1", 0),
		notReused("no-store behind a quote that does not end", "RFC 9111, 5.2", "Cache-Control: max-age=100, a=\"b, no-store", 0),
		notReused("private", "RFC 9111, 5.2.2.7", "Cache-Control: private, max-age=100", 0),
		notReused("private of no fields", "RFC 9111, 5.2.2.7", "Cache-Control: private=\"\", max-age=100", 0),
		reused("private of a field", "RFC 9111, 5.2.2.7", "Cache-Control: private=\"a\", max-age=100", 0),
		reused("no-store within a quoted string", "RFC 9111, 5.2", "Cache-Control: ext=\"no-store\", max-age=100", 0),
		reused("must-understand overrides no-store for a known status", "RFC 9111, 5.2.2.3", "Cache-Control: must-understand, no-store, max-age=100", 0),
		reused("Set-Cookie does not hinder", "RFC 9111, 7.3", "Cache-Control: max-age=100\nSet-Cookie: a=b", 0),
		reused("Content-Disposition", s3, "Cache-Control: max-age=100\nContent-Disposition: attachment; filename=a.txt", 0),
		reused("public alone with a validator is heuristic", "RFC 9111, 5.2.2.9", "Cache-Control: public\nLast-Modified: {-86400}", 0),
		{Name: "must-understand with a status not understood", Section: "RFC 9111, 5.2.2.3", Steps: []Step{
			{Reply: "299\nCache-Control: must-understand, max-age=100"}, {Reply: "299\nCache-Control: must-understand, max-age=100"},
		}},
		{Name: "a broken response is not stored", Section: "RFC 9111, 3.3", Steps: []Step{
			{Reply: "cut 200\nCache-Control: max-age=100", Broken: true}, {Reply: "200\nCache-Control: max-age=100"},
		}},
		{Name: "a broken chunked response is not stored", Section: "RFC 9111, 3.3", Steps: []Step{
			{Reply: "cut chunked 200\nCache-Control: max-age=100", Broken: true}, {Reply: "200\nCache-Control: max-age=100"},
		}},
		{Name: "a response of unknown length is stored", Section: s3, Steps: []Step{
			{Reply: "chunked 200\nCache-Control: max-age=100"}, {},
		}},
		{Name: "a GET with content is not cached", Section: "RFC 9110, 9.3.1", Steps: []Step{
			{Reply: "200\nCache-Control: max-age=100", Body: "abc"}, {Reply: "200\nCache-Control: max-age=100", Body: "abc"},
		}},
		{Name: "a GET with content is not answered from the cache", Section: "RFC 9110, 9.3.1", Steps: []Step{
			{Reply: "200\nCache-Control: max-age=100"}, {Reply: "200\nCache-Control: max-age=100", Body: "abc"}, {Text: "content 1.1 of the script"},
		}},
		{Name: "different queries are different", Section: "RFC 9111, 2", Steps: []Step{
			{Path: "/a?x=1", Reply: "200\nCache-Control: max-age=100"}, {Path: "/a?x=2", Reply: "200\nCache-Control: max-age=100"},
		}},
		{Name: "a query does not hinder", Section: "RFC 9111, 4.2.2", Steps: []Step{
			{Path: "/a?x=1", Reply: "200\nLast-Modified: {-86400}"}, {Path: "/a?x=1"},
		}},
		{Name: "the case of percent-encodings does not matter", Section: "RFC 3986, 6.2.2.1", Steps: []Step{
			{Path: "/a%2fb", Reply: "200\nCache-Control: max-age=100"}, {Path: "/a%2Fb"},
		}},
		{Name: "the case of encodings in a query does", Section: "RFC 9111, 2", Steps: []Step{
			{Path: "/a?%2f", Reply: "200\nCache-Control: max-age=100"}, {Path: "/a?%2F", Reply: "200\nCache-Control: max-age=100"},
		}},
		{Name: "the case of a path does", Section: "RFC 9111, 2", Steps: []Step{
			{Path: "/a", Reply: "200\nCache-Control: max-age=100"}, {Path: "/A", Reply: "200\nCache-Control: max-age=100"},
		}},
		{Name: "Cookie does not hinder", Section: s3, Steps: []Step{
			{Reply: "200\nCache-Control: max-age=100"}, {Send: "Cookie: a=b"},
		}},
		{Name: "OPTIONS is not cached", Section: s3, Steps: []Step{
			{Method: "OPTIONS", Reply: "200\nCache-Control: max-age=100"}, {Method: "OPTIONS", Reply: "200\nCache-Control: max-age=100"},
		}},
		{Name: "an unknown method is not cached", Section: s3, Steps: []Step{
			{Method: "FROB", Reply: "200\nCache-Control: max-age=100"}, {Method: "FROB", Reply: "200\nCache-Control: max-age=100"},
		}},
		{Name: "POST with explicit freshness and its own Content-Location answers GET", Section: "RFC 9110, 9.3.3", Steps: []Step{
			{Method: "POST", Path: "/p", Body: "x", Reply: "200\nCache-Control: max-age=100\nContent-Location: /p"}, {Path: "/p"},
		}},
		{Name: "POST with another Content-Location does not", Section: "RFC 9110, 9.3.3", Steps: []Step{
			{Method: "POST", Path: "/p", Body: "x", Reply: "200\nCache-Control: max-age=100\nContent-Location: /q"},
			{Path: "/p", Reply: "200\nCache-Control: max-age=100"},
		}},
		{Name: "POST is not answered from the cache", Section: "RFC 9110, 9.3.3", Steps: []Step{
			{Path: "/p", Reply: "200\nCache-Control: max-age=100"}, {Method: "POST", Path: "/p", Body: "x", Reply: "201"},
		}},
		{Name: "an empty response is stored", Section: s3, Steps: []Step{
			{Reply: "204\nCache-Control: max-age=100"}, {},
		}},
	}
	for _, status := range []int{200, 203, 204, 299, 301, 302, 303, 307, 308, 400, 404, 410, 499, 500, 502, 503, 504, 599} {
		reply := fmt.Sprintf("%d\nCache-Control: max-age=100", status)
		stale := fmt.Sprintf("%d\nCache-Control: max-age=2", status)
		cases = append(cases, Case{
			Name: fmt.Sprintf("%d with explicit freshness", status), Section: s3, Steps: []Step{{Reply: reply}, {Wait: 3, Status: status}},
		}, Case{
			Name: fmt.Sprintf("%d that is stale", status), Section: "RFC 9111, 4.2", Steps: []Step{{Reply: stale}, {Wait: 3, Reply: stale}},
		})
	}
	return cases
}

func freshnessCases() []Case {
	const cc, exp = "RFC 9111, 5.2", "RFC 9111, 5.3"
	cases := []Case{
		reused("max-age", "RFC 9111, 4.2.1", "Cache-Control: max-age=100", 99),
		notReused("max-age has passed", "RFC 9111, 4.2.1", "Cache-Control: max-age=100", 100),
		notReused("max-age=0", "RFC 9111, 4.2.1", "Cache-Control: max-age=0", 0),
		reused("max-age in any case", cc, "Cache-Control: MaX-aGe=100", 3),
		reused("s-maxage alone", "RFC 9111, 5.2.2.10", "Cache-Control: s-maxage=100", 3),
		reused("s-maxage beats a shorter max-age", "RFC 9111, 5.2.2.10", "Cache-Control: max-age=1, s-maxage=100", 3),
		notReused("s-maxage beats a longer max-age", "RFC 9111, 5.2.2.10", "Cache-Control: max-age=100, s-maxage=1", 3),
		notReused("s-maxage on another line", "RFC 9111, 5.2.2.10", "Cache-Control: max-age=100\nCache-Control: s-maxage=1", 3),
		notReused("an invalid s-maxage is stale", "RFC 9111, 4.2.1", "Cache-Control: max-age=100, s-maxage=x", 0),
		reused("max-age beats a past Expires", exp, "Cache-Control: max-age=100\nExpires: {-100}", 3),
		reused("max-age beats an invalid Expires", exp, "Cache-Control: max-age=100\nExpires: 0", 3),
		notReused("max-age=0 beats a future Expires", exp, "Cache-Control: max-age=0\nExpires: {100}", 0),
		reused("an unknown directive", "RFC 9111, 5.2.3", "Cache-Control: foobar, max-age=100", 3),
		reused("an unknown directive with an argument", "RFC 9111, 5.2.3", "Cache-Control: a=\"b, c\", max-age=100, d=e", 3),
		notReused("max-age in a quoted string before", cc, "Cache-Control: ext=\"max-age=100\", max-age=1", 3),
		notReused("max-age in a quoted string after", cc, "Cache-Control: max-age=1, ext=\"max-age=100\"", 3),
		notReused("max-age behind an escaped quote", cc, "Cache-Control: ext=\"a\\\", max-age=100, b\", max-age=1", 3),
		reused("a quoted max-age", cc, "Cache-Control: max-age=\"100\"", 3),
		notReused("a max-age in single quotes", cc, "Cache-Control: max-age='100'", 0),
		notReused("a max-age with a letter before", cc, "Cache-Control: max-age=a100", 0),
		notReused("a max-age with a letter after", cc, "Cache-Control: max-age=100a", 0),
		notReused("a negative max-age", cc, "Cache-Control: max-age=-100", 0),
		notReused("a decimal max-age", cc, "Cache-Control: max-age=100.0", 0),
		notReused("a max-age without a value", cc, "Cache-Control: max-age", 0),
		notReused("an empty max-age", cc, "Cache-Control: max-age=", 0),
		notReused("a space before =", cc, "Cache-Control: max-age =100", 0),
		notReused("a space after =", cc, "Cache-Control: max-age= 100", 0),
		notReused("an invalid max-age hides a good Expires", "RFC 9111, 4.2.1", "Cache-Control: max-age=x\nExpires: {100}", 0),
		reused("leading zeros", "RFC 9111, 1.2.2", "Cache-Control: max-age=000100", 3),
		reused("no space after the comma", cc, "Cache-Control: public,max-age=100", 3),
		reused("tabs and empty members", cc, "Cache-Control: ,\t, max-age=100\t,,", 3),
		reused("of two max-ages the first", "RFC 9111, 4.2.1", "Cache-Control: max-age=100, max-age=1", 3),
		notReused("of two max-ages the first, short", "RFC 9111, 4.2.1", "Cache-Control: max-age=1\nCache-Control: max-age=100", 3),
		reused("2^31 seconds", "RFC 9111, 1.2.2", "Cache-Control: max-age=2147483648", 3),
		reused("more than 2^31 seconds", "RFC 9111, 1.2.2", "Cache-Control: max-age=99999999999", 3),
		reused("more than 2^64 seconds", "RFC 9111, 1.2.2", "Cache-Control: max-age=99999999999999999999999", 3),
		reused("Expires in the future", exp, "Expires: {100}", 99),
		notReused("Expires has passed", exp, "Expires: {100}", 100),
		notReused("Expires in the past", exp, "Expires: {-100}", 0),
		notReused("Expires is now", exp, "Expires: {0}", 0),
		reused("Expires is relative to Date", exp, "Date: {-1000}\nExpires: {100}", 3),
		notReused("Expires equal to a Date ahead", exp, "Date: {1000}\nExpires: {1000}", 0),
		notReused("a Date far behind makes it old", "RFC 9111, 4.2.3", "Date: {-1000}\nCache-Control: max-age=900", 0),
		reused("no Date", "RFC 9110, 6.6.1", "-Date:\nCache-Control: max-age=100", 3),
		reused("no Date with Expires", exp, "-Date:\nExpires: {100}", 3),
		reused("an invalid Date counts as none", "RFC 9110, 6.6.1", "Date: yesterday\nCache-Control: max-age=100", 3),
		reused("Expires as RFC 850 wrote dates", "RFC 9110, 5.6.7", "Expires: Thursday, 18-Aug-50 02:01:18 GMT", 3),
		reused("Expires as asctime writes dates", "RFC 9110, 5.6.7", "Expires: Thu Aug 18 02:01:18 2050", 3),
		reused("Expires with another case of the day", "RFC 9111, 4.2", "Expires: THU, 18 Aug 2050 02:01:18 GMT", 3),
		reused("Expires with another case of the month", "RFC 9111, 4.2", "Expires: Thu, 18 AUG 2050 02:01:18 GMT", 3),
		reused("Expires with another case of the zone", "RFC 9111, 4.2", "Expires: Thu, 18 Aug 2050 02:01:18 gMT", 3),
		reused("Expires with another date's day of the week", "RFC 9111, 4.2", "Expires: Thu Aug  8 02:01:18 2050", 3),
		reused("Expires beyond 2^31 seconds", exp, "Expires: Sun, 21 Nov 2286 04:46:39 GMT", 3),
		notReused("Expires on two lines", exp, "Expires: {100}\nExpires: {100}", 0),
		notReused("public without anything else", "RFC 9111, 4.2.2", "Cache-Control: public", 0),
		notReused("no-cache without a validator", "RFC 9111, 5.2.2.4", "Cache-Control: no-cache, max-age=100", 0),
		notReused("Pragma: no-cache without Cache-Control is not heuristically fresh", "RFC 9111, 5.4", "Pragma: no-cache\nLast-Modified: {-86400}", 0),
		reused("Pragma: no-cache in a response with max-age means nothing", "RFC 9111, 5.4", "Cache-Control: max-age=100\nPragma: no-cache", 3),
		reused("must-revalidate while fresh", "RFC 9111, 5.2.2.2", "Cache-Control: max-age=100, must-revalidate", 3),
		reused("immutable", "RFC 8246, 2", "Cache-Control: max-age=100, immutable", 3),
		reused("a tenth of the time since it was modified", "RFC 9111, 4.2.2", "Last-Modified: {-1000}", 99),
		notReused("more than a tenth", "RFC 9111, 4.2.2", "Last-Modified: {-1000}", 100),
		reused("a day of heuristics at most, within", "RFC 9111, 4.2.2", "Last-Modified: {-86400000}", 86399),
		notReused("a day of heuristics at most, beyond", "RFC 9111, 4.2.2", "Last-Modified: {-86400000}", 86400),
		notReused("modified in the future", "RFC 9111, 4.2.2", "Last-Modified: {1000}", 0),
		notReused("an invalid Last-Modified", "RFC 9111, 4.2.2", "Last-Modified: last week", 0),
		notReused("an ETag alone gives no freshness", "RFC 9111, 4.2.2", "ETag: \"a\"", 0),
	}
	for _, bad := range []string{
		"Thu, 18 Aug 2050 02:01:18 UTC", "Thu, 18 Aug 2050 02:01:18 AEST", "Thu, 18 Aug 2050 02:01:18",
		"Thu, 18 Aug 50 02:01:18 GMT", "Thu 18 Aug 2050 02:01:18 GMT", "Thu, 18  Aug  2050 02:01:18 GMT",
		"Thu, 18-Aug-2050 02:01:18 GMT", "Thu, 18 Aug 2050 02.01.18 GMT", "Thu, 18 Aug 2050 2:01:18 GMT",
		"Thu, 32 Aug 2050 02:01:18 GMT", "0", "-1", "",
	} {
		cases = append(cases, notReused(fmt.Sprintf("Expires: %q", bad), exp, "Expires: "+bad, 0))
	}
	for _, s := range []struct {
		status int
		cached bool
		extra  string
	}{
		{200, true, ""},
		{201, false, ""},
		{202, false, ""},
		{203, true, ""},
		{204, true, ""},
		{302, false, ""},
		{403, false, ""},
		{404, true, ""},
		{405, true, ""},
		{410, true, ""},
		{414, true, ""},
		{501, true, ""},
		{502, false, ""},
		{503, false, ""},
		{504, false, ""},
		{599, false, ""},
		{599, true, "Cache-Control: public"},
	} {
		reply := fmt.Sprintf("%d\nLast-Modified: {-86400}\n%s", s.status, s.extra)
		second := Step{Reply: reply}
		if s.cached {
			second = Step{Status: s.status}
		}
		cases = append(cases, Case{
			Name: fmt.Sprintf("heuristics for %d %s", s.status, s.extra), Section: "RFC 9111, 4.2.2", Steps: []Step{{Reply: reply}, second},
		})
	}
	return cases
}

func ageCases() []Case {
	const age = "RFC 9111, 5.1"
	with := func(name, value string, want string) Case {
		return Case{Name: name, Section: age, Steps: []Step{{Reply: "200\nCache-Control: max-age=10000\n" + value}, {Wait: 3, Want: "Age: " + want}}}
	}
	return []Case{
		with("Age is generated", "", "3"),
		with("Age is added to", "Age: 30", "33"),
		with("Date behind is age", "Date: {-60}", "63"),
		with("Date behind and Age: the larger", "Date: {-60}\nAge: 90", "93"),
		with("Date ahead is no age", "Date: {60}", "3"),
		with("a non-numeric Age is ignored", "Age: abc", "3"),
		with("a negative Age is ignored", "Age: -7200", "3"),
		with("a decimal Age is ignored", "Age: 7200.0", "3"),
		with("an empty Age is ignored", "Age:", "3"),
		with("an Age with a word is ignored", "Age: 7200 s", "3"),
		with("of several members the first", "Age: 60, 7200", "63"),
		with("of several lines the first", "Age: 60\nAge: 7200", "63"),
		notReused("Age exceeds max-age", "RFC 9111, 4.2.3", "Cache-Control: max-age=3600\nAge: 7200", 0),
		notReused("of two Ages the first, old", age, "Cache-Control: max-age=3600\nAge: 7200, 0", 0),
		notReused("an Age beyond 2^31", "RFC 9111, 1.2.2", "Cache-Control: max-age=3600\nAge: 99999999999999999999", 0),
		{Name: "Date is not touched", Section: "RFC 9110, 6.6.1", Steps: []Step{
			{Reply: "200\nCache-Control: max-age=100"}, {Wait: 3, Want: "Date: {-3}"},
		}},
		{Name: "a Date is added where there is none", Section: "RFC 9110, 6.6.1", Steps: []Step{
			{Reply: "200\n-Date:\nCache-Control: max-age=100", Want: "Date: {0}"}, {Wait: 3, Want: "Date: {-3}"},
		}},
		{Name: "Age starts again after validation", Section: "RFC 9111, 4.3.4", Steps: []Step{
			{Reply: "200\nCache-Control: max-age=1\nETag: \"a\"\nAge: 1"},
			{Wait: 5, Reply: "304\nETag: \"a\"\nCache-Control: max-age=100", Status: 200},
			{Wait: 2, Status: 200, Want: "Age: 2"},
		}},
	}
}

func requestCases() []Case {
	const s = "RFC 9111, 5.2.1"
	fresh := "200\nCache-Control: max-age=1000"
	ask := func(name, section, first, send string, wait int, cached bool) Case {
		second := Step{Wait: wait, Send: send}
		if !cached {
			second.Reply = fresh
		}
		return Case{Name: name, Section: section, Steps: []Step{{Reply: first}, second}}
	}
	return []Case{
		ask("no-cache asks the origin", s, fresh, "Cache-Control: no-cache", 0, false),
		ask("max-age=0 asks the origin", s, fresh, "Cache-Control: max-age=0", 0, false),
		ask("max-age that has passed asks the origin", s, fresh, "Cache-Control: max-age=1", 3, false),
		ask("max-age that has not", s, fresh, "Cache-Control: max-age=10", 3, true),
		ask("max-age counts Age", s, fresh+"\nAge: 500", "Cache-Control: max-age=400", 0, false),
		ask("an invalid max-age asks the origin", s, fresh, "Cache-Control: max-age=x", 0, false),
		ask("max-age=0 with immutable", "RFC 8246, 2", fresh+", immutable", "Cache-Control: max-age=0", 0, true),
		ask("no-cache with immutable", "RFC 8246, 2", fresh+", immutable", "Cache-Control: no-cache", 0, false),
		ask("max-stale accepts stale", s, "200\nCache-Control: max-age=1", "Cache-Control: max-stale=100", 3, true),
		ask("max-stale without a value", s, "200\nCache-Control: max-age=1", "Cache-Control: max-stale", 3000, true),
		ask("max-stale that is too small", s, "200\nCache-Control: max-age=1", "Cache-Control: max-stale=1", 3, false),
		ask("max-stale counts Age", s, "200\nCache-Control: max-age=1500\nAge: 2000", "Cache-Control: max-stale=1000", 0, true),
		ask("max-stale against must-revalidate", "RFC 9111, 5.2.2.2", "200\nCache-Control: max-age=1, must-revalidate", "Cache-Control: max-stale=100", 3, false),
		ask("max-stale against proxy-revalidate", "RFC 9111, 5.2.2.8", "200\nCache-Control: max-age=1, proxy-revalidate", "Cache-Control: max-stale=100", 3, false),
		ask("max-stale against s-maxage", "RFC 9111, 5.2.2.10", "200\nCache-Control: s-maxage=1", "Cache-Control: max-stale=100", 3, false),
		ask("an invalid max-stale counts as none", s, "200\nCache-Control: max-age=1", "Cache-Control: max-stale=x", 3, false),
		ask("min-fresh that is not there", s, fresh, "Cache-Control: min-fresh=2000", 0, false),
		ask("min-fresh counts Age", s, fresh+"\nAge: 600", "Cache-Control: min-fresh=500", 0, false),
		ask("min-fresh that is there", s, fresh, "Cache-Control: min-fresh=500", 0, true),
		ask("no-store asks the origin", s, fresh, "Cache-Control: no-store", 0, false),
		ask("an unknown directive in a request", "RFC 9111, 5.2.3", fresh, "Cache-Control: frob=1", 0, true),
		ask("Pragma: no-cache", "RFC 9111, 5.4", fresh, "Pragma: no-cache", 0, false),
		ask("Pragma of something else", "RFC 9111, 5.4", fresh, "Pragma: frob", 0, true),
		ask("Pragma beside Cache-Control means nothing", "RFC 9111, 5.4", fresh, "Pragma: no-cache\nCache-Control: max-age=100", 0, true),
		{Name: "no-store keeps the response out", Section: "RFC 9111, 5.2.1.5", Steps: []Step{
			{Send: "Cache-Control: no-store", Reply: fresh}, {Reply: fresh},
		}},
		{Name: "only-if-cached with nothing", Section: "RFC 9111, 5.2.1.7", Steps: []Step{
			{Send: "Cache-Control: only-if-cached", Status: 504},
		}},
		{Name: "only-if-cached with something", Section: "RFC 9111, 5.2.1.7", Steps: []Step{
			{Reply: fresh}, {Send: "Cache-Control: only-if-cached"},
		}},
		{Name: "only-if-cached with something stale", Section: "RFC 9111, 5.2.1.7", Steps: []Step{
			{Reply: "200\nCache-Control: max-age=1"}, {Wait: 2, Send: "Cache-Control: only-if-cached", Status: 504},
		}},
		{Name: "no-cache validates", Section: "RFC 9111, 5.2.1.4", Steps: []Step{
			{Reply: fresh + "\nETag: \"a\""},
			{Send: "Cache-Control: no-cache", AtOrigin: "If-None-Match: \"a\"", Reply: "304\nETag: \"a\"", Status: 200},
		}},
		{Name: "no-cache validates by date", Section: "RFC 9111, 5.2.1.4", Steps: []Step{
			{Reply: fresh + "\nLast-Modified: Mon, 02 Mar 2026 00:00:00 GMT"},
			{Send: "Cache-Control: no-cache", AtOrigin: "If-Modified-Since: Mon, 02 Mar 2026 00:00:00 GMT", Reply: "304", Status: 200},
		}},
	}
}
