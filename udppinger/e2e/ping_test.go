//go:build unix

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"topdown/udppinger/internal/freeport"
)

func TestIPv6(t *testing.T) {
	t.Parallel()
	addr := labServer(t, "udp6")
	stdout, stderr, code := call(t, "-c", "2", "-W", "9", addr)
	if code != 0 || !strings.Contains(stdout, "Sequence 2: Reply from ::1    RTT = ") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
}

func TestSeveralTargets(t *testing.T) {
	t.Parallel()
	one, two := labServer(t, "udp4"), labServer(t, "udp4", "1", "2", "3")
	stdout, stderr, code := call(t, "-c", "3", "-i", "20ms", "-W", "3", one, two)
	if code != 1 {
		t.Errorf("exit code %d, want 1: one target is silent\n%s", code, stderr)
	}
	for _, want := range []string{
		one + " Sequence 3: Reply from 127.0.0.1    RTT = ",
		two + " Sequence 3: Request timed out",
		"target  sent  received  lost    loss",
		"100.0%",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is missing:\n%s", want, stdout)
		}
	}
}

// endless is a list of targets that never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	return copy(p, "127.0.0.1\n"), nil
}

func TestAnEndlessListIsRefused(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, binary, "--targets", "-")
	cmd.Stdin, cmd.Stderr = endless{}, &said
	if err := cmd.Run(); ctx.Err() != nil || cmd.ProcessState.ExitCode() != 2 || !strings.Contains(said.String(), "more than 1000 targets") {
		t.Errorf("%v, %s", err, said.String())
	}
}

func TestDurationEndsTheRun(t *testing.T) {
	t.Parallel()
	stdout, _, code := call(t, "--duration", "2s", "-i", "100ms", "-W", "9", "--format", "json", labServer(t, "udp4"))
	var doc struct {
		Stats struct {
			Sent int `json:"packets_sent"`
		}
	}
	if err := json.Unmarshal([]byte(stdout), &doc); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v", code, err)
	}
	if doc.Stats.Sent < 2 || doc.Stats.Sent > 20 {
		t.Errorf("%d probes in 2 s, one each 100 ms", doc.Stats.Sent)
	}
}

func TestSourceTOSAndTTLAreTaken(t *testing.T) {
	t.Parallel()
	stdout, stderr, code := call(t, "-c", "1", "-W", "9", "--source", "127.0.0.3", "--tos", "184", "--ttl", "5", labServer(t, "udp4"))
	if code != 0 {
		t.Skipf("no second loopback address here: %s%s", stdout, stderr)
	}
	if _, stderr, code := call(t, "-c", "1", "--source", "192.0.2.1", labServer(t, "udp4")); code != 2 || !strings.Contains(stderr, "bind to the source 192.0.2.1") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

func TestInterruptedRunEndsWithTheSummary(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(binary, "-c", "0", "-i", "5ms", labServer(t, "udp4"))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		all.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), "Sequence 3: Reply") {
			_ = cmd.Process.Signal(os.Interrupt)
		}
	}
	if err := cmd.Wait(); err != nil || !strings.Contains(all.String(), "ping statistics") || !strings.Contains(all.String(), "RTT min/avg/max/mdev") {
		t.Errorf("%v\n%s", err, all.String())
	}
}

func TestDoctorWithoutRoot(t *testing.T) {
	t.Parallel()
	addr := labServer(t, "udp4")
	stdout, stderr, code := call(t, "doctor", "-W", "3s", addr)
	if code != 0 || !strings.Contains(stdout, "OPEN: ") || !strings.Contains(stdout, "echoes the first 1024 bytes") {
		t.Errorf("open: exit code %d\n%s%s", code, stdout, stderr)
	}
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := conn.LocalAddr().String()
	conn.Close()
	stdout, stderr, code = call(t, "doctor", "-W", "3s", closed)
	if code != 1 || !strings.Contains(stdout, "CLOSED: ") {
		t.Errorf("closed: exit code %d\n%s%s", code, stdout, stderr)
	}
}

// A name that cannot be found is told, and the others are pinged all the same.
func TestOneBadNameDoesNotStopTheOthers(t *testing.T) {
	t.Parallel()
	stdout, stderr, code := call(t, "-c", "1", "-W", "9", "nobody.invalid.", labServer(t, "udp4"))
	if code != 2 || !strings.Contains(stdout, "Sequence 1: Reply from 127.0.0.1") {
		t.Errorf("exit code %d\n%s", code, stdout)
	}
	if want := "udppinger: find the address of nobody.invalid.: "; !strings.HasPrefix(stderr, want) || strings.Count(stderr, "\n") != 1 {
		t.Errorf("stderr %q", stderr)
	}
}

