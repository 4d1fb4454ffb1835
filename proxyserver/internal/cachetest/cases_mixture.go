package cachetest

// mixtureCases are those in which one request could spoil what others get.
func mixtureCases() []Case {
	const fresh = "200\nCache-Control: max-age=60"
	const part = "206\nCache-Control: max-age=60\nETag: \"a\"\n"
	const described = part + "Content-Type: text/plain\nContent-Encoding: gzip\n"
	return []Case{
		{Name: "a 416 is nobody else's", Section: "RFC 9110, 15.5.17", Steps: []Step{
			{Send: "Range: bytes=5000-", Reply: "416\nCache-Control: max-age=60\nContent-Range: bytes */10"},
			{Reply: fresh},
		}},
		{Name: "a 412 is nobody else's", Section: "RFC 9110, 15.5.13", Steps: []Step{
			{Send: "If-Match: \"zzz\"", Reply: "412\nCache-Control: max-age=60"},
			{Reply: fresh},
		}},
		{Name: "a 412 takes no stored response's place", Section: "RFC 9110, 15.5.13", Steps: []Step{
			{Reply: fresh, Content: "good"},
			{Send: "If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT", Reply: "412\nCache-Control: max-age=60"},
			{Text: "good", Status: 200},
		}},
		{Name: "the rest of a part need not say again what it is", Section: "RFC 9110, 15.3.7", Steps: []Step{
			{Send: "Range: bytes=0-4", Reply: described + "Content-Range: bytes 0-4/10", Content: "01234"},
			{Reply: part + "Content-Range: bytes 5-9/10", Content: "56789", Status: 200, Text: "0123456789", Want: "Content-Type: text/plain\nContent-Encoding: gzip"},
		}},
		{Name: "a 206 to If-Range does not say all and is not stored", Section: "RFC 9110, 15.3.7", Steps: []Step{
			{Send: "Range: bytes=0-4\nIf-Range: \"a\"", Reply: part + "Content-Range: bytes 0-4/10", Content: "01234"},
			{Send: "Range: bytes=0-4", Reply: described + "Content-Range: bytes 0-4/10", Content: "01234"},
		}},
		{Name: "a 304 that names another variant", Section: "RFC 9111, 4.3.4", Steps: []Step{
			{Send: "Foo: en", Reply: "200\nCache-Control: max-age=10\nVary: Foo\nLast-Modified: {-1000}", Content: "english"},
			{Send: "Foo: de", Reply: "200\nCache-Control: max-age=10\nVary: Foo\nETag: \"de\"\nLast-Modified: {-1000}", Content: "deutsch"},
			{Wait: 20, Send: "Foo: en", Reply: "304\nETag: \"de\"\nCache-Control: max-age=10\nVary: Foo", Text: "deutsch", Status: 200},
		}},
		{Name: "a 304 with another modification date is not ours", Section: "RFC 9111, 4.3.4", Steps: []Step{
			{Reply: "200\nCache-Control: max-age=10\nLast-Modified: {-1000}", Content: "old"},
			{Wait: 20, Reply: "304\nLast-Modified: {-10}|200\nCache-Control: max-age=10\nLast-Modified: {-10}", Content: "new", Text: "new", Status: 200},
		}},
		{Name: "only-if-cached beats no-store", Section: "RFC 9111, 5.2.1.7", Steps: []Step{
			{Send: "Cache-Control: only-if-cached, no-store", Status: 504, Text: "*"},
		}},
		{Name: "max-stale=0 lets nothing stale through", Section: "RFC 9111, 5.2.1.2", Steps: []Step{
			{Reply: "200\nCache-Control: max-age=1000\nETag: \"a\""},
			{Wait: 500, Send: "Cache-Control: max-age=0, max-stale=0", Reply: "304\nETag: \"a\"", Status: 200},
		}},
		{Name: "commas mean nothing in a field that nobody knows", Section: "RFC 9111, 4.1", Steps: []Step{
			{Send: "X-Id: a,,b", Reply: fresh + "\nVary: X-Id"},
			{Send: "X-Id: a,b", Reply: fresh + "\nVary: X-Id"},
		}},
		{Name: "Location with a character that no URI has", Section: "RFC 9111, 4.4", Steps: []Step{
			{Path: "/a^b", Reply: fresh},
			{Method: "POST", Path: "/p", Body: "x", Reply: "201\nLocation: /a^b"},
			{Path: "/a^b", Reply: fresh},
		}},
		{Name: "Location after a request whose own URI is malformed", Section: "RFC 9111, 4.4", Steps: []Step{
			{Path: "/ok", Reply: fresh},
			{Method: "POST", Path: "/100%", Body: "x", Reply: "201\nLocation: /ok"},
			{Path: "/ok", Reply: fresh},
		}},
		{Name: "parts go when the whole has changed", Section: "RFC 9111, 4.3.3", Steps: []Step{
			{Send: "Range: bytes=0-1", Reply: part + "Content-Range: bytes 0-1/10", Content: "01"},
			{Send: "Range: bytes=5-6", Reply: part + "Content-Range: bytes 5-6/10", Content: "56"},
			{Wait: 100, Send: "Range: bytes=5-6", Reply: "200\nCache-Control: no-store", Content: "new", Status: 200},
			{Send: "Range: bytes=5-6", Reply: part + "Content-Range: bytes 5-6/10", Content: "56", Status: 206},
		}},
		{Name: "a Content-Range of a 200 is not that of a range of it", Section: "RFC 9110, 14.4", Steps: []Step{
			{Reply: fresh + "\nContent-Range: x", Content: "0123456789"},
			{Send: "Range: bytes=2-3", Status: 206, Text: "23", Want: "Content-Range: bytes 2-3/10"},
		}},
	}
}
