package cachetest

func validationCases() []Case {
	const v, u = "RFC 9111, 4.3.1", "RFC 9111, 3.2"
	lm := "Mon, 02 Mar 2026 00:00:00 GMT"
	validated := func(name, section, first, at, second, want string) Case {
		return Case{Name: name, Section: section, Steps: []Step{
			{Reply: "200\nCache-Control: max-age=1\n" + first},
			{Wait: 3, AtOrigin: at, Reply: "304\nCache-Control: max-age=100\n" + second, Status: 200, Want: want},
			{Wait: 3, Want: want},
		}}
	}
	field := func(name, a, b string) Case {
		return validated("a 304 updates "+name, u, "ETag: \"e\"\n"+name+": "+a, "If-None-Match: \"e\"", "ETag: \"e\"\n"+name+": "+b, name+": "+b)
	}
	kept := func(name, a, b string) Case {
		return validated("a 304 does not update "+name, u, "ETag: \"e\"\n"+name+": "+a, "", "ETag: \"e\"\n"+name+": "+b, name+": "+a)
	}
	return []Case{
		validated("validation by strong ETag", v, "ETag: \"a\"", "If-None-Match: \"a\"\n!If-Modified-Since", "ETag: \"a\"", "ETag: \"a\""),
		validated("validation by weak ETag", v, "ETag: W/\"a\"", "If-None-Match: W/\"a\"", "ETag: W/\"a\"", ""),
		validated("validation by Last-Modified", v, "Last-Modified: "+lm, "If-Modified-Since: "+lm+"\n!If-None-Match", "Last-Modified: "+lm, ""),
		validated("validation by both", v, "ETag: \"a\"\nLast-Modified: "+lm, "If-Modified-Since: "+lm+"\nIf-None-Match: \"a\"", "ETag: \"a\"", ""),
		validated("a 304 without a validator", "RFC 9111, 4.3.4", "ETag: \"a\"", "If-None-Match: \"a\"", "", "ETag: \"a\""),
		validated("fields that a 304 omits stay", u, "ETag: \"a\"\nTest: x", "", "ETag: \"a\"", "Test: x"),
		field("Test-Header", "1", "2"),
		field("X-Content-Foo", "1", "2"),
		field("Content-Type", "text/plain", "text/plain;charset=utf-8"),
		field("Content-MD5", "rL0Y20zC+Fzt72VPzMSk2A==", "N7UdGUp1E+RbVvZSTy1R8g=="),
		field("Content-Location", "/foo", "/bar"),
		field("Content-Security-Policy", "default-src 'self'", "default-src 'none'"),
		field("X-Frame-Options", "deny", "sameorigin"),
		field("Set-Cookie", "a=b", "a=c"),
		field("Clear-Site-Data", "cache", "cookies"),
		field("Expires", "Fri, 01 Jan 2038 01:01:01 GMT", "Mon, 11 Jan 2038 11:11:11 GMT"),
		kept("Content-Encoding", "gzip", "br"),
		field("Content-Range", "x 0-1/2", "x 1-2/3"), // it says nothing but in a 206
		{Name: "a 304 does not update Content-Length", Section: u, Steps: []Step{
			{Reply: "200\nCache-Control: max-age=1\nETag: \"a\""},
			{Wait: 3, Reply: "304\nETag: \"a\"\nContent-Length: 3\nCache-Control: max-age=100", Status: 200},
			{Wait: 3},
		}},
		{Name: "a 304 makes a field private", Section: "RFC 9111, 5.2.2.7", Steps: []Step{
			{Reply: "200\nCache-Control: max-age=1\nETag: \"a\"\nTest: 1"},
			{Wait: 3, Reply: "304\nETag: \"a\"\nCache-Control: max-age=100, private=\"test\"", Status: 200},
			{Wait: 3, Want: "!Test"},
		}},
		{Name: "a 304 prolongs freshness", Section: "RFC 9111, 4.3.4", Steps: []Step{
			{Reply: "200\nCache-Control: max-age=1\nETag: \"a\""},
			{Wait: 3, Reply: "304\nETag: \"a\"\nCache-Control: max-age=100", Status: 200},
			{Wait: 99},
			{Wait: 1, Reply: "304\nETag: \"a\"", Status: 200},
		}},
		{Name: "a 304 with several lines of a field", Section: u, Steps: []Step{
			{Reply: "200\nCache-Control: max-age=1\nETag: \"a\"\nX: 1\nX: 2"},
			{Wait: 3, Reply: "304\nETag: \"a\"\nCache-Control: max-age=100\nX: 3\nX: 4", Status: 200, Want: "X: 3, 4"},
			{Wait: 3, Want: "X: 3, 4"},
		}},
		{Name: "a 304 for another entity tag is not ours", Section: "RFC 9111, 4.3.4", Steps: []Step{
			{Reply: "200\nCache-Control: max-age=1\nETag: \"a\""},
			{Wait: 3, Reply: "304\nETag: \"b\"|200\nETag: \"b\"\nCache-Control: max-age=100", AtOrigin: "If-None-Match: \"a\""},
			{Wait: 3, Want: "ETag: \"b\""},
		}},
		{Name: "a 200 replaces what is stored", Section: "RFC 9111, 4.3.3", Steps: []Step{
			{Reply: "200\nCache-Control: max-age=1\nETag: \"a\""},
			{Wait: 3, Reply: "200\nCache-Control: max-age=100\nETag: \"b\"", Want: "ETag: \"b\""},
			{Wait: 3, Want: "ETag: \"b\""},
		}},
		{Name: "a 304 that says no-store", Section: "RFC 9111, 3.2", Steps: []Step{
			{Reply: "200\nCache-Control: max-age=1\nETag: \"a\""},
			{Wait: 3, Reply: "304\nCache-Control: no-store\nETag: \"a\"", Status: 200, Want: "Cache-Control: no-store"},
			{Reply: "200\nCache-Control: max-age=100", AtOrigin: "!If-None-Match"},
		}},
		{Name: "no-cache is validated each time", Section: "RFC 9111, 5.2.2.4", Steps: []Step{
			{Reply: "200\nCache-Control: no-cache\nETag: \"a\""},
			{AtOrigin: "If-None-Match: \"a\"", Reply: "304\nETag: \"a\"", Status: 200},
			{AtOrigin: "If-None-Match: \"a\"", Reply: "304\nETag: \"a\"", Status: 200},
		}},
		{Name: "no-cache beats max-age and Expires", Section: "RFC 9111, 5.2.2.4", Steps: []Step{
			{Reply: "200\nCache-Control: max-age=100, No-CaChE\nExpires: {100}\nETag: \"a\""},
			{AtOrigin: "If-None-Match: \"a\"", Reply: "304\nETag: \"a\"", Status: 200},
		}},
		{Name: "must-revalidate when stale", Section: "RFC 9111, 5.2.2.2", Steps: []Step{
			{Reply: "200\nCache-Control: max-age=2, must-revalidate\nETag: \"a\""},
			{Wait: 1},
			{Wait: 3, AtOrigin: "If-None-Match: \"a\"", Reply: "304\nETag: \"a\"", Status: 200},
		}},
		{Name: "a 5xx on validation is passed on", Section: "RFC 9111, 4.3.3", Steps: []Step{
			{Reply: "200\nCache-Control: max-age=1\nETag: \"a\""},
			{Wait: 3, Reply: "500", Status: 500},
			{AtOrigin: "If-None-Match: \"a\"", Reply: "304\nETag: \"a\"", Status: 200, Text: "content 1.1 of the script"},
		}},
		{Name: "an ETag alone is validated", Section: v, Steps: []Step{
			{Reply: "200\nETag: \"a\""}, {AtOrigin: "If-None-Match: \"a\"", Reply: "304\nETag: \"a\"", Status: 200},
		}},
		{Name: "a client's condition goes on where nothing is stored", Section: "RFC 9111, 4.3.2", Steps: []Step{
			{Send: "If-None-Match: \"x\"", AtOrigin: "If-None-Match: \"x\"", Reply: "304\nETag: \"x\"", Status: 304},
			{Reply: "200\nCache-Control: max-age=100"},
		}},
		{Name: "a client's condition on a stale response, the origin agreeing", Section: "RFC 9111, 4.3.2", Steps: []Step{
			{Reply: "200\nCache-Control: max-age=1\nLast-Modified: " + lm},
			{Wait: 3, Send: "If-Modified-Since: " + lm, AtOrigin: "If-Modified-Since: " + lm, Reply: "304\nCache-Control: max-age=100", Status: 304},
			{Status: 200},
		}},
		{Name: "a client's other entity tag on a stale response", Section: "RFC 9111, 4.3.2", Steps: []Step{
			{Reply: "200\nCache-Control: max-age=1\nETag: \"a\""},
			{Wait: 3, Send: "If-None-Match: \"b\"", AtOrigin: "If-None-Match: \"a\"", Reply: "304\nETag: \"a\"", Status: 200},
		}},
		{Name: "a client has what the origin has now", Section: "RFC 9111, 4.3.2", Steps: []Step{
			{Reply: "200\nCache-Control: max-age=1\nETag: \"a\""},
			{Wait: 3, Send: "If-None-Match: \"b\"", Reply: "200\nCache-Control: max-age=100\nETag: \"b\"", Status: 304, Want: "ETag: \"b\""},
		}},
		{Name: "If-Match is the origin's", Section: "RFC 9111, 4.3.2", Steps: []Step{
			{Reply: "200\nCache-Control: max-age=100\nETag: \"a\""},
			{Send: "If-Match: \"a\"", AtOrigin: "If-Match: \"a\"", Reply: "200\nCache-Control: max-age=100\nETag: \"a\""},
		}},
		{Name: "If-Unmodified-Since is the origin's", Section: "RFC 9111, 4.3.2", Steps: []Step{
			{Reply: "200\nCache-Control: max-age=100\nETag: \"a\""},
			{Send: "If-Unmodified-Since: " + lm, Reply: "412", Status: 412},
		}},
	}
}

