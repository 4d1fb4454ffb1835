package listen

import "testing"

func TestHolderOfNobody(t *testing.T) {
	if got := holderOf(0); got != nobody {
		t.Errorf("port 0 is held by %s", got)
	}
}
