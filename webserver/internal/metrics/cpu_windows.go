package metrics

import "syscall"

// cpuSeconds returns the CPU time that the process has used, in seconds.
func cpuSeconds() float64 {
	process, err := syscall.GetCurrentProcess()
	if err != nil {
		return 0
	}
	var created, exited, kernel, user syscall.Filetime
	if syscall.GetProcessTimes(process, &created, &exited, &kernel, &user) != nil {
		return 0
	}
	ticks := func(t syscall.Filetime) float64 { // of 100 ns
		return float64(t.HighDateTime)*(1<<32) + float64(t.LowDateTime)
	}
	return (ticks(kernel) + ticks(user)) / 1e7
}
