//go:build unix && race

package e2e_test

// raceEnabled makes TestMain build the server with the race detector too.
const raceEnabled = true
