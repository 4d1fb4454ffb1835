// Telegraf runs Telegraf's own ping plugin with another program for ping(8), and
// prints the metric that it makes of the output:
//
//	telegraf BINARY TARGET [ARGUMENT]…
//
// It is a module of its own, so that what it takes is no concern of the lab's.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/plugins/inputs"
	"github.com/influxdata/telegraf/plugins/inputs/ping"
)

// printer is an accumulator that prints what it gets.
type printer struct{ telegraf.Accumulator }

func (printer) AddFields(name string, fields map[string]any, _ map[string]string, _ ...time.Time) {
	_ = json.NewEncoder(os.Stdout).Encode(map[string]any{"name": name, "fields": fields})
}

func (printer) AddError(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

func main() {
	plugin := inputs.Inputs["ping"]().(*ping.Ping)
	plugin.Method, plugin.Binary, plugin.Urls, plugin.Arguments = "exec", os.Args[1], os.Args[2:3], os.Args[3:]
	if err := plugin.Init(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_ = plugin.Gather(printer{})
}
