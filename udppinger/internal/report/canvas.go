package report

import (
	"encoding/xml"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io"
	"math"
	"strings"

	"golang.org/x/image/font"
	"golang.org/x/image/font/inconsolata"
	"golang.org/x/image/math/fixed"
	"golang.org/x/image/vector"
)

// canvas is what a picture is drawn on. Places are in pixels from its upper left
// corner.
type canvas interface {
	// lines draws paths, of two points or more each.
	lines(c color.RGBA, width float64, paths ...[]point)
	boxes(c color.RGBA, boxes ...box)
	// text writes; align is which part of the text, from 0 to 1, is at the point.
	text(at point, align float64, text string)
	// writeTo writes the picture as a file. It returns the file's size.
	writeTo(w io.Writer) (int64, error)
}

type point struct{ x, y float64 }

// box is a rectangle.
type box struct{ from, to point }

// size of a picture.
const (
	canvasWidth  = 960
	canvasHeight = 640
)

var (
	blue  = color.RGBA{R: 0x1f, G: 0x5f, B: 0xa8, A: 0xff}
	pale  = color.RGBA{R: 0xb8, G: 0xd0, B: 0xea, A: 0xff}
	red   = color.RGBA{R: 0xd0, G: 0x30, B: 0x20, A: 0xff}
	grey  = color.RGBA{R: 0xdd, G: 0xdd, B: 0xdd, A: 0xff}
	black = color.RGBA{A: 0xff}
)

// svg is a canvas that becomes a text.
type svg struct{ strings.Builder }

func newSVG() *svg {
	c := &svg{}
	fmt.Fprintf(c, `<?xml version="1.0" encoding="UTF-8"?>
<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %d" font-family="sans-serif" font-size="13">
<rect width="100%%" height="100%%" fill="#fff"/>
`, canvasWidth, canvasHeight, canvasHeight)
	return c
}

func hex(c color.RGBA) string { return fmt.Sprintf("#%02x%02x%02x", c.R, c.G, c.B) }

func (c *svg) lines(of color.RGBA, width float64, paths ...[]point) {
	fmt.Fprintf(c, `<path fill="none" stroke="%s" stroke-width="%g" d="`, hex(of), width)
	for _, path := range paths {
		for i, p := range path {
			fmt.Fprintf(c, "%c%.1f %.1f", "ML"[min(i, 1)], p.x, p.y)
		}
	}
	c.WriteString("\"/>\n")
}

func (c *svg) boxes(of color.RGBA, boxes ...box) {
	fmt.Fprintf(c, "<g fill=\"%s\">\n", hex(of))
	for _, b := range boxes {
		fmt.Fprintf(c, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>\n", b.from.x, b.from.y, b.to.x-b.from.x, b.to.y-b.from.y)
	}
	c.WriteString("</g>\n")
}

func (c *svg) text(at point, align float64, text string) {
	anchor := map[float64]string{0: "start", 0.5: "middle", 1: "end"}[align]
	fmt.Fprintf(c, `<text x="%.1f" y="%.1f" text-anchor="%s">`, at.x, at.y, anchor)
	_ = xml.EscapeText(c, []byte(text)) // a Builder takes all
	c.WriteString("</text>\n")
}

func (c *svg) writeTo(w io.Writer) (int64, error) {
	c.WriteString("</svg>\n")
	n, err := io.WriteString(w, c.String())
	return int64(n), err
}

// bitmap is a canvas of pixels.
type bitmap struct{ *image.RGBA }

func newBitmap() bitmap {
	c := bitmap{image.NewRGBA(image.Rect(0, 0, canvasWidth, canvasHeight))}
	draw.Draw(c, c.Bounds(), image.White, image.Point{}, draw.Src)
	return c
}

func (c bitmap) lines(of color.RGBA, width float64, paths ...[]point) {
	r := vector.NewRasterizer(canvasWidth, canvasHeight)
	for _, path := range paths {
		for i := 1; i < len(path); i++ {
			p, q := path[i-1], path[i]
			length := math.Hypot(q.x-p.x, q.y-p.y)
			if length == 0 {
				continue
			}
			// A line is a narrow rectangle: n is across it.
			n := point{-(q.y - p.y) / length * width / 2, (q.x - p.x) / length * width / 2}
			r.MoveTo(float32(p.x+n.x), float32(p.y+n.y))
			r.LineTo(float32(q.x+n.x), float32(q.y+n.y))
			r.LineTo(float32(q.x-n.x), float32(q.y-n.y))
			r.LineTo(float32(p.x-n.x), float32(p.y-n.y))
			r.ClosePath()
		}
	}
	r.Draw(c, c.Bounds(), image.NewUniform(of), image.Point{})
}

func (c bitmap) boxes(of color.RGBA, boxes ...box) {
	for _, b := range boxes {
		at := image.Rect(int(math.Round(b.from.x)), int(math.Round(b.from.y)), int(math.Round(b.to.x)), int(math.Round(b.to.y)))
		draw.Draw(c, at, image.NewUniform(of), image.Point{}, draw.Src)
	}
}

func (c bitmap) text(at point, align float64, text string) {
	d := font.Drawer{Dst: c, Src: image.Black, Face: inconsolata.Regular8x16}
	x := at.x - align*float64(d.MeasureString(text).Round())
	d.Dot = fixed.P(int(math.Round(x)), int(math.Round(at.y)))
	d.DrawString(text)
}

func (c bitmap) writeTo(w io.Writer) (int64, error) {
	counted := &counter{w: w}
	err := png.Encode(counted, c)
	return counted.n, err
}

// counter counts what is written through it.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
