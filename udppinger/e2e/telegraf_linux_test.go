package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"testing"
)

// Telegraf's ping plugin, which Debian does not have, is built from its source and
// runs udppinger in the place of ping.
func TestTelegrafReadsPing(t *testing.T) {
	t.Parallel()
	if os.Getenv("TOPDOWN_REQUIRE_REAL") != "1" {
		t.Skip("the plugin's modules are 50 MB to download: set TOPDOWN_REQUIRE_REAL=1")
	}
	read := func(target string) (fields map[string]float64) {
		t.Helper()
		cmd := exec.Command("go", "run", ".", binary, target, "--format", "ping", "-c", "10", "-i", "0.02", "-W", "2")
		cmd.Dir = "testdata/telegraf"
		cmd.Env = append(os.Environ(), "GOWORK=off")
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		var metric struct {
			Name   string
			Fields map[string]float64
		}
		if err := json.Unmarshal(out, &metric); err != nil || metric.Name != "ping" {
			t.Fatalf("%v in %s", err, out)
		}
		return metric.Fields
	}
	got := read(labServer(t, "udp4", "2", "5", "9"))
	for name, want := range map[string]float64{
		"packets_transmitted": 10, "packets_received": 7, "percent_packet_loss": 30, "ttl": 64, "result_code": 0,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	least, mean, most := got["minimum_response_ms"], got["average_response_ms"], got["maximum_response_ms"]
	if least <= 0 || mean < least || most < mean || most > 2000 || got["standard_deviation_ms"] <= 0 {
		t.Errorf("times %v", got)
	}
	got = read(labServer(t, "udp4", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10"))
	if got["packets_received"] != 0 || got["percent_packet_loss"] != 100 || got["result_code"] != 1 {
		t.Errorf("without a reply: %v", got)
	}
}
