package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/intercom-broker/intercom/cmd/internal/cli"
	"github.com/intercom-broker/intercom/cmd/internal/doctor"
)

// The look of a row: the mark, the check's name, and what was seen, in lines that a terminal of 100 columns holds.
const (
	markWidth  = 5
	nameWidth  = 17
	textWidth  = 100 - markWidth - nameWidth
	textIndent = markWidth + nameWidth
)

// printRows tells a person: each check in a row, the cure below it, and how many there are.
func printRows(w io.Writer, rows []doctor.Row) error {
	paint := cli.PaintFor(w)
	for _, row := range rows {
		printRow(w, paint, row)
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

func printRow(w io.Writer, paint cli.Paint, row doctor.Row) {
	mark := map[doctor.Status]string{
		doctor.OK: paint.Good("ok   "), doctor.Warn: paint.Warn("warn "), doctor.Fail: paint.Bad("FAIL "), doctor.Skip: paint.Dim("skip "),
	}[row.Status]
	text := row.Seen
	if row.About != "" {
		text = row.About + ": " + text
	}
	for i, line := range wrap(harmless(text)) {
		if i == 0 {
			fmt.Fprintf(w, "%s%-*s%s\n", mark, nameWidth, row.Check, line)
			continue
		}
		fmt.Fprintf(w, "%*s%s\n", textIndent, "", line)
	}
	for _, line := range wrap(harmless(remedy(row))) {
		fmt.Fprintf(w, "%*s%s\n", textIndent, "", paint.Bold(line))
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
	case row.Cure == "":
		return where
	case where == "":
		return "→ " + row.Cure
	}
	return "→ " + where + ": " + row.Cure
}

// wrap breaks text at spaces. A word that is longer than a line stays whole: it is an address, to be copied.
func wrap(text string) (lines []string) {
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len([]rune(line))+1+len([]rune(word)) > textWidth {
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
