module topdown/proxyserver

go 1.26.0

require topdown/pkg v0.0.0

replace topdown/pkg => ../pkg
