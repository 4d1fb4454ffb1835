module topdown/scripts/bench.d/udp.d

go 1.26.0
