package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"

	"github.com/intercom-broker/intercom/cmd/internal/cli"
)

// printFindings tells a person: what was looked at, what was found in it, and how much that is.
func printFindings(w io.Writer, r *report, strict bool) error {
	paint := cli.PaintFor(w)
	for _, c := range r.checked {
		mark := paint.Good("ok  ")
		if count(c.findings, severityError) > 0 || strict && count(c.findings, severityWarning) > 0 {
			mark = paint.Bad("FAIL")
		}
		fmt.Fprintf(w, "%s %s\n", mark, c.name)
		for _, f := range c.findings {
			printFinding(w, paint, f)
		}
	}
	_, err := fmt.Fprintf(w, "%s, %s, %s\n", counted(r, severityError), counted(r, severityWarning), counted(r, severityNote))
	return err
}

func counted(r *report, s severity) string {
	n := r.count(s)
	if n == 1 {
		return "1 " + string(s)
	}
	return fmt.Sprintf("%d %ss", n, s)
}

func printFinding(w io.Writer, paint cli.Paint, f finding) {
	color := map[severity]func(string) string{severityError: paint.Bad, severityWarning: paint.Warn, severityNote: paint.Dim}[f.Severity]
	text := harmless(f.Message)
	if place := f.place(); place != "" {
		text = place + ": " + text
	}
	if f.Cure != "" {
		text += "; " + paint.Bold(harmless(f.Cure))
	}
	fmt.Fprintf(w, "     %s %s %s\n", color(string(f.Severity)+":"), text, paint.Dim("["+f.Rule+"]"))
}

// harmless keeps what files say from speaking to the terminal.
func harmless(s string) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.IsGraphic(r) {
			b.WriteRune(r)
		} else {
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return b.String()
}

// document is the JSON form of a report. Version counts up when something that was there changes its
// meaning; more may be added without.
type document struct {
	Version  int       `json:"version"`
	Tool     string    `json:"tool"`
	Errors   int       `json:"errors"`
	Warnings int       `json:"warnings"`
	Notes    int       `json:"notes"`
	Checked  []string  `json:"checked"`
	Findings []finding `json:"findings"`
}

func printJSON(w io.Writer, r *report) error {
	d := document{
		Version: 1, Tool: "intercom " + cli.Version(), Findings: append([]finding{}, r.all()...),
		Errors: r.count(severityError), Warnings: r.count(severityWarning), Notes: r.count(severityNote),
	}
	for _, c := range r.checked {
		d.Checked = append(d.Checked, c.name)
	}
	return writeJSON(w, d)
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
