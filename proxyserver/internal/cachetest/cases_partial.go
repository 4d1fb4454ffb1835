package cachetest

func invalidationCases() []Case {
	const s = "RFC 9111, 4.4"
	fresh := "200\nCache-Control: max-age=1000"
	var cases []Case
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "M-SEARCH", "FROB"} {
		body := "abc"
		cases = append(
			cases,
			Case{Name: method + " invalidates", Section: s, Steps: []Step{
				{Path: "/i", Reply: fresh}, {Method: method, Path: "/i", Body: body, Reply: "200"}, {Path: "/i", Reply: fresh},
			}},
			Case{Name: method + " invalidates with 204", Section: s, Steps: []Step{
				{Path: "/i", Reply: fresh}, {Method: method, Path: "/i", Body: body, Reply: "204"}, {Path: "/i", Reply: fresh},
			}},
			Case{Name: method + " invalidates with 303", Section: s, Steps: []Step{
				{Path: "/i", Reply: fresh}, {Method: method, Path: "/i", Body: body, Reply: "303"}, {Path: "/i", Reply: fresh},
			}},
			Case{Name: method + " that fails does not", Section: s, Steps: []Step{
				{Path: "/i", Reply: fresh},
				{Method: method, Path: "/i", Body: body, Reply: "500"},
				{Path: "/i", Status: 200, Text: "content 1.1 of the script"},
			}},
			Case{Name: method + " that is refused does not", Section: s, Steps: []Step{
				{Path: "/i", Reply: fresh},
				{Method: method, Path: "/i", Body: body, Reply: "403"},
				{Path: "/i", Status: 200, Text: "content 1.1 of the script"},
			}},
			Case{Name: method + " invalidates Location", Section: s, Steps: []Step{
				{Path: "/dir/l", Reply: fresh}, {Method: method, Path: "/dir/x", Body: body, Reply: "201\nLocation: l"}, {Path: "/dir/l", Reply: fresh},
			}},
			Case{Name: method + " invalidates Content-Location", Section: s, Steps: []Step{
				{Path: "/dir/l", Reply: fresh}, {Method: method, Path: "/dir/x", Body: body, Reply: "200\nContent-Location: /dir/l"}, {Path: "/dir/l", Reply: fresh},
			}},
		)
	}
	return append(
		cases,
		Case{Name: "Location elsewhere invalidates nothing", Section: s, Steps: []Step{
			{Path: "/l", Reply: fresh},
			{Method: "POST", Path: "/x", Body: "a", Reply: "201\nLocation: http://elsewhere.invalid/l"},
			{Path: "/l", Status: 200, Text: "content 1.1 of the script"},
		}},
		Case{Name: "a safe method invalidates nothing", Section: s, Steps: []Step{
			{Path: "/i", Reply: fresh}, {Method: "OPTIONS", Path: "/i", Reply: "200"}, {Path: "/i", Text: "content 1.1 of the script"},
		}},
		Case{Name: "all variants are invalidated", Section: s, Steps: []Step{
			{Path: "/i", Send: "Foo: 1", Reply: fresh + "\nVary: Foo"},
			{Path: "/i", Send: "Foo: 2", Reply: fresh + "\nVary: Foo"},
			{Method: "DELETE", Path: "/i", Reply: "200"},
			{Path: "/i", Send: "Foo: 1", Reply: fresh},
			{Path: "/i", Send: "Foo: 1"},
		}},
	)
}

func authorizationCases() []Case {
	const s = "RFC 9111, 3.5"
	ask := func(name, cc string, cached bool) Case {
		two := Step{}
		if !cached {
			two.Reply = "200\n" + cc
		}
		return Case{Name: name, Section: s, Steps: []Step{
			{Send: "Authorization: Basic YTpi", AtOrigin: "Authorization: Basic YTpi", Reply: "200\n" + cc}, two,
		}}
	}
	return []Case{
		ask("Authorization keeps a response out", "Cache-Control: max-age=100", false),
		ask("Authorization with Expires", "Expires: {100}", false),
		ask("Authorization with public", "Cache-Control: max-age=100, public", true),
		ask("Authorization with must-revalidate", "Cache-Control: max-age=100, must-revalidate", true),
		ask("Authorization with s-maxage", "Cache-Control: s-maxage=100", true),
		ask("Authorization with proxy-revalidate only", "Cache-Control: max-age=100, proxy-revalidate", false),
		ask("Authorization with an invalid s-maxage", "Cache-Control: max-age=100, s-maxage=x", false),
		{Name: "a public answer is for the authorized too", Section: s, Steps: []Step{
			{Reply: "200\nCache-Control: max-age=100"}, {Send: "Authorization: Basic YTpi"},
		}},
	}
}

