package report

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"topdown/udppinger/internal/ping"
)

// Plot draws RTT over time, with losses marked, and a histogram of RTT to a file
// whose name ends in .svg or .png.
type Plot struct {
	name string
	file *os.File
}

// NewPlot opens the file, so that a run need not end before one knows that it
// cannot be written to. What stands in it stays until then.
func NewPlot(name string) (*Plot, error) {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	return &Plot{name, file}, nil
}

// CanDraw reports whether a plot can be drawn to a file of this name.
func CanDraw(name string) bool {
	ext := strings.ToLower(filepath.Ext(name))
	return ext == ".svg" || ext == ".png"
}

// Begin implements View.
func (v *Plot) Begin(*Summary) {}

// Event implements View.
func (v *Plot) Event(*Summary, ping.Event) {}

// Limits of a drawing.
const (
	plotPoints = 800
	plotDots   = 200 // with more points the single replies are not marked
	plotBars   = 40
)

// End implements View.
func (v *Plot) End(s *Summary) error {
	var on canvas = newBitmap()
	if strings.EqualFold(filepath.Ext(v.name), ".svg") {
		on = newSVG()
	}
	drawCourse(&chart{canvas: on, at: box{point{70, 50}, point{canvasWidth - 20, 300}}}, s)
	drawHistogram(&chart{canvas: on, at: box{point{70, 390}, point{canvasWidth - 20, 590}}}, s)
	size, err := on.writeTo(v.file)
	if err == nil {
		err = cutFile(v.file, size)
	}
	if err = errors.Join(err, v.file.Close()); err != nil {
		return fmt.Errorf("plot: write %s: %w", v.name, err)
	}
	return nil
}

// cutFile cuts off what an older, longer file had beyond size; a pipe or a device
// has nothing there.
func cutFile(file *os.File, size int64) error {
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return err
	}
	return file.Truncate(size)
}

// chart is a part of the canvas with axes. Set least and most before drawing; the
// least of y is 0.
type chart struct {
	canvas

	at          box
	least, most point // what is at the corners, in the units of the axes
}

// place returns where a value is on the canvas.
func (c *chart) place(x, y float64) point {
	return point{
		c.at.from.x + (x-c.least.x)/(c.most.x-c.least.x)*(c.at.to.x-c.at.from.x),
		c.at.to.y - y/c.most.y*(c.at.to.y-c.at.from.y),
	}
}

// step returns a round distance, 1, 2 or 5 times a power of ten, that cuts a length
// into at most so many pieces.
func step(length, pieces float64) float64 {
	least := length / pieces
	power := math.Pow(10, math.Floor(math.Log10(least)))
	for _, by := range []float64{1, 2, 5} {
		if by*power >= least {
			return by * power
		}
	}
	return 10 * power
}

// axes draws a grid with numbers, and says what it is about.
func (c *chart) axes(title, x, y string) {
	number := func(v, step float64) string {
		return strconv.FormatFloat(v, 'f', max(0, -int(math.Floor(math.Log10(step)))), 64)
	}
	var grid [][]point
	each := step(c.most.x-c.least.x, 10)
	for v := math.Ceil(c.least.x/each) * each; v <= c.most.x*(1+1e-9); v += each {
		foot := c.place(v, 0)
		grid = append(grid, []point{foot, {foot.x, c.at.from.y}})
		c.text(point{foot.x, foot.y + 17}, 0.5, number(v, each))
	}
	each = step(c.most.y, 6)
	for v := 0.0; v <= c.most.y*(1+1e-9); v += each {
		left := c.place(c.least.x, v)
		grid = append(grid, []point{left, {c.at.to.x, left.y}})
		c.text(point{left.x - 6, left.y + 5}, 1, number(v, each))
	}
	c.lines(grey, 1, grid...)
	c.lines(black, 1, []point{c.at.from, {c.at.from.x, c.at.to.y}, c.at.to})
	c.text(point{(c.at.from.x + c.at.to.x) / 2, c.at.from.y - 28}, 0.5, title)
	c.text(point{c.at.from.x, c.at.from.y - 9}, 0.5, y)
	c.text(point{c.at.to.x, c.at.to.y + 34}, 1, x)
}

// drawCourse draws RTT over time: a band from the least to the greatest of each
// stretch, the mean as a line that breaks at losses, and losses as crosses at
// the foot.
func drawCourse(c *chart, s *Summary) {
	points := s.Series.Fewer(plotPoints)
	c.most = point{1, 1}
	for i, at := range points {
		if i == 0 {
			c.least.x = at.At.Seconds()
			c.most.x = c.least.x + 0.001
		}
		c.most.x = max(c.most.x, at.At.Seconds())
		c.most.y = max(c.most.y, float64(at.Max)/1e3*1.05)
	}
	c.axes(fmt.Sprintf("RTT to %s, %d probes, %.1f%% lost", &s.Target, s.Counts.Sent, 100*s.Loss().Share), "time (s)", "RTT (µs)")
	var band, means, crosses [][]point
	var dots []box
	broken := true
	for _, at := range points {
		x := at.At.Seconds()
		if at.Lost > 0 {
			foot := c.place(x, 0)
			crosses = append(crosses, []point{{foot.x - 4, foot.y - 4}, {foot.x + 4, foot.y + 4}}, []point{{foot.x - 4, foot.y + 4}, {foot.x + 4, foot.y - 4}})
		}
		if at.Lost == at.Probes {
			broken = true
			continue
		}
		mean := c.place(x, float64(at.Mean)/1e3)
		if broken {
			means = append(means, nil)
			broken = false
		}
		means[len(means)-1] = append(means[len(means)-1], mean)
		dots = append(dots, box{point{mean.x - 2, mean.y - 2}, point{mean.x + 2, mean.y + 2}})
		if at.Max > at.Min {
			band = append(band, []point{c.place(x, float64(at.Min)/1e3), c.place(x, float64(at.Max)/1e3)})
		}
	}
	c.lines(pale, 1.5, band...)
	c.lines(blue, 1.5, means...)
	if len(points) <= plotDots {
		c.boxes(blue, dots...)
	}
	if len(crosses) > 0 {
		c.lines(red, 1.5, crosses...)
		c.text(point{c.at.to.x, c.at.from.y - 9}, 1, "x: lost or late")
	}
}

func drawHistogram(c *chart, s *Summary) {
	bars := s.RTT.Bars(plotBars)
	c.most = point{1, 1}
	for i, b := range bars {
		if i == 0 {
			c.least.x = float64(b.From) / 1e3
		}
		c.most.x = float64(b.To) / 1e3
		c.most.y = max(c.most.y, float64(b.N)*1.05)
	}
	c.axes("How often each RTT", "RTT (µs); the last bar is this much or more", "probes")
	boxes := make([]box, 0, len(bars))
	for _, b := range bars {
		left, right := c.place(float64(b.From)/1e3, float64(b.N)), c.place(float64(b.To)/1e3, 0)
		boxes = append(boxes, box{left, point{right.x - 1, right.y}})
	}
	c.boxes(blue, boxes...)
}
