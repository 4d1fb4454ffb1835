package proxy

import (
	"bytes"
	"html/template"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/exchange"
)

// advice says what somebody at a browser can do about a status.
var advice = map[int]string{
	400: "The request was not understood. If you typed the address, check it; otherwise the program that sent the request is at fault.",
	401: "Give the user name and password that the operator of this proxy gave you.",
	403: "The operator of this proxy does not allow that. Ask the operator if you need it.",
	404: "Check the address.",
	405: "Nothing can be done here: the other side does not offer this.",
	407: "Give the user name and password that the operator of this proxy gave you.",
	408: "Try again. If it happens often, the network between you and the proxy is slow.",
	413: "Send less at a time.",
	414: "Shorten the address.",
	421: "Ask for the proxy as localhost or by its address.",
	429: "Wait a little, then try again.",
	431: "Delete the cookies of this site, then try again.",
	502: "Check the address. If it is right, the site has a problem: try again later.",
	503: "Wait a little, then try again.",
	504: "The site is slow or cannot be reached: try again later.",
}

var pageTemplate = template.Must(template.New("error").Parse(`<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>{{.Status}} {{.Reason}}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root{color-scheme:light dark}
body{font-family:system-ui,sans-serif;max-width:40em;margin:4em auto;padding:0 1em;line-height:1.5}
small{opacity:.7}
</style></head>
<body>
<h1>{{.Status}} {{.Reason}}</h1>
<p>The proxy could not answer this request. The step that failed: <b>{{.Step}}</b>.</p>
<p>What went wrong: {{.Cause}}.</p>
{{with .Advice}}<p>{{.}}</p>
{{end}}<hr><p><small>{{.Proxy}}, a proxyserver</small></p>
</body>
</html>
`))

// errorPage renders the page for people that goes with an error.
func errorPage(proxy string, failure *exchange.Error) []byte {
	var b bytes.Buffer
	err := pageTemplate.Execute(&b, map[string]any{
		"Status": failure.Status, "Reason": httpmsg.StatusText(failure.Status),
		"Step": failure.Step, "Cause": failure.Err.Error(), "Advice": advice[failure.Status], "Proxy": proxy,
	})
	if err != nil {
		return []byte(failure.Error() + "\n") // the template is tested
	}
	return b.Bytes()
}
