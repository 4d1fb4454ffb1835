package report

import (
	"encoding/xml"
	"errors"
	"image"
	"image/color"
	"io"
	"strings"
	"testing"
	"time"

	"topdown/udppinger/internal/ping"
)

func TestStepsAreRound(t *testing.T) {
	for _, tt := range []struct{ length, pieces, want float64 }{
		{10, 10, 1}, {10.1, 10, 2}, {3, 10, 0.5}, {1, 6, 0.2}, {72_000, 6, 20_000}, {0.001, 10, 0.0001},
	} {
		if got := step(tt.length, tt.pieces); got < tt.want*0.999 || got > tt.want*1.001 {
			t.Errorf("%v in %v pieces at most: steps of %v, want %v", tt.length, tt.pieces, got, tt.want)
		}
	}
}

// A picture is XML whatever a target is called, and has a cross for each loss and
// a line for each stretch without one.
func TestPictureOfARun(t *testing.T) {
	s := NewSummary(Target{Name: "<a>&\x00", Address: "192.0.2.1", Port: 8080}, time.Unix(0, 0), 0)
	for seq := uint64(1); seq <= 10; seq++ {
		p := ping.Probe{Seq: seq, Begun: time.Duration(seq) * time.Second, Verdict: ping.OnTime, RTT: time.Duration(seq) * time.Millisecond}
		if seq == 4 || seq == 8 {
			p.Verdict, p.RTT = ping.Lost, 0
		}
		s.Observe(ping.Event{Kind: ping.Final, Probe: p})
	}
	on := newSVG()
	drawCourse(&chart{canvas: on, at: box{point{70, 50}, point{canvasWidth - 20, 300}}}, s)
	var text strings.Builder
	if _, err := on.writeTo(&text); err != nil {
		t.Fatal(err)
	}
	for d := xml.NewDecoder(strings.NewReader(text.String())); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, text.String())
		}
	}
	moves := func(stroke string) int {
		_, path, _ := strings.Cut(text.String(), `stroke="`+stroke+`"`)
		path, _, _ = strings.Cut(path, "/>")
		return strings.Count(path, "M")
	}
	if crosses, lines := moves(hex(red))/2, moves(hex(blue)); crosses != 2 || lines != 3 {
		t.Errorf("%d crosses and %d lines, want 2 and 3\n%s", crosses, lines, text.String())
	}
}

func TestPixels(t *testing.T) {
	c := newBitmap()
	c.lines(red, 3, []point{{100, 100}, {200, 100}}, []point{{150, 50}, {150, 150}}, []point{{7, 7}, {7, 7}})
	c.boxes(blue, box{point{300, 300}, point{310, 310}})
	c.text(point{400, 400}, 1, "I")
	for _, tt := range []struct {
		what string
		x, y int
		want color.RGBA
	}{
		{"a line", 120, 100, red},
		{"where lines cross", 150, 100, red},
		{"beside a line", 120, 104, color.RGBA{255, 255, 255, 255}},
		{"a box", 309, 309, blue},
		{"beside a box", 310, 310, color.RGBA{255, 255, 255, 255}},
	} {
		if got := c.RGBAAt(tt.x, tt.y); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.what, got, tt.want)
		}
	}
	dark := 0
	for x := range canvasWidth {
		for y := range canvasHeight {
			if at := (image.Point{x, y}); c.RGBAAt(x, y).R < 100 && at.In(image.Rect(390, 380, 400, 410)) {
				dark++
			}
		}
	}
	if dark < 8 {
		t.Errorf("%d dark pixels of a letter that ends at its point", dark)
	}
}
