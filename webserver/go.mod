module topdown/webserver

go 1.26.0

require (
	github.com/google/go-cmp v0.7.0
	topdown/pkg v0.0.0
)

require (
	github.com/VictoriaMetrics/metrics v1.35.1 // indirect
	github.com/landlock-lsm/go-landlock v0.11.0 // indirect
	github.com/valyala/fastrand v1.1.0 // indirect
	github.com/valyala/histogram v1.2.0 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/net v0.62.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/term v0.47.0 // indirect
)

replace topdown/pkg => ../pkg