func rangeCases() []Case {
	const s, c = "RFC 9110, 14.2", "RFC 9111, 3.4"
	digits := "0123456789"
	whole := func(name, section, send string, status int, text, want string) Case {
		return Case{Name: name, Section: section, Steps: []Step{
			{Reply: "200\nCache-Control: max-age=100\nETag: \"a\"\nContent-Type: text/plain", Content: digits},
			{Send: send, Status: status, Text: text, Want: want},
		}}
	}
	part := func(first string, content string) Step {
		return Step{
			Send: "Range: bytes=" + first, AtOrigin: "Range: bytes=" + first, Content: content,
			Reply: "206\nCache-Control: max-age=100\nETag: \"a\"\nContent-Range: bytes " + first + "/10",
		}
	}
	return []Case{
		whole("a range of a whole response", s, "Range: bytes=0-1", 206, "01", "Content-Range: bytes 0-1/10"),
		whole("an open range", s, "Range: bytes=7-", 206, "789", "Content-Range: bytes 7-9/10"),
		whole("a suffix", s, "Range: bytes=-2", 206, "89", "Content-Range: bytes 8-9/10"),
		whole("a suffix longer than all", s, "Range: bytes=-20", 206, digits, "Content-Range: bytes 0-9/10"),
		whole("an end beyond the end", s, "Range: bytes=5-100", 206, "56789", "Content-Range: bytes 5-9/10"),
		whole("a range beyond the end", "RFC 9110, 15.5.17", "Range: bytes=10-", 416, "", "Content-Range: bytes */10"),
		whole("an empty suffix", "RFC 9110, 14.1.2", "Range: bytes=-0", 416, "", "Content-Range: bytes */10"),
		whole("a range backwards is ignored", "RFC 9110, 14.1.1", "Range: bytes=5-2", 200, digits, "!Content-Range"),
		whole("another unit is ignored", "RFC 9110, 14.2", "Range: lines=1-2", 200, digits, "!Content-Range"),
		whole("a malformed range is ignored", "RFC 9110, 14.2", "Range: bytes=a-b", 200, digits, "!Content-Range"),
		whole("a range without numbers is ignored", "RFC 9110, 14.2", "Range: bytes=-", 200, digits, "!Content-Range"),
		whole("two ranges", "RFC 9110, 15.3.7.2", "Range: bytes=0-1, 4-5", 206, "*", "Content-Type: ~multipart/byteranges; boundary="),
		whole("two ranges, one beyond", "RFC 9110, 14.2", "Range: bytes=0-1, 40-50", 206, "01", "Content-Range: bytes 0-1/10"),
		whole("too much in ranges", "RFC 9110, 14.2", "Range: bytes=0-9, 0-9", 200, digits, "!Content-Range"),
		whole("If-Range that holds", "RFC 9110, 13.1.5", "Range: bytes=0-1\nIf-Range: \"a\"", 206, "01", ""),
		whole("If-Range that does not", "RFC 9110, 13.1.5", "Range: bytes=0-1\nIf-Range: \"b\"", 200, digits, ""),
		whole("If-Range with a weak tag", "RFC 9110, 13.1.5", "Range: bytes=0-1\nIf-Range: W/\"a\"", 200, digits, ""),
		whole("a condition comes before a range", "RFC 9110, 13.2.2", "Range: bytes=0-1\nIf-None-Match: \"a\"", 304, "", ""),
		{Name: "If-Range with a date that holds", Section: "RFC 9110, 13.1.5", Steps: []Step{
			{Reply: "200\nCache-Control: max-age=100\nLast-Modified: Mon, 02 Mar 2026 00:00:00 GMT", Content: digits},
			{Send: "Range: bytes=0-1\nIf-Range: Mon, 02 Mar 2026 00:00:00 GMT", Status: 206, Text: "01"},
			{Send: "Range: bytes=0-1\nIf-Range: Tue, 03 Mar 2026 00:00:00 GMT", Status: 200, Text: digits},
		}},
		{Name: "a range of a stored 404 is ignored", Section: s, Steps: []Step{
			{Reply: "404\nCache-Control: max-age=100"}, {Send: "Range: bytes=0-1", Status: 404},
		}},
		{Name: "a partial response is stored", Section: "RFC 9111, 3.3", Steps: []Step{part("2-5", "2345"), {Send: "Range: bytes=2-5", Status: 206, Text: "2345"}}},
		{Name: "a part of a part", Section: c, Steps: []Step{
			part("2-5", "2345"), {Send: "Range: bytes=3-4", Status: 206, Text: "34", Want: "Content-Range: bytes 3-4/10"},
		}},
		{Name: "the end of a part", Section: c, Steps: []Step{
			part("5-9", "56789"), {Send: "Range: bytes=6-", Status: 206, Text: "6789"}, {Send: "Range: bytes=-1", Status: 206, Text: "9"},
		}},
		{Name: "what is not stored is asked for", Section: c, Steps: []Step{part("2-5", "2345"), part("6-9", "6789")}},
		{Name: "a range over two parts", Section: c, Steps: []Step{
			part("2-5", "2345"), part("4-7", "4567"), {Send: "Range: bytes=3-6", Status: 206, Text: "3456", Want: "Content-Range: bytes 3-6/10"},
		}},
		{Name: "all parts make the whole", Section: c, Steps: []Step{
			part("0-4", "01234"), part("5-9", "56789"), {Status: 200, Text: digits, Want: "!Content-Range"},
		}},
		{Name: "parts of different versions do not mix", Section: c, Steps: []Step{
			part("0-4", "01234"),
			{Wait: 1, Send: "Range: bytes=5-9", Content: "fghij", Reply: "206\nCache-Control: max-age=100\nETag: \"b\"\nContent-Range: bytes 5-9/10"},
			{Reply: "200\nCache-Control: max-age=100\nETag: \"b\"", Content: "abcdefghij", Text: "abcdefghij"},
		}},
		{Name: "parts with weak tags do not mix", Section: "RFC 9110, 15.3.7.3", Steps: []Step{
			{Send: "Range: bytes=0-4", Content: "01234", Reply: "206\nCache-Control: max-age=100\nETag: W/\"a\"\nContent-Range: bytes 0-4/10"},
			{Wait: 1, Send: "Range: bytes=5-9", Content: "56789", Reply: "206\nCache-Control: max-age=100\nETag: W/\"a\"\nContent-Range: bytes 5-9/10"},
			{Reply: "200\nCache-Control: max-age=100", Content: digits},
		}},
		{Name: "a part is completed", Section: c, Steps: []Step{
			part("0-4", "01234"),
			{
				AtOrigin: "Range: bytes=5-\nIf-Range: \"a\"", Content: "56789", Status: 200, Text: digits,
				Reply: "206\nCache-Control: max-age=100\nETag: \"a\"\nContent-Range: bytes 5-9/10", Want: "!Content-Range",
			},
			{Status: 200, Text: digits},
		}},
		{Name: "a part is completed at its beginning", Section: c, Steps: []Step{
			part("5-9", "56789"),
			{
				AtOrigin: "Range: bytes=0-4\nIf-Range: \"a\"", Content: "01234", Status: 200, Text: digits,
				Reply: "206\nCache-Control: max-age=100\nETag: \"a\"\nContent-Range: bytes 0-4/10",
			},
		}},
		{Name: "a part cannot be completed any more", Section: c, Steps: []Step{
			part("0-4", "01234"),
			{AtOrigin: "If-Range: \"a\"", Content: "abcdefghij", Reply: "200\nCache-Control: max-age=100\nETag: \"b\""},
			{Status: 200, Text: "abcdefghij"},
		}},
		{Name: "a part of another version comes in spite of If-Range", Section: c, Steps: []Step{
			part("0-4", "01234"),
			{
				Status: 200, Text: "whole",
				Reply: "206\nETag: \"b\"\nContent-Range: bytes 5-9/10|200\nCache-Control: max-age=100", Content: "whole",
			},
		}},
		{Name: "a 206 whose length is not that of its range is not stored", Section: "RFC 9110, 14.4", Steps: []Step{
			{Send: "Range: bytes=0-4", Content: "0123", Reply: "206\nCache-Control: max-age=100\nETag: \"a\"\nContent-Range: bytes 0-4/10"},
			part("0-4", "01234"),
		}},
		{Name: "a 206 without Content-Range is not stored", Section: "RFC 9110, 14.4", Steps: []Step{
			{Send: "Range: bytes=0-4", Content: "01234", Reply: "206\nCache-Control: max-age=100\nETag: \"a\""}, part("0-4", "01234"),
		}},
		{Name: "a 206 that nobody asked for is not stored", Section: "RFC 9110, 14.4", Steps: []Step{
			{Content: "01234", Reply: "206\nCache-Control: max-age=100\nETag: \"a\"\nContent-Range: bytes 0-4/10"},
			{Reply: "200", Content: digits},
		}},
		{Name: "a range of a stale whole is validated", Section: "RFC 9111, 4.3.1", Steps: []Step{
			{Reply: "200\nCache-Control: max-age=1\nETag: \"a\"", Content: digits},
			{Wait: 3, Send: "Range: bytes=2-3", AtOrigin: "If-None-Match: \"a\"\nRange: bytes=2-3", Reply: "304\nETag: \"a\"\nCache-Control: max-age=100", Status: 206, Text: "23"},
			{Status: 200, Text: digits},
		}},
		{Name: "a range of a stale part is validated", Section: "RFC 9111, 4.3.1", Steps: []Step{
			part("2-5", "2345"),
			{Wait: 200, Send: "Range: bytes=2-3", AtOrigin: "If-None-Match: \"a\"", Reply: "304\nETag: \"a\"\nCache-Control: max-age=100", Status: 206, Text: "23"},
			{Send: "Range: bytes=3-5", Status: 206, Text: "345"},
		}},
		{Name: "a whole takes the place of parts", Section: c, Steps: []Step{
			{Send: "Range: bytes=0-4", Content: "01234", Reply: "206\nCache-Control: max-age=100\nContent-Range: bytes 0-4/10"},
			{Wait: 1, Reply: "200\nCache-Control: max-age=100", Content: digits},
			{Send: "Range: bytes=0-4", Status: 206, Text: "01234"},
			{Status: 200, Text: digits},
		}},
		{Name: "a 200 to a range request is stored whole", Section: c, Steps: []Step{
			{Send: "Range: bytes=0-4", Content: digits, Reply: "200\nCache-Control: max-age=100"},
			{Send: "Range: bytes=5-", Status: 206, Text: "56789"},
		}},
		{Name: "a 416 is passed on", Section: "RFC 9110, 15.5.17", Steps: []Step{
			{Send: "Range: bytes=50-", Reply: "416\nContent-Range: bytes */10", Status: 416, Want: "Content-Range: bytes */10"},
		}},
	}
}

