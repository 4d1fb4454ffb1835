package report

import (
	"html/template"
	"io"

	"topdown/scripts/grade/internal/rubric"
)

// HTML writes a page that needs nothing else: no script, no other file.
func HTML(w io.Writer, r *rubric.Report) error { return page.Execute(w, r) }

var page = template.Must(template.New("page").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Lab}}{{with .Submission}}: {{.}}{{end}}</title>
<style>
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1b1b;background:#fff}
h1{font-size:1.4rem;margin-bottom:.2rem}.score{font-size:1.1rem;margin:0 0 1.5rem}
.problem{background:#fdecea;padding:.6rem 1rem;white-space:pre-wrap}
details,.row{border-top:1px solid #ddd;padding:.5rem 0}summary,.row{display:flex;gap:.8rem;cursor:default}
summary{cursor:pointer}.mark{width:4rem;font-weight:600}.points{width:4rem;text-align:right;font-variant-numeric:tabular-nums}
.id{width:7rem;font-family:ui-monospace,monospace}.passed{color:#19692c}.failed{color:#a61b1b}.skipped{color:#5c5c5c}
dl{display:grid;grid-template-columns:6rem 1fr;gap:.3rem 1rem;margin:.6rem 0 .6rem 1rem}dt{color:#5c5c5c}dd{margin:0;white-space:pre-wrap;overflow-wrap:anywhere}
pre{background:#f5f5f5;padding:.8rem;overflow-x:auto;font-size:.85rem;margin:.6rem 0 .6rem 1rem}
@media (prefers-color-scheme:dark){body{background:#161616;color:#e8e8e8}pre{background:#242424}details,.row{border-color:#3a3a3a}.problem{background:#3b1414}.passed{color:#6fd08c}.failed{color:#ff8a80}.skipped,dt{color:#a8a8a8}}
</style></head><body>
<h1>{{.Lab}}{{with .Submission}}: {{.}}{{end}}</h1>
<p class="score"><strong>{{.Score}} of {{.Max}} points</strong>{{if .BonusMax}}, bonus {{.Bonus}} of {{.BonusMax}}{{end}}</p>
{{with .Problem}}<p class="problem">{{.}}</p>{{end}}
{{range .Results}}{{if eq .Status "passed"}}<div class="row"><span class="mark passed">passed</span><span class="points">{{if .Bonus}}+{{end}}{{.Points}}/{{.Max}}</span><span class="id">{{.ID}}</span><span>{{.Title}}</span></div>
{{else}}<details{{if eq .Status "failed"}} open{{end}}><summary><span class="mark {{.Status}}">{{.Status}}</span><span class="points">{{if .Bonus}}+{{end}}{{.Points}}/{{.Max}}</span><span class="id">{{.ID}}</span><span>{{.Title}}</span></summary>
<dl>{{with .Requirement}}<dt>task</dt><dd>{{.}}</dd>{{end}}{{with .Expected}}<dt>expected</dt><dd>{{.}}</dd>{{end}}<dt>seen</dt><dd>{{.Seen}}</dd>{{with .RFC}}<dt>read</dt><dd>{{.}}</dd>{{end}}{{with .Hint}}<dt>hint</dt><dd>{{.}}</dd>{{end}}{{with .Try}}<dt>by hand</dt><dd>{{.}}</dd>{{end}}</dl>
{{with .Transcript}}<pre>{{.}}</pre>{{end}}</details>
{{end}}{{end}}<p class="skipped">&gt; the grader sent, &lt; the program sent, in milliseconds. Seed {{.Seed}}.</p>
</body></html>
`))
