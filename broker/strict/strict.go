package strict

import (
	"bytes"
	"errors"
	"io"
	"reflect"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"
)

// MaxBytes is how large a file may be.
const MaxBytes = 16 << 20

// maxDepth is how deep a document may nest. Ours nest six deep.
const maxDepth = 32

// Decode reads the YAML document in data into the struct or map that into points to. Keys that are absent leave
// their field as it was. The file's name is for the errors only. The error is of type [Errors].
func Decode(file string, data []byte, into any) error {
	errs := decodeDocument(data, reflect.ValueOf(into).Elem())
	if len(errs) == 0 {
		return nil
	}
	errs = errs.ordered()
	for _, e := range errs {
		e.File = file
	}
	return errs
}

// Node decodes n as strictly as [Decode] does, for a type with an UnmarshalYAML of its own.
func Node(n *yaml.Node, into any) error {
	if errs := decode(n, reflect.ValueOf(into).Elem()); len(errs) > 0 {
		return errs
	}
	return nil
}

// Field returns the value of the key in the mapping n, and n itself when there is no such key: the place
// to name when something is said about that key.
func Field(n *yaml.Node, key string) *yaml.Node {
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == key {
				return n.Content[i+1]
			}
		}
	}
	return n
}

func decodeDocument(data []byte, v reflect.Value) Errors {
	if len(data) > MaxBytes {
		return Errors{{Line: 1, Column: 1, Message: "the file is larger than 16 MiB"}}
	}
	root, errs := parse(data)
	if errs != nil {
		return errs
	}
	return decode(root, v)
}

// parse returns the root of the only document in data.
func parse(data []byte) (*yaml.Node, Errors) {
	limits := yaml.WithPlugin(loaderlimits.New(loaderlimits.DepthValue(maxDepth)))
	loader, err := yaml.NewLoader(bytes.NewReader(data), yaml.WithV4Defaults(), limits)
	if err != nil {
		return nil, syntax(err, data)
	}
	var doc, more yaml.Node
	switch err := loader.Load(&doc); {
	case errors.Is(err, io.EOF):
		return nil, Errors{{Line: 1, Column: 1, Message: "the file is empty"}}
	case err != nil:
		return nil, syntax(err, data)
	case len(doc.Content) != 1 || doc.Content[0].ShortTag() == "!!null":
		return nil, Errors{{Line: max(doc.Line, 1), Column: max(doc.Column, 1), Message: "the file is empty"}}
	}
	switch err := loader.Load(&more); {
	case errors.Is(err, io.EOF):
		return doc.Content[0], nil
	case err != nil:
		return nil, syntax(err, data)
	}
	return nil, Errors{at(&more, "a second document starts here: want one in a file")}
}

// syntax says where data is not YAML.
func syntax(err error, data []byte) Errors {
	e := &Error{Line: 1, Column: 1, Message: "not YAML"}
	load, ok := errors.AsType[*yaml.LoadError](err)
	if !ok {
		return Errors{e}
	}
	if load.Mark.Line > 0 {
		e.Line, e.Column = min(load.Mark.Line, lines(data)), max(load.Mark.Column, 1) // the end is a line further for the parser
	} else { // the reader knows the offset only
		e.Line, e.Column = position(data, load.Mark.Index)
	}
	e.Message = "not YAML: " + load.Message
	if load.Stage == yaml.ScannerStage && charAt(data, e.Line, e.Column) == '\t' {
		e.Message = "a tab stands here: YAML is indented with spaces"
	}
	return Errors{e}
}

// lines counts as YAML does, which knows more breaks than most editors (YAML 1.1, section 4.1.4).
func lines(data []byte) int {
	n := 1 - bytes.Count(data, []byte("\r\n"))
	for _, b := range []string{"\n", "\r", "\u0085", "\u2028", "\u2029"} {
		n += bytes.Count(data, []byte(b))
	}
	return n
}

func position(data []byte, offset int) (line, column int) {
	before := data[:min(max(offset, 0), len(data))]
	return bytes.Count(before, []byte("\n")) + 1, len(before) - bytes.LastIndexByte(before, '\n')
}

func charAt(data []byte, line, column int) byte {
	for ; line > 1; line-- {
		_, rest, ok := bytes.Cut(data, []byte("\n"))
		if !ok {
			return 0
		}
		data = rest
	}
	if column > len(data) {
		return 0
	}
	return data[column-1]
}