func headCases() []Case {
	const s = "RFC 9111, 4.3.5"
	return []Case{
		{Name: "HEAD is answered from a stored GET", Section: "RFC 9111, 4", Steps: []Step{
			{Reply: "200\nCache-Control: max-age=100\nTest: x", Content: "0123456789"}, {Wait: 2, Method: "HEAD", Want: "Test: x\nContent-Length: 10\nAge: 2"},
		}},
		{Name: "GET is not answered from a HEAD", Section: "RFC 9111, 4", Steps: []Step{
			{Method: "HEAD", Reply: "200\nCache-Control: max-age=100"}, {Reply: "200\nCache-Control: max-age=100"},
		}},
		{Name: "HEAD goes on when the stored GET is stale", Section: "RFC 9111, 4", Steps: []Step{
			{Reply: "200\nCache-Control: max-age=1"}, {Wait: 3, Method: "HEAD", Reply: "200\nCache-Control: max-age=1"},
		}},
		{Name: "a 304 to HEAD freshens the stored GET", Section: s, Steps: []Step{
			{Reply: "200\nCache-Control: max-age=1\nETag: \"a\"", Content: "0123456789"},
			{Wait: 3, Method: "HEAD", AtOrigin: "If-None-Match: \"a\"", Reply: "304\nCache-Control: max-age=100\nETag: \"a\"", Status: 200, Want: "Content-Length: 10"},
			{Wait: 3, Want: "Age: 3"},
		}},
		{Name: "HEAD freshens the stored GET", Section: s, Steps: []Step{
			{Reply: "200\nCache-Control: max-age=1\nA: 1\nB: 1"},
			{Wait: 3, Method: "HEAD", Reply: "200\nCache-Control: max-age=100\nA: 2"},
			{Wait: 3, Text: "content 1.1 of the script", Want: "A: 2\nB: 1\nAge: 3"},
		}},
		{Name: "HEAD with the same validators freshens", Section: s, Steps: []Step{
			{Reply: "200\nCache-Control: max-age=1\nETag: \"a\"", Content: "0123456789"},
			{Wait: 3, Method: "HEAD", Reply: "200\nCache-Control: max-age=100\nETag: \"a\"\nContent-Length: 10"},
			{Wait: 3, Text: "0123456789"},
		}},
		{Name: "HEAD with another ETag invalidates", Section: s, Steps: []Step{
			{Reply: "200\nCache-Control: max-age=1\nETag: \"a\""},
			{Wait: 3, Method: "HEAD", Reply: "200\nCache-Control: max-age=100\nETag: \"b\""},
			{Reply: "200\nCache-Control: max-age=100"},
		}},
		{Name: "HEAD with another length invalidates", Section: s, Steps: []Step{
			{Reply: "200\nCache-Control: max-age=1", Content: "0123456789"},
			{Wait: 3, Method: "HEAD", Reply: "200\nCache-Control: max-age=100\nContent-Length: 9"},
			{Reply: "200\nCache-Control: max-age=100"},
		}},
		{Name: "HEAD with another Last-Modified invalidates", Section: s, Steps: []Step{
			{Reply: "200\nCache-Control: max-age=1\nLast-Modified: Mon, 02 Mar 2026 00:00:00 GMT"},
			{Wait: 3, Method: "HEAD", Reply: "200\nCache-Control: max-age=100\nLast-Modified: Tue, 03 Mar 2026 00:00:00 GMT"},
			{Reply: "200\nCache-Control: max-age=100"},
		}},
		{Name: "a failed HEAD changes nothing", Section: s, Steps: []Step{
			{Reply: "200\nCache-Control: max-age=5\nETag: \"a\""},
			{Method: "HEAD", Send: "Cache-Control: no-cache", Reply: "500", Status: 500},
			{Status: 200, Text: "content 1.1 of the script"},
		}},
	}
}