func conditionalCases() []Case {
	const s = "RFC 9111, 4.3.2"
	lm := "Mon, 02 Mar 2026 00:00:00 GMT"
	ask := func(name, stored, send string, status int) Case {
		return Case{Name: name, Section: s, Steps: []Step{
			{Reply: "200\nCache-Control: max-age=100\n" + stored}, {Wait: 1, Send: send, Status: status},
		}}
	}
	return []Case{
		ask("If-None-Match with the strong ETag", "ETag: \"abcdef\"", "If-None-Match: \"abcdef\"", 304),
		ask("If-None-Match with another", "ETag: \"abcdef\"", "If-None-Match: \"ghijkl\"", 200),
		ask("If-None-Match *", "ETag: \"abcdef\"", "If-None-Match: *", 304),
		ask("If-None-Match with the weak ETag", "ETag: W/\"abcdef\"", "If-None-Match: W/\"abcdef\"", 304),
		ask("weak comparison of a strong one", "ETag: \"abcdef\"", "If-None-Match: W/\"abcdef\"", 304),
		ask("weak comparison of a weak one", "ETag: W/\"abcdef\"", "If-None-Match: \"abcdef\"", 304),
		ask("several, the first", "ETag: \"abcdef\"", "If-None-Match: \"abcdef\", \"1234\", \"5678\"", 304),
		ask("several, the second", "ETag: \"abcdef\"", "If-None-Match: \"1234\", \"abcdef\", \"5678\"", 304),
		ask("several, the last", "ETag: \"abcdef\"", "If-None-Match: \"1234\", \"5678\", \"abcdef\"", 304),
		ask("several on lines", "ETag: \"abcdef\"", "If-None-Match: \"1234\"\nIf-None-Match: \"abcdef\"", 304),
		ask("an ETag with a comma", "ETag: \"abc,def\"", "If-None-Match: \"1\", \"abc,def\"", 304),
		ask("part of an ETag with a comma", "ETag: \"def\"", "If-None-Match: \"abc,def\"", 200),
		ask("an ETag beyond ASCII", "ETag: \"abc\xfc\"", "If-None-Match: \"abc\xfc\"", 304),
		ask("both without quotes", "ETag: abcdef", "If-None-Match: abcdef", 304),
		ask("If-None-Match without quotes", "ETag: \"abcdef\"", "If-None-Match: abcdef", 200),
		ask("the ETag without quotes", "ETag: abcdef", "If-None-Match: \"abcdef\"", 200),
		ask("If-None-Match on a response without ETag", "", "If-None-Match: \"a\"", 200),
		ask("If-None-Match beats a date that holds", "ETag: \"a\"\nLast-Modified: "+lm, "If-None-Match: \"b\"\nIf-Modified-Since: "+lm, 200),
		ask("If-None-Match beats a date that does not", "ETag: \"a\"\nLast-Modified: "+lm, "If-None-Match: \"a\"\nIf-Modified-Since: Sun, 01 Mar 2026 00:00:00 GMT", 304),
		ask("If-Modified-Since equal", "Last-Modified: "+lm, "If-Modified-Since: "+lm, 304),
		ask("If-Modified-Since later", "Last-Modified: "+lm, "If-Modified-Since: Tue, 03 Mar 2026 00:00:00 GMT", 304),
		ask("If-Modified-Since earlier", "Last-Modified: "+lm, "If-Modified-Since: Sun, 01 Mar 2026 00:00:00 GMT", 200),
		ask("If-Modified-Since as RFC 850 wrote it", "Last-Modified: "+lm, "If-Modified-Since: Monday, 02-Mar-26 00:00:00 GMT", 304),
		ask("If-Modified-Since that is no date", "Last-Modified: "+lm, "If-Modified-Since: monday", 200),
		ask("If-Modified-Since against Date, later", "", "If-Modified-Since: {0}", 304),
		ask("If-Modified-Since against Date, earlier", "", "If-Modified-Since: {-3000}", 200),
		{Name: "a 304 has the metadata", Section: "RFC 9110, 15.4.5", Steps: []Step{
			{Reply: "200\nCache-Control: max-age=100\nETag: \"a\"\nVary: Foo\nContent-Location: /x\nExpires: {50}\nContent-Type: text/plain"},
			{
				Wait: 2, Send: "If-None-Match: \"a\"", Status: 304,
				Want: "ETag: \"a\"\nVary: Foo\nCache-Control: max-age=100\nContent-Location: /x\nExpires: {48}\nDate: {-2}\nAge: 2\n!Content-Type",
			},
		}},
		{Name: "a condition on a stored 404", Section: "RFC 9110, 13.2.1", Steps: []Step{
			{Reply: "404\nCache-Control: max-age=100\nETag: \"a\""}, {Send: "If-None-Match: \"a\"", Status: 404},
		}},
		{Name: "a condition on HEAD", Section: s, Steps: []Step{
			{Reply: "200\nCache-Control: max-age=100\nETag: \"a\""}, {Method: "HEAD", Send: "If-None-Match: \"a\"", Status: 304},
		}},
	}
}

