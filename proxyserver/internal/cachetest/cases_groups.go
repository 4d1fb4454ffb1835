package cachetest

// GroupCases returns what holds besides for a cache that knows groups.
func GroupCases() []Case {
	const fresh = "200\nCache-Control: max-age=100\n"
	invalidate := func(groups string) Step {
		return Step{Wait: 1, Method: "POST", Path: "/other", Body: "x", Reply: "200\nCache-Group-Invalidation: " + groups}
	}
	return []Case{
		{Name: "groups: none is named", Section: "RFC 9875, 3", Steps: []Step{
			{Reply: fresh}, invalidate(`"a"`), {Wait: 1, Text: "content 1.1 of the script"},
		}},
		{Name: "groups: a response goes with its group", Section: "RFC 9875, 3", Steps: []Step{
			{Path: "/1", Reply: fresh + `Cache-Groups: "a", "b"`},
			{Path: "/2", Reply: fresh + `Cache-Groups: "b"`},
			{Path: "/3", Reply: fresh + `Cache-Groups: "c"`, Text: "*"},
			invalidate(`"b"`),
			{Wait: 1, Path: "/3", Text: "content 3.1 of the script"},
			{Path: "/1", Reply: fresh + `Cache-Groups: "a", "b"`},
			{Path: "/2", Reply: fresh + `Cache-Groups: "b"`},
			{Wait: 1, Path: "/1", Text: "content 6.1 of the script"},
			{Path: "/2", Text: "content 7.1 of the script"},
		}},
		{Name: "groups: every variant goes", Section: "RFC 9875, 2.1", Steps: []Step{
			{Send: "Foo: 1", Reply: fresh + "Vary: Foo\nCache-Groups: \"a\""},
			{Send: "Foo: 2", Reply: fresh + "Vary: Foo\nCache-Groups: \"a\""},
			invalidate(`"x", "a"`),
			{Wait: 1, Send: "Foo: 1", Reply: fresh + "Vary: Foo"},
			{Send: "Foo: 2", Reply: fresh + "Vary: Foo"},
		}},
		{Name: "groups: case matters", Section: "RFC 9875, 2.1", Steps: []Step{
			{Reply: fresh + `Cache-Groups: "a"`}, invalidate(`"A"`), {Wait: 1, Text: "content 1.1 of the script"},
		}},
		{Name: "groups: parameters are ignored", Section: "RFC 9875, 2", Steps: []Step{
			{Reply: fresh + `Cache-Groups: "a";x=1, "b";y`}, invalidate(`"b";z`), {Wait: 1, Reply: fresh},
		}},
		{Name: "groups: a token is no group", Section: "RFC 9875, 2", Steps: []Step{
			{Reply: fresh + `Cache-Groups: a, "b"`}, invalidate(`"a"`), {Wait: 1, Text: "content 1.1 of the script"},
		}},
		{Name: "groups: what is no list is ignored", Section: "RFC 9875, 3", Steps: []Step{
			{Reply: fresh + `Cache-Groups: "a"`}, invalidate(`"a`), {Wait: 1, Text: "content 1.1 of the script"},
		}},
		{Name: "groups: two lines are one list", Section: "RFC 9875, 3", Steps: []Step{
			{Reply: fresh + "Cache-Groups: \"a\"\nCache-Groups: \"b\""}, invalidate("\"x\"\nCache-Group-Invalidation: \"b\""), {Wait: 1, Reply: fresh},
		}},
		{Name: "groups: a safe method invalidates none", Section: "RFC 9875, 3", Steps: []Step{
			{Reply: fresh + `Cache-Groups: "a"`},
			{Wait: 1, Path: "/other", Reply: "200\nCache-Control: no-store\nCache-Group-Invalidation: \"a\""},
			{Wait: 1, Text: "content 1.1 of the script"},
		}},
		{Name: "groups: a failed request invalidates none", Section: "RFC 9875, 3", Steps: []Step{
			{Reply: fresh + `Cache-Groups: "a"`},
			{Wait: 1, Method: "POST", Path: "/other", Body: "x", Reply: "500\nCache-Group-Invalidation: \"a\""},
			{Wait: 1, Status: 200, Text: "content 1.1 of the script"},
		}},
		{Name: "groups: an invalidated response takes its groups along", Section: "RFC 9875, 2.2.1", Steps: []Step{
			{Path: "/1", Reply: fresh + `Cache-Groups: "a"`},
			{Path: "/2", Reply: fresh + `Cache-Groups: "a", "b"`},
			{Path: "/3", Reply: fresh + `Cache-Groups: "b"`},
			{Wait: 1, Method: "PUT", Path: "/1", Body: "x", Reply: "200"},
			{Wait: 1, Path: "/3", Text: "content 3.1 of the script"}, // which does not cascade
			{Path: "/2", Reply: fresh},
		}},
		{Name: "groups: what is validated stays", Section: "RFC 9875, 2.2", Steps: []Step{
			{Reply: fresh + "ETag: \"1\"\nCache-Groups: \"a\""},
			invalidate(`"a"`),
			{Wait: 1, Reply: fresh + "ETag: \"1\"\nCache-Groups: \"a\""},
			{Wait: 1, Text: "content 3.1 of the script"},
		}},
	}
}