func staleCases() []Case {
	const sie, swr, down = "RFC 5861, 4", "RFC 5861, 3", "RFC 9111, 4.2.4"
	fails := func(name, section, cc, reply string, wait, status int) Case {
		return Case{Name: name, Section: section, Steps: []Step{
			{Reply: "200\nCache-Control: max-age=2" + cc}, {Wait: wait, Reply: reply, Status: status, Text: "*"},
		}}
	}
	return []Case{
		fails("the origin is gone", down, "", "refuse", 3, 200),
		fails("the origin is gone, too long ago", down, "", "refuse", 90000, 502),
		fails("the origin is gone: must-revalidate", "RFC 9111, 5.2.2.2", ", must-revalidate", "refuse", 3, 502),
		fails("the origin is gone: proxy-revalidate", "RFC 9111, 5.2.2.8", ", proxy-revalidate", "refuse", 3, 502),
		fails("the origin is gone: no-cache", "RFC 9111, 5.2.2.4", ", no-cache", "refuse", 3, 502),
		fails("the origin is gone: s-maxage", "RFC 9111, 5.2.2.10", ", s-maxage=2", "refuse", 3, 502),
		fails("stale-if-error: the origin is gone", sie, ", stale-if-error=60", "refuse", 3, 200),
		fails("stale-if-error: 500", sie, ", stale-if-error=60", "500", 3, 200),
		fails("stale-if-error: 502", sie, ", stale-if-error=60", "502", 3, 200),
		fails("stale-if-error: 503", sie, ", stale-if-error=60", "503", 3, 200),
		fails("stale-if-error: 504", sie, ", stale-if-error=60", "504", 3, 200),
		fails("stale-if-error: 501 is no such error", sie, ", stale-if-error=60", "501", 3, 501),
		fails("stale-if-error: 404 is no such error", sie, ", stale-if-error=60", "404", 3, 404),
		fails("stale-if-error has passed", sie, ", stale-if-error=60", "503", 63, 503),
		fails("stale-if-error has passed and the origin is gone", sie, ", stale-if-error=60", "refuse", 63, 502),
		fails("stale-if-error with must-revalidate", down, ", stale-if-error=60, must-revalidate", "503", 3, 503),
		fails("503 without stale-if-error", "RFC 9111, 4.3.3", "", "503", 3, 503),
		{Name: "stale-if-error in the request", Section: sie, Steps: []Step{
			{Reply: "200\nCache-Control: max-age=2"}, {Wait: 3, Send: "Cache-Control: stale-if-error=60", Reply: "503", Status: 200, Text: "content 1.1 of the script"},
		}},
		{Name: "no Warning is generated", Section: "RFC 9111, 5.5", Steps: []Step{
			{Reply: "200\nCache-Control: max-age=2, stale-if-error=60"}, {Wait: 3, Reply: "503", Status: 200, Text: "*", Want: "!Warning"},
		}},
		{Name: "stale-while-revalidate has passed", Section: swr, Steps: []Step{
			{Reply: "200\nCache-Control: max-age=2, stale-while-revalidate=10"}, {Wait: 12, Reply: "200\nCache-Control: max-age=2"},
		}},
		{Name: "stale-while-revalidate with must-revalidate", Section: down, Steps: []Step{
			{Reply: "200\nCache-Control: max-age=2, stale-while-revalidate=10, must-revalidate"}, {Wait: 3, Reply: "200\nCache-Control: max-age=2"},
		}},
	}
}

