module topdown/pkg

go 1.26.0

require (
	github.com/google/go-cmp v0.7.0
	go.uber.org/zap v1.28.0
)

require go.uber.org/multierr v1.10.0 // indirect
