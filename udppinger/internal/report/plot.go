package report

import (
	"errors"
	"fmt"
	"image/color"
	"os"
	"path/filepath"
	"strings"

	"topdown/udppinger/internal/ping"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
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

// PlotName reports what is wrong with the name of a file to plot to, if anything.
func PlotName(name string) error {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".svg", ".png":
		return nil
	}
	return fmt.Errorf("--plot %q: a name that ends in .svg or .png is expected", name)
}

// Begin implements View.
func (v *Plot) Begin(*Summary) {}

// Event implements View.
func (v *Plot) Event(*Summary, ping.Event) {}

var (
	blue  = color.RGBA{R: 0x1f, G: 0x5f, B: 0xa8, A: 0xff}
	pale  = color.RGBA{R: 0xb8, G: 0xd0, B: 0xea, A: 0xff}
	red   = color.RGBA{R: 0xd0, G: 0x30, B: 0x20, A: 0xff}
	white = color.White
)

// Sizes of the drawing.
const (
	plotWidth  = 24 * vg.Centimeter
	plotHeight = 16 * vg.Centimeter
	plotPoints = 800
	plotBars   = 40
)

// End implements View.
func (v *Plot) End(s *Summary) error {
	course, err := v.course(s)
	if err != nil {
		return err
	}
	histogram := v.histogram(s)
	var canvas interface {
		vg.CanvasWriterTo
		vg.CanvasSizer
	}
	if strings.EqualFold(filepath.Ext(v.name), ".svg") {
		canvas = vgsvg.New(plotWidth, plotHeight)
	} else {
		canvas = vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(plotWidth, plotHeight), vgimg.UseDPI(110), vgimg.UseBackgroundColor(white))}
	}
	all := draw.New(canvas)
	tiles := draw.Tiles{Rows: 2, Cols: 1, PadTop: 4, PadBottom: 4, PadLeft: 4, PadRight: 12, PadY: 10}
	plots := [][]*plot.Plot{{course}, {histogram}}
	canvases := plot.Align(plots, tiles, all)
	for i := range plots {
		plots[i][0].Draw(canvases[i][0])
	}
	size, err := canvas.WriteTo(v.file)
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

// course draws RTT over time: a band from the least to the greatest of each
// stretch, the mean as a line that breaks at losses, and losses as crosses at
// the foot.
func (v *Plot) course(s *Summary) (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text = fmt.Sprintf("RTT to %s, %d probes, %.1f%% lost", &s.Target, s.Counts.Sent, 100*s.Loss().Share)
	p.X.Label.Text = "time (s)"
	p.Y.Label.Text = "RTT (µs)"
	p.Y.Min = 0
	p.Add(plotter.NewGrid())
	var lines []plotter.XYs
	var band, losses plotter.XYs
	var dots plotter.XYs
	broken := true
	points := s.Series.Fewer(plotPoints)
	for _, at := range points {
		x := at.At.Seconds()
		if at.Lost > 0 {
			losses = append(losses, plotter.XY{X: x})
		}
		if at.Lost == at.Probes {
			broken = true
			continue
		}
		if broken {
			lines = append(lines, nil)
			broken = false
		}
		last := &lines[len(lines)-1]
		*last = append(*last, plotter.XY{X: x, Y: float64(at.Mean) / 1e3})
		dots = append(dots, plotter.XY{X: x, Y: float64(at.Mean) / 1e3})
		if at.Max > at.Min {
			band = append(band, plotter.XY{X: x, Y: float64(at.Min) / 1e3}, plotter.XY{X: x, Y: float64(at.Max) / 1e3})
		}
	}
	for i := 0; i+1 < len(band); i += 2 {
		line, err := plotter.NewLine(band[i : i+2])
		if err != nil {
			return nil, err
		}
		line.Color = pale
		p.Add(line)
	}
	for _, xys := range lines {
		line, err := plotter.NewLine(xys)
		if err != nil {
			return nil, err
		}
		line.Color = blue
		p.Add(line)
	}
	if len(dots) > 0 && len(points) <= 200 {
		scatter, err := plotter.NewScatter(dots)
		if err != nil {
			return nil, err
		}
		scatter.GlyphStyle = draw.GlyphStyle{Color: blue, Radius: vg.Points(2), Shape: draw.CircleGlyph{}}
		p.Add(scatter)
		p.Legend.Add("reply", scatter)
	}
	if len(losses) > 0 {
		scatter, err := plotter.NewScatter(losses)
		if err != nil {
			return nil, err
		}
		scatter.GlyphStyle = draw.GlyphStyle{Color: red, Radius: vg.Points(3.5), Shape: draw.CrossGlyph{}}
		p.Add(scatter)
		p.Legend.Add("lost or late", scatter)
	}
	p.Legend.Top = true
	p.Y.Max = max(p.Y.Max*1.15, 1) // room for the legend
	return p, nil
}

func (v *Plot) histogram(s *Summary) *plot.Plot {
	p := plot.New()
	p.Title.Text = "How often each RTT"
	p.X.Label.Text = "RTT (µs); the last bar is this much or more"
	p.Y.Label.Text = "probes"
	p.Y.Min = 0
	bars := s.RTT.Bars(plotBars)
	if len(bars) == 0 {
		p.X.Max, p.Y.Max = 1, 1
		return p
	}
	bins := make([]plotter.HistogramBin, len(bars))
	for i, b := range bars {
		bins[i] = plotter.HistogramBin{Min: float64(b.From) / 1e3, Max: float64(b.To) / 1e3, Weight: float64(b.N)}
	}
	p.Add(plotter.NewGrid(), &plotter.Histogram{
		Bins: bins, Width: bins[0].Max - bins[0].Min, FillColor: pale,
		LineStyle: draw.LineStyle{Color: blue, Width: vg.Points(0.7)},
	})
	return p
}
