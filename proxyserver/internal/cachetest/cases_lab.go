package cachetest

// LabCases returns what holds besides for a cache in lab mode, in front of the
// small servers of the courses: the handouts' graders fetch twice, end the
// origin and fetch again.
func LabCases() []Case {
	const section = "RFC 9111, 4.2.2"
	return []Case{
		{Name: "lab: nothing of caching", Section: section, Steps: []Step{
			{Reply: "200\n-Date: "},
			{Wait: 5, Want: "Age: 5\nCache-Status: ~hit"},
			{Wait: 90, Reply: "200\n-Date: "},
		}},
		{Name: "lab: a Date alone", Section: section, Steps: []Step{
			{Reply: "200\nContent-Type: text/html"},
			{Wait: 5, Want: "Cache-Status: ~hit"},
		}},
		{Name: "lab: 404", Section: section, Steps: []Step{
			{Reply: "404\n-Date: "},
			{Wait: 5, Want: "Cache-Status: ~hit"},
		}},
		{Name: "lab: of unknown length", Section: section, Steps: []Step{
			{Reply: "200 chunked\n-Date: "},
			{Wait: 5, Want: "Cache-Status: ~hit"},
		}},
		{Name: "lab: the origin is gone", Section: "RFC 9111, 4.2.4", Steps: []Step{
			{Reply: "200\n-Date: "},
			{Wait: 3600, Reply: "refuse", Status: 200, Want: "Cache-Status: ~detail=stale-if-error"},
			{Wait: 60, Reply: "refuse", Status: 200},
		}},
		{Name: "lab: a 404 whose origin is gone", Section: "RFC 9111, 4.2.4", Steps: []Step{
			{Reply: "404\n-Date: "},
			{Wait: 3600, Reply: "refuse", Status: 404},
		}},
		{Name: "lab: a file with Last-Modified, and the origin is gone", Section: "RFC 9111, 4.2.4", Steps: []Step{
			{Reply: "200\nLast-Modified: {-5}"},
			{Wait: 60, Reply: "refuse", Status: 200},
		}},
		{Name: "lab: another status", Section: section, Steps: []Step{
			{Reply: "500\n-Date: "},
			{Wait: 5, Reply: "200\n-Date: "},
		}},
		{Name: "lab: no-store is obeyed", Section: "RFC 9111, 5.2.2.5", Steps: []Step{
			{Reply: "200\nCache-Control: no-store"},
			{Wait: 5, Reply: "200\nCache-Control: no-store"},
		}},
		{Name: "lab: an unknown directive is something about caching", Section: section, Steps: []Step{
			{Reply: "200\nCache-Control: nonsense"},
			{Wait: 5, Reply: "200"},
		}},
		{Name: "lab: max-age is obeyed", Section: "RFC 9111, 4.2.1", Steps: []Step{
			{Reply: "200\nCache-Control: max-age=2"},
			{Wait: 5, Reply: "200"},
		}},
		{Name: "lab: an unsafe method invalidates", Section: "RFC 9111, 4.4", Steps: []Step{
			{Reply: "200\n-Date: "},
			{Method: "POST", Body: "x", Reply: "200"},
			{Reply: "200\n-Date: "},
		}},
	}
}
