package strict

import (
	"reflect"
	"strings"

	"go.yaml.in/yaml/v4"
)

// field is one key that a struct knows.
type field struct {
	name     string
	noun     string
	required bool
	index    []int
}

// fieldsOf returns the keys of a struct, those of inlined structs included.
func fieldsOf(t reflect.Type) (fields []field) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case options == "inline":
			for _, inner := range fieldsOf(f.Type) {
				inner.index = append([]int{i}, inner.index...)
				fields = append(fields, inner)
			}
		case name != "" && name != "-":
			fields = append(fields, field{name: name, noun: f.Tag.Get("noun"), required: f.Tag.Get("required") == "true", index: []int{i}})
		}
	}
	return fields
}

func decodeStruct(n *yaml.Node, v reflect.Value) Errors {
	entries, errs := mapping(n, "a mapping")
	if n.Kind != yaml.MappingNode {
		return errs
	}
	known := map[string]field{}
	var names []string
	for _, f := range fieldsOf(v.Type()) {
		known[f.name], names = f, append(names, f.name)
	}
	seen := map[string]bool{}
	for _, e := range entries {
		f, ok := known[e.key.Value]
		if !ok {
			errs = append(errs, unknown(e.key, names))
			continue
		}
		seen[f.name] = true
		errs = append(errs, decodeField(e.value, v.FieldByIndex(f.index), f)...)
	}
	return append(errs, missing(n, names, known, seen)...)
}

func decodeField(n *yaml.Node, v reflect.Value, f field) Errors {
	if f.noun != "" && v.Kind() == reflect.Map && refuseNode(n) == nil {
		return decodeNouns(n, v, f.noun).inField(f.name)
	}
	return decode(n, v).inField(f.name)
}

func unknown(key *yaml.Node, names []string) *Error {
	e := at(key, "unknown key %s", quote(key.Value))
	e.Suggestion, e.key = Suggest(key.Value, names), true
	return e
}

func missing(n *yaml.Node, names []string, known map[string]field, seen map[string]bool) (errs Errors) {
	for _, name := range names {
		if known[name].required && !seen[name] {
			e := at(n, "missing key %q", name)
			e.key = true
			errs = append(errs, e)
		}
	}
	return errs
}
