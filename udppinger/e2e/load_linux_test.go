package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// A line of 10 Mbit/s with a deep queue on the way there and a short one on the
// way back (token buckets): the verdicts must tell them apart.
func TestLoadTellsADeepQueueFromAShortOne(t *testing.T) {
	client, router := namespaces(t)
	need(t, "ss", "tc")
	theServer := peer(t)
	name := fmt.Sprintf("tdx%d-%d", os.Getpid(), made.Add(1))
	must(t, "ip netns add "+name)
	t.Cleanup(func() { _, _ = command(t, "ip", "netns", "del", name) })
	server := []string{"ip", "netns", "exec", name}
	// The queues are the router's: a host's own TCP keeps its own queue short.
	must(t, strings.Join(in(router, "ip link add td3 type veth peer name td4 netns", name), " "))
	must(t, strings.Join(in(router, "ip addr add 10.215.0.1/24 dev td3"), " "))
	must(t, strings.Join(in(router, "ip link set td3 up"), " "))
	must(t, strings.Join(in(server, "ip addr add 10.215.0.2/24 dev td4"), " "))
	must(t, strings.Join(in(server, "ip link set td4 up"), " "))
	must(t, strings.Join(in(server, "ip route add 10.213.0.0/24 via 10.215.0.1"), " "))
	must(t, strings.Join(in(client, "ip route add 10.215.0.0/24 via 10.213.0.2"), " "))
	forward := exec.Command(router[0], in(router[1:], "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")...)
	if out, err := forward.CombinedOutput(); err != nil {
		missing(t, "no router in a namespace here: %s", out)
	}
	for device, latency := range map[string]string{"td3": "400ms", "td0": "15ms"} {
		line := strings.Fields("tc qdisc add dev " + device + " root tbf rate 10mbit burst 16kb latency " + latency)
		if out, err := exec.Command(router[0], in(router[1:], line...)...).CombinedOutput(); err != nil {
			missing(t, "no token bucket here: %s", out)
		}
	}
	daemon(t, in(server, theServer, "--loss", "0", "--load", "8080")...)
	daemon(t, in(server, theServer, "--loss", "0", "8081")...)
	listening(t, server, "8080")
	listening(t, server, "8081")
	out, code := command(t, in(client, binary, "load", "--phase", "3", "10.215.0.2")...)
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	held := func(pattern string) float64 {
		m := regexp.MustCompile(pattern).FindStringSubmatch(out)
		if m == nil {
			t.Fatalf("%q is missing:\n%s", pattern, out)
		}
		ms, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		return ms
	}
	// The bucket holds 400 ms at most; TCP fills at least half of it.
	if ms := held(`the queue on the way there holds ([0-9.]+) ms; calls will suffer while something uploads`); ms < 200 || ms > 450 {
		t.Errorf("the deep queue holds %v ms\n%s", ms, out)
	}
	if ms := held(`idle .*, while downloading ([0-9.]+) ms: `); ms > 50 {
		t.Errorf("with the short queue full a ping takes %v ms\n%s", ms, out)
	}
	for _, rate := range regexp.MustCompile(`([0-9.]+) Mbit/s`).FindAllStringSubmatch(out, -1) {
		if mbits, err := strconv.ParseFloat(rate[1], 64); err != nil || mbits < 4 || mbits > 20 {
			t.Errorf("%s Mbit/s over a line of 10\n%s", rate[1], out)
		}
	}
	t.Log(out)
	out, code = command(t, in(client, binary, "load", "--phase", "2", "10.215.0.2:8081")...)
	if want := "10.215.0.2:8081 does not take part: it needs to be udppingserver, started with --load"; code != 2 || !strings.Contains(out, want) {
		t.Errorf("exit code %d, %q is missing:\n%s", code, want, out)
	}
}