func varyCases() []Case {
	const s = "RFC 9111, 4.1"
	ask := func(name, vary, first, second string, cached bool) Case {
		reply := "200\nCache-Control: max-age=100\n" + vary
		two := Step{Wait: 1, Send: second}
		if !cached {
			two.Reply = reply
		}
		return Case{Name: name, Section: s, Steps: []Step{{Send: first, Reply: reply}, two}}
	}
	cases := []Case{
		ask("the same", "Vary: Foo", "Foo: 1", "Foo: 1", true),
		ask("another", "Vary: Foo", "Foo: 1", "Foo: 2", false),
		ask("another case of the value", "Vary: Foo", "Foo: a", "Foo: A", false),
		ask("the field is missing", "Vary: Foo", "Foo: 1", "", false),
		ask("the field is new", "Vary: Foo", "", "Foo: 1", false),
		ask("missing in both", "Vary: Foo", "", "", true),
		ask("empty is not missing", "Vary: Foo", "Foo:", "", false),
		ask("the name in another case", "Vary: fOO", "Foo: 1", "foo: 1", true),
		ask("fields not listed do not matter", "Vary: Foo", "Foo: 1\nBar: 1", "Foo: 1\nBar: 2", true),
		ask("two fields, the same", "Vary: Foo, Bar", "Foo: 1\nBar: abc", "Foo: 1\nBar: abc", true),
		ask("two fields in another order", "Vary: Foo, Bar", "Foo: 1\nBar: abc", "Bar: abc\nFoo: 1", true),
		ask("two fields, one different", "Vary: Foo, Bar", "Foo: 1\nBar: abc", "Foo: 2\nBar: abc", false),
		ask("two fields, one missing", "Vary: Foo, Bar", "Foo: 1\nBar: abc", "Foo: 1", false),
		ask("two lines of Vary", "Vary: Foo\nVary: Bar", "Foo: 1\nBar: abc", "Foo: 1\nBar: abcd", false),
		ask("three fields, the same", "Vary: Foo, Bar, Baz", "Foo: 1\nBar: abc\nBaz: 789", "Foo: 1\nBar: abc\nBaz: 789", true),
		ask("three fields, one different", "Vary: Foo, Bar, Baz", "Foo: 1\nBar: abc4\nBaz: 789", "Foo: 1\nBar: abc\nBaz: 789", false),
		ask("three fields, one missing in both", "Vary: Foo, Bar, Baz", "Foo: 1\nBaz: 789", "Foo: 1\nBaz: 789", true),
		ask("an empty Vary", "Vary:", "Foo: 1", "Foo: 2", true),
		ask("a name twice", "Vary: Foo, foo", "Foo: 1", "Foo: 1", true),
		ask("white space in a list", "Vary: Foo", "Foo: 1,2", "Foo:  1, 2 ", true),
		ask("two lines for a list", "Vary: Foo", "Foo: 1, 2", "Foo: 1\nFoo: 2", true),
		ask("the order of an unknown list matters", "Vary: Foo", "Foo: 1, 2", "Foo: 2, 1", false),
		ask("the order of languages does not", "Vary: Accept-Language", "Accept-Language: en, de", "Accept-Language: de, en", true),
		ask("the case of languages does not", "Vary: Accept-Language", "Accept-Language: en, de", "Accept-Language: eN, De", true),
		ask("white space in qualities does not", "Vary: Accept-Language", "Accept-Language: en, de;q=0.5", "Accept-Language: en,de; q=0.5", true),
		ask("qualities do", "Vary: Accept-Language", "Accept-Language: en, de;q=0.5", "Accept-Language: en, de;q=0.6", false),
		ask("codings", "Vary: Accept-Encoding", "Accept-Encoding: gzip, br", "Accept-Encoding: br,gzip", true),
	}
	for _, star := range []string{"*", "*, *", ", *", "*, Foo", "Foo, *", "Foo,*,Bar", "*\nVary: *", "\nVary: *", "Foo\nVary: *", "*\nVary: Foo"} {
		cases = append(cases, ask("Vary: "+star, "Vary: "+star, "Foo: 1", "Foo: 1", false))
	}
	reply := "200\nCache-Control: max-age=100\nVary: Foo"
	return append(
		cases,
		Case{Name: "variants live side by side", Section: s, Steps: []Step{
			{Send: "Foo: 1", Reply: reply},
			{Send: "Foo: 2", Reply: reply},
			{Send: "Foo: 1", Text: "content 1.1 of the script"},
			{Send: "Foo: 2", Text: "content 2.1 of the script"},
			{Send: "Foo: 3", Reply: reply},
			{Send: "Foo: 1", Text: "content 1.1 of the script"},
		}},
		Case{Name: "a later response without Vary answers all", Section: s, Steps: []Step{
			{Send: "Foo: 1", Reply: reply},
			{Wait: 1, Send: "Foo: 2", Reply: "200\nCache-Control: max-age=100"},
			{Send: "Foo: 3", Text: "content 2.1 of the script"},
		}},
		Case{Name: "of two that match the newer", Section: s, Steps: []Step{
			{Send: "Foo: 1", Reply: reply},
			{Wait: 1, Send: "Foo: 2", Reply: "200\nCache-Control: max-age=100"},
			{Wait: 1, Send: "Foo: 1", Text: "content 2.1 of the script"},
		}},
		Case{Name: "all entity tags are asked about", Section: "RFC 9111, 4.3.1", Steps: []Step{
			{Send: "Foo: 1", Reply: reply + "\nETag: \"a\""},
			{Wait: 1, Send: "Foo: 2", Reply: reply + "\nETag: \"b\""},
			{
				Wait: 1, Send: "Foo: 3", AtOrigin: "If-None-Match: \"b\", \"a\"", Reply: "304\nETag: \"a\"\nVary: Foo\nCache-Control: max-age=100",
				Status: 200, Text: "content 1.1 of the script",
			},
			{Wait: 1, Send: "Foo: 3", Text: "content 1.1 of the script"},
		}},
		Case{Name: "a 304 that does not say for which", Section: "RFC 9111, 4.3.4", Steps: []Step{
			{Send: "Foo: 1", Reply: reply + "\nETag: \"a\""},
			{Wait: 1, Send: "Foo: 2", Reply: reply + "\nETag: \"b\""},
			{Wait: 1, Send: "Foo: 3", Reply: "304|200\nCache-Control: max-age=100"},
		}},
		Case{Name: "a coding that is not accepted is not asked about", Section: "RFC 9111, 4.3.1", Steps: []Step{
			{Send: "Accept-Encoding: gzip", Reply: "200\nCache-Control: max-age=100\nVary: Accept-Encoding\nContent-Encoding: gzip\nETag: \"a\""},
			{AtOrigin: "!If-None-Match", Reply: "200\nCache-Control: max-age=100\nVary: Accept-Encoding\nETag: \"a\""},
		}},
		Case{Name: "validation sends the selecting fields", Section: "RFC 9111, 4.3.1", Steps: []Step{
			{Send: "Abc: 123", Reply: "200\nExpires: {1}\nETag: \"a\"\nVary: Abc"},
			{Wait: 3, Send: "Abc: 123", AtOrigin: "Abc: 123\nIf-None-Match: \"a\"", Reply: "304\nETag: \"a\"", Status: 200},
		}},
	)
}
