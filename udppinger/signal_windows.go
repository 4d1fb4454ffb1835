package main

// onStatisticsSignal does nothing: Windows has no such signals.
func onStatisticsSignal(func()) (stop func()) { return func() {} }
