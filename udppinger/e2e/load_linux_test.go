package e2e

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"topdown/udppinger/internal/capturetest"
)

// A line of 10 Mbit/s with a deep queue on the way there and a short one on the
// way back (token buckets): the verdicts must tell them apart.
func TestLoadTellsADeepQueueFromAShortOne(t *testing.T) {
	t.Parallel()
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
	absent := func(format string, args ...any) { missing(t, format, args...) }
	near, far := capturetest.Start(t, absent, client, "td0", 8080), capturetest.Start(t, absent, server, "td4", 8080)
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
	idle, up, down := queues(t, near, far)
	t.Logf("by the captures, idle %v ms, while uploading %+v, while downloading %+v", idle, up, down)
	// A busy machine holds up the pinger, too, which the captures do not see.
	noise := math.Abs(held(`idle ([0-9.]+) ms, while downloading`) - idle)
	// The bucket holds 400 ms at most; TCP fills at least half of it.
	if ms := held(`the queue on the way there holds ([0-9.]+) ms; calls will suffer while something uploads`); ms < 200 || ms > 450 || math.Abs(ms-up.both) > up.both/10+noise {
		t.Errorf("the deep queue holds %v ms, by the capture %+v\n%s", ms, up, out)
	}
	// Under 10 ms the sentence does not say how much it is, but how long pings take.
	if ms := held(`idle .*, while downloading ([0-9.]+) ms: `) - held(`idle ([0-9.]+) ms, while downloading`); ms > 50 || math.Abs(ms-down.both) > down.both/10+noise {
		t.Errorf("the short queue holds %v ms, by the capture %+v\n%s", ms, down, out)
	}
	// What is on neither way is the server's, on a busy machine.
	if up.there < (up.there+up.back)*0.8 || down.back < max(1, down.there+down.back)*0.8 {
		t.Errorf("the queues are not where they are said to be: %+v, %+v", up, down)
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

// added is how many ms longer than on an idle line pings are under way.
type added struct{ both, there, back float64 }

// queues returns how many ms pings take on an idle line, and what they take longer
// while the way there is filled, and the way back: medians, without the first second,
// by captures at both ends.
func queues(t *testing.T, near, far *capturetest.Capture) (idle float64, up, down added) {
	t.Helper()
	type passing struct{ begun, there, asked, back int64 }
	runs := make(map[string]map[uint64]*passing) // by their nonces: one a phase
	var order []string
	at := func(p capturetest.Packet) *passing {
		if runs[p.Run] == nil {
			runs[p.Run] = make(map[uint64]*passing)
			order = append(order, p.Run)
		}
		if runs[p.Run][p.Seq] == nil {
			runs[p.Run][p.Seq] = &passing{}
		}
		return runs[p.Run][p.Seq]
	}
	enough := func(p capturetest.Packet) bool { // replies to most pings of the third phase
		at(p)
		return p.Reply && len(order) == 3 && p.Run == order[2] && p.Seq >= 140
	}
	for _, p := range near.Until(t, enough) {
		if p.Reply {
			at(p).back = p.At
		} else {
			at(p).begun = p.At
		}
	}
	for _, p := range far.Until(t, enough) {
		if p.Reply {
			at(p).asked = p.At
		} else {
			at(p).there = p.At
		}
	}
	median := func(run string, way func(*passing) (from, to int64)) float64 {
		first := int64(math.MaxInt64)
		for _, p := range runs[run] {
			if p.begun > 0 {
				first = min(first, p.begun)
			}
		}
		var all []int64
		for _, p := range runs[run] {
			if from, to := way(p); from > 0 && to > 0 && p.begun-first > int64(time.Second) {
				all = append(all, to-from)
			}
		}
		if len(all) < 50 {
			t.Fatalf("%d pings of run %s in both captures", len(all), run)
		}
		slices.Sort(all)
		return float64(all[len(all)/2]) / 1e6
	}
	both := func(p *passing) (int64, int64) { return p.begun, p.back }
	longer := func(run string) added {
		over := func(way func(*passing) (from, to int64)) float64 { return median(run, way) - median(order[0], way) }
		return added{
			both:  over(both),
			there: over(func(p *passing) (int64, int64) { return p.begun, p.there }),
			back:  over(func(p *passing) (int64, int64) { return p.asked, p.back }),
		}
	}
	return median(order[0], both), longer(order[1]), longer(order[2])
}
