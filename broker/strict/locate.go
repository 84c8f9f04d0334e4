package strict

import (
	"errors"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Locate adds the places in data to errors that were found after decoding, of which each begins with the
// key that it is about: "audit.sync: want interval or always". A joined error is taken apart. An error
// whose key is not in data gets the place of the nearest key above it. nil stays nil.
func Locate(file string, data []byte, err error) error {
	if err == nil {
		return nil
	}
	root, errs := parse(data)
	if errs != nil {
		return err
	}
	var located Errors
	for _, e := range apart(err) {
		n := walk(root, e.Error())
		located = append(located, &Error{File: file, Line: n.Line, Column: n.Column, Message: e.Error()})
	}
	return located.ordered()
}

// apart takes a joined error apart.
func apart(err error) []error {
	if joined, ok := errors.AsType[interface {
		error
		Unwrap() []error
	}](err); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

// walk follows the dotted key at the beginning of message as far as there is such a key.
func walk(n *yaml.Node, message string) *yaml.Node {
	path, _, found := strings.Cut(message, ":")
	if !found {
		return n
	}
	for key := range strings.SplitSeq(path, ".") {
		next := Field(n, key)
		if next == n {
			return n
		}
		n = next
	}
	return n
}
