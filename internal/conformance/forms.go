//go:build linux

package conformance

import (
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Line is the terminal form of one result; more lines follow when it is bad.
func (r Result) Line() string {
	word := string(r.Verdict)
	if r.Waived != "" {
		word = "waived"
	}
	text := r.Text
	if text == "" {
		text = figuresText(r.Figures)
	}
	line := fmt.Sprintf("  %-10s %s  %-22s %8s  %s", word, r.ID, r.Name, took(r.DurationMS), text)
	line = strings.TrimRight(line, " ") + "\n"
	if !r.Verdict.Bad() {
		return line
	}
	if r.Waived != "" {
		return line + "             waived: " + r.Waived + "\n"
	}
	line += "             means: " + r.Means + "\n             do:    " + r.Fix + "\n"
	if r.Output != "" {
		line += "             it printed:\n"
		for l := range strings.Lines(lastLines(r.Output, 30)) {
			line += "               " + strings.TrimRight(l, "\n") + "\n"
		}
	}
	return line
}

// Terminal is the whole report as text.
func (p *Report) Terminal() string {
	var b strings.Builder
	b.WriteString(p.Head())
	for _, r := range p.Results {
		b.WriteString(r.Line())
	}
	b.WriteString(p.Foot())
	return b.String()
}

// Head is what stands above the results.
func (p *Report) Head() string {
	text := p.Library + "\n"
	if p.Connector != "" {
		text += fmt.Sprintf("  %s, ABI %s, capabilities: %s\n", p.Connector, p.ABI, strings.Join(p.Caps, ", "))
	}
	return text + fmt.Sprintf("  sha256 %s, level %d, seed %d\n\n", p.SHA256, p.Level, p.Seed)
}

// Foot is what stands below the results.
func (p *Report) Foot() string {
	text := "\n"
	for _, r := range p.Results {
		if r.Counts() {
			text += fmt.Sprintf("again: sixcall check %s --only %s --seed %d   (with the same --params)\n", p.Library, r.ID, p.Seed)
		}
	}
	if slices.ContainsFunc(p.Results, func(r Result) bool { return r.Verdict.Bad() && strings.Contains(r.Text, "open returned SIXCALL_E_CON") }) {
		text += "hint: the library does not open with these --params, so that most checks say nothing about it: give those of a scratch storage\n"
	}
	return text + fmt.Sprintf("%s; %.1f s\n", p.summary(), float64(p.DurationMS)/1000)
}

func took(ms int64) string {
	if ms < 10000 {
		return fmt.Sprintf("%d ms", ms)
	}
	return fmt.Sprintf("%.1f s", float64(ms)/1000)
}

func figuresText(figures map[string]float64) string {
	var parts []string
	for _, name := range sortedKeys(figures) {
		parts = append(parts, fmt.Sprintf("%s %.6g", strings.ReplaceAll(name, "_", " "), figures[name]))
	}
	return strings.Join(parts, ", ")
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if len(lines) > n {
		lines = append([]string{"..."}, lines[len(lines)-n:]...)
	}
	return strings.Join(lines, "\n")
}

// Markdown is the capability card: what a vendor puts into a README.
func (p *Report) Markdown() string {
	var b strings.Builder
	title := p.Connector
	if title == "" {
		title = p.Library
	}
	fmt.Fprintf(&b, "# %s\n\n%s\n\n", title, strings.ToUpper(p.summary()[:1])+p.summary()[1:]+".")
	fmt.Fprintf(&b, "| | |\n|---|---|\n| ABI | %s |\n| Capabilities | %s |\n| Library | sha256 `%s` |\n", p.ABI, strings.Join(p.Caps, ", "), p.SHA256)
	fmt.Fprintf(&b, "| Checked | %s, level %d, seed %d, sixcall %s |\n| Machine | %s |\n\n", p.Started.Format(time.DateOnly), p.Level, p.Seed, p.Checker, p.Machine)
	b.WriteString("| Check | Name | Verdict | Remark |\n|---|---|---|---|\n")
	for _, r := range p.Results {
		text := r.Text
		if text == "" {
			text = figuresText(r.Figures)
		}
		if r.Waived != "" {
			text += " (waived: " + r.Waived + ")"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", r.ID, r.Name, r.Verdict, cell(text))
	}
	return b.String()
}

func cell(text string) string {
	return strings.NewReplacer("|", "\\|", "\n", " ", "<", "&lt;").Replace(text)
}

type junitSuite struct {
	XMLName   xml.Name    `xml:"testsuite"`
	Name      string      `xml:"name,attr"`
	Tests     int         `xml:"tests,attr"`
	Failures  int         `xml:"failures,attr"`
	Errors    int         `xml:"errors,attr"`
	Skipped   int         `xml:"skipped,attr"`
	Time      string      `xml:"time,attr"`
	Timestamp string      `xml:"timestamp,attr"`
	Cases     []junitCase `xml:"testcase"`
}

type junitCase struct {
	Name      string      `xml:"name,attr"`
	ClassName string      `xml:"classname,attr"`
	Time      string      `xml:"time,attr"`
	Failure   *junitEntry `xml:"failure"`
	Error     *junitEntry `xml:"error"`
	Skipped   *junitEntry `xml:"skipped"`
	Output    string      `xml:"system-out,omitempty"`
}

type junitEntry struct {
	Type    string `xml:"type,attr,omitempty"`
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// JUnit is the report in the XML that CI systems read.
func (p *Report) JUnit() string {
	suite := junitSuite{
		Name: "sixcall check " + p.Library, Tests: len(p.Results), Time: seconds(p.DurationMS), Timestamp: p.Started.Format("2006-01-02T15:04:05"),
	}
	for _, r := range p.Results {
		c := junitCase{Name: r.ID + " " + r.Name, ClassName: "sixcall.level" + fmt.Sprint(r.Level), Time: seconds(r.DurationMS), Output: xmlText(r.Output)}
		entry := &junitEntry{Type: string(r.Verdict), Message: xmlText(r.Text), Text: xmlText(strings.TrimSpace(r.Means + "\n" + r.Fix))}
		switch {
		case r.Counts():
			c.Failure = entry
			suite.Failures++
		case r.Verdict == ToolError:
			c.Error = entry
			suite.Errors++
		case r.Verdict == Skip || r.Waived != "":
			if r.Waived != "" {
				entry.Message = "waived: " + r.Waived
			}
			c.Skipped = entry
			suite.Skipped++
		}
		suite.Cases = append(suite.Cases, c)
	}
	data, err := xml.MarshalIndent(suite, "", "  ")
	if err != nil {
		panic(err) // all fields are strings and numbers
	}
	return xml.Header + string(data) + "\n"
}

// xmlText drops what XML cannot hold.
func xmlText(text string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 && r != '\n' && r != '\t' || r == 0xFFFE || r == 0xFFFF {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
}

func seconds(ms int64) string { return fmt.Sprintf("%.3f", float64(ms)/1000) }
