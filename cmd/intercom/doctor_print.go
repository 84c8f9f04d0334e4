package main

import (
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/intercom-broker/intercom/cmd/internal/cli"
	"github.com/intercom-broker/intercom/cmd/internal/doctor"
)

// The look of a row: the mark, the check's name, and what was seen, in lines that a terminal of 100 columns holds.
const (
	markWidth = 5
	lineWidth = 100
)

// table prints rows with the names in one column.
type table struct {
	w     io.Writer
	paint cli.Paint
	names int // how wide the column of names is
}

// printRows tells a person: each check in a row, below the file that it is about, the cure below it, and how many there
// are.
func printRows(w io.Writer, rows []doctor.Row) error {
	t := table{w: w, paint: cli.PaintFor(w)}
	for _, row := range rows {
		t.names = max(t.names, len(row.Check)+1)
	}
	for i, row := range rows {
		if i > 0 && row.Of != rows[i-1].Of || i == 0 && row.Of != "" {
			fmt.Fprintln(w, t.paint.Dim(cmp.Or(row.Of, "all together")))
		}
		t.print(row)
	}
	_, err := fmt.Fprintf(w, "%d ok, %s, %s, %d skipped\n", doctor.Count(rows, doctor.OK), many(doctor.Count(rows, doctor.Warn), "warning"),
		many(doctor.Count(rows, doctor.Fail), "failure"), doctor.Count(rows, doctor.Skip))
	return err
}

func many(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + one + "s"
}

func (t table) print(row doctor.Row) {
	mark := map[doctor.Status]string{
		doctor.OK: t.paint.Good("ok   "), doctor.Warn: t.paint.Warn("warn "), doctor.Fail: t.paint.Bad("FAIL "), doctor.Skip: t.paint.Dim("skip "),
	}[row.Status]
	text := row.Seen
	if row.About != "" {
		text = row.About + ": " + text
	}
	margin := strings.Repeat(" ", markWidth+t.names)
	for i, line := range wrap(harmless(text), lineWidth-len(margin)) {
		if i == 0 {
			fmt.Fprintf(t.w, "%s%-*s%s\n", mark, t.names, row.Check, line)
			continue
		}
		fmt.Fprintln(t.w, margin+line)
	}
	for _, line := range wrap(harmless(remedy(row)), lineWidth-len(margin)) {
		fmt.Fprintln(t.w, margin+t.paint.Bold(line))
	}
}

// remedy is the setting, where it stands, and what to do about it.
func remedy(row doctor.Row) string {
	where := row.File
	if row.Line > 0 {
		where += ":" + strconv.Itoa(row.Line)
	}
	where = strings.TrimSpace(where + " " + row.Setting)
	switch {
	case row.Cure == "" && where == "":
		return ""
	case row.Cure == "":
		return "→ " + where
	case where == "":
		return "→ " + row.Cure
	}
	return "→ " + where + ": " + row.Cure
}

// wrap breaks text at spaces. A word that is longer than a line stays whole: it is an address, to be copied.
func wrap(text string, width int) (lines []string) {
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len([]rune(line))+1+len([]rune(word)) > width {
			lines = append(lines, line)
			line = ""
		}
		line = strings.TrimSpace(line + " " + word)
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// diagnosis is the JSON form. Version counts up when something that was there changes its meaning; more may be added
// without.
type diagnosis struct {
	Version  int          `json:"version"`
	Tool     string       `json:"tool"`
	OK       int          `json:"ok"`
	Warnings int          `json:"warnings"`
	Failures int          `json:"failures"`
	Skipped  int          `json:"skipped"`
	Checks   []doctor.Row `json:"checks"`
}

func printRowsJSON(w io.Writer, rows []doctor.Row) error {
	return writeJSON(w, diagnosis{
		Version: 1, Tool: "intercom " + cli.Version(), Checks: rows, OK: doctor.Count(rows, doctor.OK),
		Warnings: doctor.Count(rows, doctor.Warn), Failures: doctor.Count(rows, doctor.Fail), Skipped: doctor.Count(rows, doctor.Skip),
	})
}
