module topdown/webserver

go 1.26.0

require (
	github.com/google/go-cmp v0.7.0
	topdown/pkg v0.0.0
)

require golang.org/x/net v0.62.0 // indirect

replace topdown/pkg => ../pkg