func targetedCases() []Case {
	const s = "RFC 9213, 2"
	hit := func(name, reply string) Case {
		c := reused(name, s, reply, 3)
		c.Targeted = true
		return c
	}
	miss := func(name, reply string, wait int) Case {
		c := notReused(name, s, reply, wait)
		c.Targeted = true
		return c
	}
	return []Case{
		hit("CDN-Cache-Control: max-age", "CDN-Cache-Control: max-age=100"),
		miss("CDN-Cache-Control: max-age has passed", "CDN-Cache-Control: max-age=2", 3),
		hit("CDN-Cache-Control: 2^31", "CDN-Cache-Control: max-age=2147483648"),
		hit("CDN-Cache-Control: more than 2^31", "CDN-Cache-Control: max-age=99999999999"),
		miss("CDN-Cache-Control: more than 15 digits is no integer", "CDN-Cache-Control: max-age=9999999999999999", 3),
		miss("CDN-Cache-Control: Age counts", "CDN-Cache-Control: max-age=3600\nAge: 7200", 0),
		miss("CDN-Cache-Control: max-age=0", "CDN-Cache-Control: max-age=0\nExpires: {100}", 0),
		hit("CDN-Cache-Control: an unknown directive", "CDN-Cache-Control: foobar, max-age=100"),
		miss("CDN-Cache-Control: upper case is no key", "CDN-Cache-Control: MaX-aGe=100", 3),
		hit("CDN-Cache-Control beats a past Expires", "CDN-Cache-Control: max-age=100\nExpires: {-100}"),
		hit("CDN-Cache-Control beats an invalid Expires", "CDN-Cache-Control: max-age=100\nExpires: 0"),
		hit("CDN-Cache-Control beats a shorter max-age", "Cache-Control: max-age=1\nCDN-Cache-Control: max-age=100"),
		miss("CDN-Cache-Control beats a longer max-age", "Cache-Control: max-age=100\nCDN-Cache-Control: max-age=1", 3),
		hit("CDN-Cache-Control beats s-maxage", "Cache-Control: s-maxage=1\nCDN-Cache-Control: max-age=100"),
		miss("CDN-Cache-Control: private", "Cache-Control: max-age=100\nCDN-Cache-Control: private\nExpires: {100}", 0),
		miss("CDN-Cache-Control: no-cache", "Cache-Control: max-age=100\nCDN-Cache-Control: no-cache\nExpires: {100}", 0),
		miss("CDN-Cache-Control: no-store", "Cache-Control: max-age=100\nCDN-Cache-Control: no-store\nExpires: {100}", 0),
		hit("CDN-Cache-Control beats no-store", "Cache-Control: no-store\nCDN-Cache-Control: max-age=100"),
		hit("CDN-Cache-Control beats private", "Cache-Control: private\nCDN-Cache-Control: max-age=100"),
		miss("CDN-Cache-Control with an invalid member is ignored", "CDN-Cache-Control: max-age=100, &&&&&\nCache-Control: no-store", 0),
		hit("CDN-Cache-Control that is invalid leaves Cache-Control", "CDN-Cache-Control: &&&&&\nCache-Control: max-age=100"),
		hit("CDN-Cache-Control that is empty leaves Cache-Control", "CDN-Cache-Control:\nCache-Control: max-age=100"),
		miss("CDN-Cache-Control with a string for max-age", "CDN-Cache-Control: max-age=\"100\"\nCache-Control: max-age=100", 3),
		miss("CDN-Cache-Control with a trailing comma is invalid", "CDN-Cache-Control: max-age=100,\nCache-Control: no-store", 3),
		miss("CDN-Cache-Control: a space before =", "CDN-Cache-Control: max-age =100\nCache-Control: max-age=1", 3),
		miss("CDN-Cache-Control: a space after =", "CDN-Cache-Control: max-age= 100\nCache-Control: max-age=1", 3),
		miss("CDN-Cache-Control: of two the last", "CDN-Cache-Control: max-age=100, max-age=1", 3),
		hit("CDN-Cache-Control on two lines", "CDN-Cache-Control: foo\nCDN-Cache-Control: max-age=100"),
		hit("CDN-Cache-Control with parameters", "CDN-Cache-Control: max-age=100;a=1;b"),
		hit("CDN-Cache-Control: no-store=?0", "CDN-Cache-Control: max-age=100, no-store=?0"),
		{Name: "CDN-Cache-Control is passed on", Section: s, Targeted: true, Steps: []Step{
			{Reply: "200\nCache-Control: max-age=100\nCDN-Cache-Control: foo", Want: "CDN-Cache-Control: foo"},
		}},
		{Name: "CDN-Cache-Control is not for a forward proxy", Section: s, Steps: []Step{
			{Reply: "200\nCache-Control: no-store\nCDN-Cache-Control: max-age=100"}, {Reply: "200\nCache-Control: no-store"},
		}},
	}
}

