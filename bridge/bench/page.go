package main

import (
	"fmt"
	"html/template"
	"io"
	"math"
	"strings"
)

// point is one measurement of a plot.
type point struct{ x, y float64 }

// series is one line of a plot.
type series struct {
	name   string
	points []point
}

// plot draws lines over logarithmic axes as SVG.
func plot(title, x, y string, lines []series) template.HTML {
	const width, height, left, bottom, top, right = 560.0, 340.0, 64.0, 46.0, 30.0, 120.0
	lowX, highX, lowY, highY := math.Inf(1), 0.0, math.Inf(1), 0.0
	for _, l := range lines {
		for _, p := range l.points {
			if p.x > 0 && p.y > 0 {
				lowX, highX, lowY, highY = min(lowX, p.x), max(highX, p.x), min(lowY, p.y), max(highY, p.y)
			}
		}
	}
	if highX == 0 {
		return ""
	}
	floor := func(v float64) float64 { return math.Floor(math.Log10(v)) }
	x0, x1, y0, y1 := math.Log10(lowX), math.Log10(highX), floor(lowY), math.Ceil(math.Log10(highY)+1e-9)
	if x1 == x0 {
		x1 = x0 + 1
	}
	if y1 == y0 {
		y1 = y0 + 1
	}
	px := func(v float64) float64 { return left + (math.Log10(v)-x0)/(x1-x0)*(width-left-right) }
	py := func(v float64) float64 { return height - bottom - (math.Log10(v)-y0)/(y1-y0)*(height-bottom-top) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %g %g" width="%g" height="%g" font-family="sans-serif" font-size="11">`, width, height, width, height)
	fmt.Fprintf(&b, `<text x="%g" y="16" font-size="13" font-weight="bold">%s</text>`, left, template.HTMLEscapeString(title))
	for e := y0; e <= y1; e++ {
		at := py(math.Pow(10, e))
		fmt.Fprintf(&b, `<line x1="%g" y1="%.1f" x2="%g" y2="%.1f" stroke="#ddd"/><text x="%g" y="%.1f" text-anchor="end">%s</text>`, left, at, width-right, at, left-6, at+4, short10(e))
	}
	seen := map[float64]bool{}
	for _, l := range lines {
		for _, p := range l.points {
			if !seen[p.x] {
				seen[p.x] = true
				fmt.Fprintf(&b, `<text x="%.1f" y="%g" text-anchor="middle">%g</text>`, px(p.x), height-bottom+16, p.x)
			}
		}
	}
	fmt.Fprintf(&b, `<text x="%g" y="%g" text-anchor="middle">%s</text>`, (left+width-right)/2, height-10, template.HTMLEscapeString(x))
	fmt.Fprintf(&b, `<text transform="translate(14 %g) rotate(-90)" text-anchor="middle">%s</text>`, (height-bottom+top)/2, template.HTMLEscapeString(y))
	for i, l := range lines {
		colour := []string{"#222", "#0a7", "#06c", "#c60", "#a0a"}[i%5]
		var path []string
		for _, p := range l.points {
			if p.y > 0 {
				path = append(path, fmt.Sprintf("%.1f,%.1f", px(p.x), py(p.y)))
				fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="2.5" fill="%s"><title>%s: %g, %.4g</title></circle>`, px(p.x), py(p.y), colour, l.name, p.x, p.y)
			}
		}
		fmt.Fprintf(&b, `<polyline fill="none" stroke="%s" stroke-width="1.6" points="%s"/>`, colour, strings.Join(path, " "))
		at := top + 16*float64(i)
		fmt.Fprintf(&b, `<line x1="%g" y1="%g" x2="%g" y2="%g" stroke="%s" stroke-width="3"/><text x="%g" y="%g">%s</text>`,
			width-right+8, at, width-right+24, at, colour, width-right+28, at+4, template.HTMLEscapeString(l.name))
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String())
}

func short10(e float64) string { return fmt.Sprintf("%g", math.Pow(10, e)) }

// curve takes the rows of the curves that match, and one figure of each.
func (d *data) curve(program string, match func(w workload) (x int, ok bool), figure func(result) float64) series {
	s := series{name: program}
	for i := range d.Rows {
		r := &d.Rows[i]
		if r.Part != "curves" || r.at(program, ops) == 0 {
			continue
		}
		if x, ok := match(r.workload); ok {
			s.points = append(s.points, point{float64(x), r.at(program, figure)})
		}
	}
	return s
}

// plots are the pictures of a run: those for which it has rows.
func (d *data) plots() (all []template.HTML) {
	add := func(title, x, y string, match func(w workload) (int, bool), figure func(result) float64, use ...string) {
		var lines []series
		for _, p := range use {
			if s := d.curve(p, match, figure); len(s.points) > 1 {
				lines = append(lines, s)
			}
		}
		if len(lines) > 0 {
			all = append(all, plot(title, x, y, lines))
		}
	}
	keysOf := func(op string) func(w workload) (int, bool) {
		return func(w workload) (int, bool) { return w.Batch, w.Op == op && w.Depth == 1 && w.Adapters == 0 }
	}
	add("lookup: linear in keys", "keys of a task, depth 1", "CPU µs per task", keysOf("lookup"), cpu, plain, ctx, events, peer)
	add("load of 4 KiB values that nobody moves: linear in keys", "keys of a task, depth 1", "CPU µs per task", keysOf("load"), cpu, plain, ctx, events, peer)
	add("lookup of 16: flat in tasks in flight", "tasks in flight", "CPU µs per task",
		func(w workload) (int, bool) { return w.Depth, w.Op == "lookup" && w.Batch == 16 && w.Adapters == 0 }, cpu, plain, ctx)
	add("lookup of 16, 16 in flight per adapter: flat in adapters", "adapters", "CPU µs per task",
		func(w workload) (int, bool) { return w.Adapters, w.Adapters > 0 }, cpu, ctx)
	return all
}

// cell is one program of a row on the page.
type cell struct {
	Has                                  bool
	Ops, P50, P99, P999, CPU, GB, Allocs string
	Ratio                                string
	Good                                 bool
}

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"cells": func(r row) (cells []cell) {
		base := plain
		if r.at(plain, ops) == 0 {
			base = ctx
		}
		for _, p := range programs {
			c := cell{Has: r.at(p, ops) > 0}
			if c.Has {
				x := ratio(r.at(p, ops), r.at(base, ops))
				c = cell{true, fmt.Sprintf("%.0f", r.at(p, ops)), fmt.Sprintf("%.1f", r.at(p, p50)), fmt.Sprintf("%.1f", r.at(p, p99)), fmt.Sprintf("%.1f", r.at(p, p999)),
					fmt.Sprintf("%.2f", r.at(p, cpu)), fmt.Sprintf("%.2f", r.at(p, gbps)), fmt.Sprintf("%.3f", r.at(p, allocs)), fmt.Sprintf("%.2f", x), x >= 0.8}
			}
			cells = append(cells, c)
		}
		return cells
	},
	"rowname": func(r row) string { return r.workload.String() },
	"goals": func(d *data) (lines []string) {
		var b strings.Builder
		printGoals(&b, d)
		return strings.Split(strings.TrimSpace(b.String()), "\n")
	},
}).Parse(`<!doctype html><meta charset="utf-8"><title>Sixcall: the bridge beside a plain program and LMCache's</title>
<style>body{font:14px sans-serif;margin:2em;max-width:90em}table{border-collapse:collapse}td,th{padding:2px 8px;text-align:right;border-bottom:1px solid #eee;font-size:12px}
td:first-child,th:first-child{text-align:left}.bad{color:#b00}pre{background:#f6f6f6;padding:8px;overflow:auto}</style>
<h1>The bridge beside a plain program and LMCache's</h1><p>{{.D.Machine}}</p><pre>{{.D.Command}}</pre>
<h2>Goals</h2><pre>{{range goals .D}}{{.}}
{{end}}</pre>
{{range .Plots}}{{.}}{{end}}
<h2>Rows</h2><p>op/s, p50, p99, p99.9 in µs, CPU µs per operation, GB/s, allocations per operation, op/s to the first column. Medians of the rounds.</p>
<table><tr><th>row</th>{{range .Programs}}<th>{{.}}</th>{{end}}</tr>
{{range .D.Rows}}<tr><td>{{.Part}} {{.Connector}} {{.Placement}} {{rowname .}}</td>{{range cells .}}<td>{{if .Has}}{{.Ops}}<br>{{.P50}} {{.P99}} {{.P999}}<br>{{.CPU}} {{.GB}} {{.Allocs}}<br><b{{if not .Good}} class="bad"{{end}}>x{{.Ratio}}</b>{{end}}</td>{{end}}</tr>
{{end}}</table>`))

// page writes everything as one HTML page that needs nothing else.
func (d *data) page(to io.Writer) error {
	return pageTemplate.Execute(to, map[string]any{"D": d, "Plots": d.plots(), "Programs": programs})
}
