package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/intercom-broker/intercom/broker/policy"
	"github.com/intercom-broker/intercom/broker/service"
	"github.com/intercom-broker/intercom/broker/strict"
)

// finding is one thing that `intercom check` has to say. Its JSON form is a promise: names stay.
type finding struct {
	Severity severity `json:"severity"`
	// Rule is one of the ids in the table of rules.
	Rule string `json:"rule"`
	// File is relative to the working directory where it is below it. Line and Column count from 1; 0 and
	// absent means the whole file, or the whole line.
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Message string `json:"message"`
	Cure    string `json:"cure,omitempty"`
}

// found makes a finding of a rule, with that rule's severity.
func found(id, file, message string) finding {
	return finding{Severity: severityOf(id), Rule: id, File: shown(file), Message: message}
}

// place is file:line:column, as much of it as is known.
func (f finding) place() string {
	place := f.File
	for _, n := range []int{f.Line, f.Column} {
		if n > 0 {
			place += ":" + strconv.Itoa(n)
		}
	}
	return place
}

// shown is a path as people write it: relative where the file is below the working directory.
func shown(file string) string {
	wd, err := os.Getwd()
	if err != nil || file == "" {
		return file
	}
	abs, err := filepath.Abs(file)
	if err != nil {
		return file
	}
	if rel, err := filepath.Rel(wd, abs); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return file
}

// refused takes apart why a file, or a directory of files, cannot be read.
func refused(of string, err error) (all []finding) {
	if err == nil {
		return nil
	}
	if list, ok := errors.AsType[strict.Errors](err); ok {
		for _, e := range list {
			all = append(all, fromStrict(e))
		}
		return all
	}
	if list, ok := errors.AsType[policy.Problems](err); ok {
		for _, p := range list {
			f := found(rulePolicyInvalid, p.File, p.Message)
			f.Line, f.Cure = p.Line, p.Cure
			all = append(all, f)
		}
		return all
	}
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return []finding{found(ruleUnreadable, path.Path, path.Err.Error())}
	}
	return []finding{found(ruleInvalid, of, err.Error())}
}

func fromStrict(e *strict.Error) finding {
	id := ruleInvalid
	switch {
	case strings.HasPrefix(e.Message, "unknown key"):
		id = ruleUnknownKey
	case strings.HasPrefix(e.Message, "stands twice"), strings.HasPrefix(e.Message, "audience ") && strings.Contains(e.Message, "minted for one service"):
		id = ruleTwice
	}
	bare := *e
	bare.Suggestion, bare.File = "", ""
	_, message, _ := strings.Cut(bare.Error(), ": ")
	f := found(id, e.File, message)
	f.Line, f.Column = e.Line, e.Column
	if e.Suggestion != "" {
		f.Cure = "did you mean " + strconv.Quote(e.Suggestion) + "?"
	}
	return f
}

func fromService(s service.Finding) finding {
	f := found(s.ID, "", s.Message)
	if s.Service != "" {
		f.Message = "service " + strconv.Quote(s.Service) + ": " + s.Message
		f.File, f.Line, f.Column = position(s.Pos)
	}
	f.Cure = s.Cure
	return f
}

// position takes file:line:column apart; the file's name may hold colons too.
func position(pos string) (file string, line, column int) {
	parts := strings.Split(pos, ":")
	if len(parts) < 3 {
		return shown(pos), 0, 0
	}
	n := len(parts)
	line, _ = strconv.Atoi(parts[n-2])
	column, _ = strconv.Atoi(parts[n-1])
	return shown(strings.Join(parts[:n-2], ":")), line, column
}

func fromPolicy(dir string, p policy.Finding) finding {
	f := found(p.ID, dir, p.Message)
	if p.File != "" {
		f = found(p.ID, filepath.Join(dir, p.File), p.Message)
	}
	f.Line, f.Column, f.Cure = p.Line, p.Column, p.Cure
	return f
}