func fieldCases() []Case {
	const s = "RFC 9111, 3.1"
	var cases []Case
	for _, f := range [][2]string{
		{"Test-Header", "x"},
		{"Content-Type", "text/plain"},
		{"X-Frame-Options", "deny"},
		{"Set-Cookie", "a=b"},
		{"Set-Cookie2", "a=b"},
		{"Clear-Site-Data", "cookies"},
		{"Strict-Transport-Security", "max-age=1"},
		{"WWW-Authenticate", "Basic"},
		{"Link", "</a>; rel=preload"},
		{"Public-Key-Pins", "x"},
		{"Content-Language", "de"},
		{"Allow", "GET"},
	} {
		line := f[0] + ": " + f[1]
		cases = append(cases, Case{Name: f[0] + " is stored", Section: s, Steps: []Step{
			{Reply: "200\nCache-Control: max-age=100\n" + line, Want: line}, {Want: line},
		}})
	}
	status := func(name, section, first, second string, wait int, want string) Case {
		two := Step{Wait: wait, Reply: second, Want: want, Status: 200}
		return Case{Name: name, Section: section, Steps: []Step{{Reply: first}, two}}
	}
	return append(
		cases,
		Case{Name: "fields named in Connection are not stored", Section: s, Steps: []Step{
			{Reply: "200\nCache-Control: max-age=100\nConnection: a, b\na: 1\nb: 2\nc: 3"}, {Want: "c: 3\n!a\n!b\n!Connection"},
		}},
		Case{Name: "hop-by-hop fields are not stored", Section: s, Steps: []Step{
			{Reply: "200\nCache-Control: max-age=100\nKeep-Alive: timeout=5\nProxy-Connection: x\nProxy-Authenticate: x\nProxy-Authentication-Info: x\nTE: x\nUpgrade: x"},
			{Want: "!Keep-Alive\n!Proxy-Connection\n!Proxy-Authenticate\n!Proxy-Authentication-Info\n!TE\n!Upgrade"},
		}},
		Case{Name: "a field that no-cache names is not reused", Section: "RFC 9111, 5.2.2.4", Steps: []Step{
			{Reply: "200\nCache-Control: no-cache=\"a, b\", max-age=100\na: 1\nb: 2\nc: 3", Want: "a: 1"}, {Want: "c: 3\n!a\n!b"},
		}},
		Case{Name: "a field that no-cache names without quotes", Section: "RFC 9111, 5.2.2.4", Steps: []Step{
			{Reply: "200\nCache-Control: no-cache=a, max-age=100\na: 1\nc: 3"}, {Want: "c: 3\n!a"},
		}},
		Case{Name: "a field that private names is not reused", Section: "RFC 9111, 5.2.2.7", Steps: []Step{
			{Reply: "200\nCache-Control: private=\"Set-Cookie\", max-age=100\nSet-Cookie: a=b\nc: 3", Want: "Set-Cookie: a=b"}, {Want: "c: 3\n!Set-Cookie"},
		}},
		Case{Name: "Cache-Status of a miss", Section: "RFC 9211, 2.2", Steps: []Step{
			{Reply: "200\nCache-Control: max-age=100", Want: "Cache-Status: Topdown; fwd=uri-miss; fwd-status=200; stored"},
			{Wait: 40, Want: "Cache-Status: Topdown; hit; ttl=60"},
		}},
		status("Cache-Status of a stale response", "RFC 9211, 2.2", "200\nCache-Control: max-age=1\nETag: \"a\"", "304\nETag: \"a\"\nCache-Control: max-age=50", 3,
			"Cache-Status: Topdown; fwd=stale; fwd-status=304; stored; ttl=50"),
		status("Cache-Status of a response that is not stored", "RFC 9211, 2.5", "200\nCache-Control: no-store", "200\nCache-Control: no-store", 0,
			"Cache-Status: Topdown; fwd=uri-miss; fwd-status=200; detail=no-store"),
		status("Cache-Status of others is kept", "RFC 9211, 2", "200", "200\nCache-Control: no-store\nCache-Status: Origin; hit", 0,
			"Cache-Status: Origin; hit, Topdown; fwd=uri-miss; fwd-status=200; detail=no-store"),
		Case{Name: "Cache-Status of a vary miss", Section: "RFC 9211, 2.2", Steps: []Step{
			{Send: "Foo: 1", Reply: "200\nCache-Control: max-age=100\nVary: Foo"},
			{Send: "Foo: 2", Reply: "200\nCache-Control: max-age=100\nVary: Foo", Want: "Cache-Status: ~fwd=vary-miss"},
		}},
		Case{Name: "Cache-Status of a request that wants validation", Section: "RFC 9211, 2.2", Steps: []Step{
			{Reply: "200\nCache-Control: max-age=100"},
			{Send: "Cache-Control: no-cache", Reply: "200\nCache-Control: max-age=100", Want: "Cache-Status: ~fwd=request"},
		}},
		Case{Name: "Cache-Status of a method", Section: "RFC 9211, 2.2", Steps: []Step{
			{Method: "POST", Body: "x", Reply: "200", Want: "Cache-Status: Topdown; fwd=method; fwd-status=200"},
		}},
	)
}
