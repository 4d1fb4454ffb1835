package main

import "context"

// onStatisticsSignal does nothing: Windows has no such signal.
func onStatisticsSignal(context.Context, func()) {}