func TestTargetsFromAFileAndFromStandardInput(t *testing.T) {
	t.Parallel()
	one, two := labServer(t, "udp4"), labServer(t, "udp4")
	list := "# the lab\n" + one + "\n\n  " + two + "   # the other\n"
	file := filepath.Join(t.TempDir(), "targets")
	if err := os.WriteFile(file, []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{file, "-"} {
		cmd := exec.Command(binary, "-c", "1", "-W", "9", "--targets", from)
		if from == "-" {
			cmd.Stdin = strings.NewReader(list)
		}
		out, err := cmd.CombinedOutput()
		for _, want := range []string{one + " Sequence 1: Reply", two + " Sequence 1: Reply"} {
			if err != nil || !strings.Contains(string(out), want) {
				t.Errorf("%s: %v, %q is missing:\n%s", from, err, want, out)
			}
		}
	}
}

func TestJSONOfSeveralTargets(t *testing.T) {
	t.Parallel()
	one, two := labServer(t, "udp4"), labServer(t, "udp4", "1")
	stdout, stderr, _ := call(t, "--format", "json", "-c", "2", "-i", "20ms", "-W", "3", one, two)
	var docs []struct {
		Config struct {
			Address string `json:"remote_address"`
		}
		RoundTrips []struct{ Seqno int } `json:"round_trips"`
		Stats      struct {
			Lost int `json:"lost_packets"`
		}
	}
	if err := json.Unmarshal([]byte(stdout), &docs); err != nil {
		t.Fatalf("%v\n%s%s", err, stdout, stderr)
	}
	if len(docs) != 2 || docs[0].Config.Address != one || docs[1].Config.Address != two ||
		len(docs[0].RoundTrips) != 2 || docs[0].Stats.Lost != 0 || docs[1].Stats.Lost != 1 {
		t.Errorf("documents %+v", docs)
	}
}

// The file to plot to is opened before anything is sent.
func TestPlotIsOpenedFirst(t *testing.T) {
	t.Parallel()
	stdout, stderr, code := call(t, "-c", "0", "--plot", "/nowhere/at/all.svg", labServer(t, "udp4"))
	if want := "udppinger: --plot /nowhere/at/all.svg: no such file or directory\n"; code != 2 || stderr != want || stdout != "" {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
}

// All formats say of a closed port that everything is lost, and of a server that
// goes away in the middle that the rest is.
func TestLossToAClosedPort(t *testing.T) {
	t.Parallel()
	closed := closedPort(t)
	for format, want := range map[string]string{
		"lab": "Loss 100.0%", "ping": "100% packet loss", "fping": "3/0/100%",
		"json": `"packet_loss_percent": 100`, "ndjson": `"packet_loss_percent":100`,
	} {
		stdout, stderr, code := call(t, "-c", "3", "--format", format, closed)
		if code != 1 || !strings.Contains(stdout, want) {
			t.Errorf("%s: exit code %d, %q is missing:\n%s%s", format, code, want, stdout, stderr)
		}
	}
	stdout, _, _ := call(t, "-c", "3", closed, closed)
	if strings.Count(stdout, "100.0%") < 4 || !strings.Contains(stdout, "       3  100.0%") && !strings.Contains(stdout, "  3  100.0%") {
		t.Errorf("table:\n%s", stdout)
	}
}

// running is a udppinger that goes on until the test is over, or hangs.
func running(t *testing.T, args ...string) (stdout io.Reader, cmd *exec.Cmd) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	cmd = exec.CommandContext(ctx, binary, args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
	})
	return out, cmd
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	server, at := labServer(t, "udp4", "2"), fmt.Sprintf("127.0.0.1:%d", freeport.Take(t))
	out, _ := running(t, "-c", "0", "-i", "20ms", "-W", "2", "--metrics-addr", at, server)
	lines := bufio.NewScanner(out)
	for lines.Scan() && !strings.Contains(lines.Text(), "Sequence 2: Request timed out") {
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	resp, err := http.Get("http://" + at + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	page, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	for _, want := range []string{
		`udppinger_packets_total{target="` + server + `",verdict="on time"} `,
		`udppinger_packets_unanswered_total{target="` + server + `"} 1` + "\n",
		`udppinger_window_loss_ratio{target="` + server + `"} 0.`,
		`udppinger_window_rtt_seconds{target="` + server + `",stat="mean"} `,
	} {
		if !strings.Contains(string(page), want) {
			t.Errorf("%q is missing:\n%s", want, page)
		}
	}
}

func TestWindowInNDJSON(t *testing.T) {
	t.Parallel()
	stdout, _, code := call(t, "--format", "ndjson", "--window", "9s", "-W", "3", "-c", "60", "-i", "20ms", labServer(t, "udp4", "3"))
	m := regexp.MustCompile(`"event":"window",.*"length":9000000000,"packets_sent":(\d+),"lost_packets":1,`).FindStringSubmatch(stdout)
	if code != 0 || m == nil {
		t.Errorf("exit code %d\n%s", code, stdout)
	}
}

// Watch is silent but for changes: up, down when the server stops answering, and
// up again.
func TestWatchTellsOfChangesOnly(t *testing.T) {
	t.Parallel()
	var drops []string
	for seq := 20; seq < 140; seq++ {
		drops = append(drops, fmt.Sprint(seq))
	}
	server := labServer(t, "udp4", drops...)
	out, cmd := running(t, "watch", "-i", "20ms", "-W", "2", "--window", "3s", "--max-loss", "10%", server)
	want := []string{"up, RTT ", "loss too high: ", "down: 3 pings in a row without a reply (request timed out)", "up again after "}
	found := 0
	var all []string
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		line := lines.Text()
		all = append(all, line)
		if !regexp.MustCompile(`^\d{4}-\d\d-\d\dT\S+ ` + regexp.QuoteMeta(server) + ` `).MatchString(line) {
			t.Errorf("line %q", line)
		}
		for i, w := range want {
			if strings.Contains(line, w) && i != 1 {
				found++
			}
		}
		if strings.Contains(line, "loss fine again") {
			_ = cmd.Process.Signal(os.Interrupt)
		}
	}
	if err := cmd.Wait(); err != nil || found != 3 || len(all) > 6 {
		t.Errorf("%v\n%s", err, strings.Join(all, "\n"))
	}
}

func TestWatchOfASilentTargetEndsWith1(t *testing.T) {
	t.Parallel()
	stdout, _, code := call(t, "watch", "-i", "20ms", "-W", "2", "--window", "1s", "--duration", "0.5", closedPort(t))
	if code != 1 || strings.Count(stdout, "\n") != 1 || !strings.Contains(stdout, "down: 3 pings in a row without a reply (Refused: the port is closed") {
		t.Errorf("exit code %d\n%s", code, stdout)
	}
}
