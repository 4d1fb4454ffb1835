package listen

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 0 100 0 0 10 0
   1: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4243 1 0 100 0 0 10 0
   2: 0100007F:1F90 0100007F:8888 01 00000000:00000000 00:00000000 00000000     0        0 4244 1 0 100 0 0 10 0
   3: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 4245 1
broken
   4: nonsense x 0A 0 0 0 0 0 4246
`

func TestListeners(t *testing.T) {
	got := map[string]bool{}
	listeners(strings.NewReader(table), 8080, got)
	if diff := cmp.Diff(map[string]bool{"socket:[4242]": true, "socket:[4245]": true}, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzListeners(f *testing.F) {
	f.Add(table, 8080)
	f.Fuzz(func(t *testing.T, table string, port int) {
		got := map[string]bool{}
		listeners(strings.NewReader(table), port, got)
		if len(got) > strings.Count(table, "\n")+1 {
			t.Errorf("%d sockets in %q", len(got), table)
		}
	})
}

func TestHolderOfNobody(t *testing.T) {
	if _, err := os.Stat("/proc/net/tcp"); err != nil {
		t.Skip("no /proc here")
	}
	if got := holderOf(t.Context(), 0); got != nobody {
		t.Errorf("port 0 is held by %s", got)
	}
}
