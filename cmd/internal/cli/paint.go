package cli

import (
	"io"
	"os"
)

// Paint colours text for one writer. The zero Paint leaves text as it is.
type Paint struct{ on bool }

// PaintFor returns a Paint that colours when w is a terminal and NO_COLOR is not set
// (https://no-color.org).
func PaintFor(w io.Writer) Paint {
	return Paint{on: os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && Interactive(w)}
}

func (p Paint) sgr(code, s string) string {
	if !p.on {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// Bold is for what the eye should find first.
func (p Paint) Bold(s string) string { return p.sgr("1", s) }

// Dim is for what may be skipped.
func (p Paint) Dim(s string) string { return p.sgr("2", s) }

// Good is for what worked.
func (p Paint) Good(s string) string { return p.sgr("32", s) }

// Bad is for what did not.
func (p Paint) Bad(s string) string { return p.sgr("31", s) }

// Warn is for what is dangerous.
func (p Paint) Warn(s string) string { return p.sgr("33", s) }

// Command is for what can be typed.
func (p Paint) Command(s string) string { return p.sgr("36", s) }
