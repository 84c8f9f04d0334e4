package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Status is how a check ended.
type Status string

// The statuses. Only Fail makes the whole fail.
const (
	OK   Status = "ok"
	Warn Status = "warn"
	Fail Status = "fail"
	// Skip: it was not looked at, and Seen says why.
	Skip Status = "skip"
)

// Row is what one check saw of one thing. Its JSON form is a promise: names stay.
type Row struct {
	// Of is the file whose process was looked at; empty for what concerns all of them.
	Of string `json:"of,omitempty"`
	// Check is the check's name, such as "provider-client".
	Check string `json:"check"`
	// About is what it is about, where a check looks at several: an origin, a service, an audience.
	About  string `json:"about,omitempty"`
	Status Status `json:"status"`
	// Seen is what was seen. It holds no secret.
	Seen string `json:"seen"`
	// Setting is the key to change, File and Line where it stands, and Cure what to write; empty where nothing is to be
	// changed, and Setting alone where it is on the other side.
	Setting string `json:"setting,omitempty"`
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Cure    string `json:"cure,omitempty"`
}

// rows gathers what a check sees.
type rows struct {
	check, about string
	file         file
	list         *[]Row
}

// of returns rows about one of several things.
func (r rows) of(about string) rows {
	r.about = about
	return r
}

func (r rows) add(s Status, at place, cure, seen string) {
	row := Row{Of: r.file.name, Check: r.check, About: r.about, Status: s, Seen: oneLine(seen), Cure: cure}
	row.Setting, row.File, row.Line = at.in(r.file)
	*r.list = append(*r.list, row)
}

func (r rows) ok(seen string, args ...any)   { r.add(OK, place{}, "", fmt.Sprintf(seen, args...)) }
func (r rows) skip(seen string, args ...any) { r.add(Skip, place{}, "", fmt.Sprintf(seen, args...)) }
func (r rows) warn(at place, cure, seen string, args ...any) {
	r.add(Warn, at, cure, fmt.Sprintf(seen, args...))
}
func (r rows) fail(at place, cure, seen string, args ...any) {
	r.add(Fail, at, cure, fmt.Sprintf(seen, args...))
}

// longest is what a row repeats of somebody else's words.
const longest = 400

func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > longest {
		s = strings.ToValidUTF8(s[:longest], "") + " …"
	}
	return s
}

// why is an error in a row.
func why(err error) string {
	if errors.Is(err, context.DeadlineExceeded) && !strings.Contains(err.Error(), "deadline") {
		return err.Error() + ": no answer in time"
	}
	return err.Error()
}

// says reports whether an error has one of these words of a library that has no value for them.
func says(err error, any ...string) bool {
	for _, words := range any {
		if strings.Contains(err.Error(), words) {
			return true
		}
	}
	return false
}

// Count returns how many rows have that status.
func Count(rows []Row, s Status) (n int) {
	for _, r := range rows {
		if r.Status == s {
			n++
		}
	}
	return n
}
