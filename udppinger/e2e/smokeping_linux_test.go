package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// SmokePing's own FPing probe runs udppinger, by a script that turns fping's flags
// into ours, and must find the losses and times that the server dealt out.
func TestSmokePingReadsFping(t *testing.T) {
	t.Parallel()
	need(t, "smokeping")
	host, port, _ := net.SplitHostPort(labServer(t, "udp4", "2", "5", "9"))
	dir := t.TempDir()
	fping := filepath.Join(dir, "fping")
	write := func(name, text string, mode os.FileMode) {
		t.Helper()
		// A process that another test starts meanwhile would inherit the open file, and
		// what is open for writing cannot be run.
		syscall.ForkLock.RLock()
		defer syscall.ForkLock.RUnlock()
		if err := os.WriteFile(name, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write(fping, fmt.Sprintf(`#!/bin/sh
while [ $# -gt 0 ]; do
  case $1 in
  -C) count=$2; shift ;;
  -*) ;;
  *) hosts="$hosts $1:%s" ;;
  esac
  shift
done
exec %s --format fping -q -c "$count" -i 0.02 -W 3 $hosts
`, port, binary), 0o700)
	config := filepath.Join(dir, "config")
	write(config, strings.NewReplacer("DIR", dir, "FPING", fping, "HOST", host).Replace(`*** General ***
owner = x
contact = x@example.org
mailhost = localhost
sendmail = /bin/true
imgcache = DIR
imgurl = img
datadir = DIR
piddir = DIR
cgiurl = http://localhost/x
smokemail = /etc/smokeping/smokemail
tmail = /etc/smokeping/tmail
*** Database ***
step = 300
pings = 10
AVERAGE 0.5 1 1008
*** Presentation ***
template = /etc/smokeping/basepage.html
charset = utf-8
+ overview
width = 600
height = 50
range = 10h
+ detail
width = 600
height = 200
"Last 3 Hours" 3h
*** Probes ***
+ FPing
binary = FPING
*** Targets ***
probe = FPing
menu = Top
title = Top
+ lab
menu = lab
title = lab
host = HOST
`), 0o600)
	out, err := exec.Command("smokeping", "--config="+config, "--debug").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// uptime:loss:median:ping1…ping10; U is a lost one.
	m := regexp.MustCompile(`RRDs::update\(.* \d+:U:(\d+):([0-9.e-]+):(\S+)\)`).FindStringSubmatch(string(out))
	if m == nil || m[1] != "3" || strings.Count(m[3], "U") != 3 || strings.Count(m[3], "e-") != 7 {
		t.Errorf("SmokePing reads %q\n%s", m, out)
	}
}
