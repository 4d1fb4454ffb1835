package udppingserver

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"topdown/scripts/grade/internal/rubric"
	"topdown/scripts/grade/internal/transcript"
)

// An outcome is what became of many pings.
type outcome struct {
	replied []bool // of each message in the order sent
	counted []bool // whether the message is one of the sample
}

// sample counts the messages of the sample, and those lost.
func (o *outcome) sample() (n, lost int) {
	for i, counted := range o.counted {
		if counted {
			n++
			if !o.replied[i] {
				lost++
			}
		}
	}
	return n, lost
}

// sample sends n pings, a few at a time so that no buffer overflows. After each
// few, and at the end, pings outside the sample are sent until one is answered: a
// server takes messages in order, so what has no reply by then was dropped, however
// slow the machine is.
func (l *lab) sample(t *rubric.T, n int) (*outcome, *rubric.Failure) {
	c, f := l.client(t, "", "")
	if f != nil {
		return nil, f
	}
	// 300 pings would drown the transcript: the first ones tell enough.
	full := c.log
	c.log = transcript.New()
	defer c.close()
	key := l.Text(5)
	o := &outcome{}
	send := func(counted bool) (n int) {
		n = len(o.counted) + 1
		o.counted = append(o.counted, counted)
		c.send(fmt.Sprintf("Ping %d %s", n, key))
		return n
	}
	const few = 20
	for sent := 0; sent < n; {
		for range min(few, n-sent) {
			send(true)
			sent++
		}
		answered := false
		for i := 0; i < 2*tries && !answered; i++ {
			last := send(false)
			answered = c.until(func() bool { return c.answered(last) }, patience/2+time.Duration(i)*patience/2)
			if !l.alive() {
				break
			}
		}
		if !answered {
			return nil, rubric.Failf(fmt.Sprintf("%d pings are answered but for those that are dropped on purpose", n),
				"after %d pings no reply came to %d more%s", sent, 2*tries, l.State())
		}
	}
	time.Sleep(50 * time.Millisecond)
	line := strings.Builder{}
	for i := range o.counted {
		ok := c.answered(i + 1)
		o.replied = append(o.replied, ok)
		if i < 100 {
			if ok {
				line.WriteByte('!')
			} else {
				line.WriteByte('.')
			}
		}
	}
	full.Notef("the first 100 pings (! answered, . not): %s", line.String())
	return o, nil
}

func (l *lab) loss(t *rubric.T) *rubric.Failure {
	o, f := l.sample(t, 300)
	if f != nil {
		return f
	}
	l.run = o
	n, lost := o.sample()
	var shares, ranges []string
	for _, p := range l.Loss {
		low, high := interval(n, p)
		if low <= lost && lost <= high {
			return nil
		}
		shares = append(shares, fmt.Sprintf("%.1f %%", 100*p))
		ranges = append(ranges, fmt.Sprintf("%d to %d", low, high))
	}
	f = rubric.Failf(
		fmt.Sprintf("of %d pings as many are dropped as %s gives in 999 of 1,000 runs: %s", n, strings.Join(shares, " or "), strings.Join(ranges, " or ")),
		"%d dropped (%.1f %%), and as many when it was tried again", lost, 100*float64(lost)/float64(n))
	switch {
	case lost == 0:
		f.Hint = "Nothing is dropped at all. " + "Draw a random number for each packet, and do not reply if it is below the limit."
	case lost > n/2:
		f.Hint = "More is dropped than answered: is the condition the wrong way round?"
	}
	return f
}

// interval returns the least and the most of n that a share p gives, but for 1 run
// in 1,000.
func interval(n int, p float64) (low, high int) {
	const tail = 0.0005
	sum := 0.0
	low, high = -1, n
	for k := 0; k <= n; k++ {
		a, _ := math.Lgamma(float64(n + 1))
		b, _ := math.Lgamma(float64(k + 1))
		c, _ := math.Lgamma(float64(n - k + 1))
		sum += math.Exp(a - b - c + float64(k)*math.Log(p) + float64(n-k)*math.Log(1-p))
		if low < 0 && sum > tail {
			low = k
		}
		if sum >= 1-tail {
			high = k
			break
		}
	}
	return low, high
}

// random looks for a period: a message that is dropped if and only if the one k
// before it was.
func (l *lab) random(t *rubric.T) *rubric.Failure {
	if l.run == nil {
		o, f := l.sample(t, 300)
		if f != nil {
			return f
		}
		l.run = o
	}
	got := l.run.replied
	for k := 1; k <= 60; k++ {
		same := 0
		for i := k; i < len(got); i++ {
			if got[i] == got[i-k] {
				same++
			}
		}
		if same >= (len(got)-k)*98/100 {
			line := strings.Builder{}
			for _, ok := range got[:min(len(got), 60)] {
				line.WriteByte(".!"[map[bool]int{false: 0, true: 1}[ok]])
			}
			t.Log.Notef("pings (! answered, . not): %s", line.String())
			return rubric.Failf("each packet is dropped or not by chance", "the same %d pings over and over: a pattern with a period of %d", k, k)
		}
	}
	return nil
}

func (l *lab) adjustable(t *rubric.T) *rubric.Failure {
	command := l.Also["loss"]
	if command == "" {
		return rubric.Skipf("no command was named: --also loss='python3 server.py {port} {loss} {seed}'")
	}
	if l.Addr != "" {
		return rubric.Skipf("a server that was started elsewhere is not started again")
	}
	run := func(loss string, seed int) (*outcome, *rubric.Failure) {
		l.End()
		l.Port = l.FreePort()
		if f := l.Launch(t, command, map[string]string{"loss": loss, "seed": strconv.Itoa(seed)}); f != nil {
			return nil, f
		}
		return l.sample(t, 60)
	}
	defer l.End()
	o, f := run("0", 1)
	if f != nil {
		return f
	}
	if n, lost := o.sample(); lost > 0 {
		return rubric.Failf("with loss 0 every ping is answered", "%d of %d were not", lost, n)
	}
	a, f := run("0.5", 42)
	if f != nil {
		return f
	}
	b, f := run("0.5", 42)
	if f != nil {
		return f
	}
	n := min(len(a.replied), len(b.replied))
	for i := range n {
		if a.replied[i] != b.replied[i] {
			return rubric.Failf("with the same seed the same pings are lost", "ping %d of the second run was the first to differ", i+1)
		}
	}
	if _, lost := a.sample(); lost == 0 {
		return rubric.Failf("with loss 0.5 about half of the pings are lost", "none was")
	}
	return nil
}
