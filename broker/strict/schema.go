package strict

import (
	"encoding"
	"encoding/json"
	"net/netip"
	"path"
	"reflect"
	"slices"
	"time"

	"github.com/invopop/jsonschema"
)

// Schema returns the JSON schema (draft 2020-12) of the struct v, for editors: names, sorts, required
// keys and the sentences of the `doc` tags. It is as strict as [Decode] about unknown keys.
func Schema(v any, id string) ([]byte, error) {
	t := reflect.TypeOf(v)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	named := namer(t)
	r := &jsonschema.Reflector{
		FieldNameTag: "yaml", RequiredFromJSONSchemaTags: true, ExpandedStruct: true, Anonymous: true,
		Mapper: mapType, LookupComment: comment, Namer: named,
	}
	s := r.Reflect(v)
	s.ID = jsonschema.ID(id)
	c := &carrier{defs: s.Definitions, named: named, seen: map[reflect.Type]bool{}}
	c.require(s, t)
	return json.MarshalIndent(s, "", "  ")
}

// namer names definitions by their type, and tells those from root that are called as it is: root is expanded,
// and has no definition.
func namer(root reflect.Type) func(reflect.Type) string {
	return func(t reflect.Type) string {
		if t.Name() == root.Name() && t != root {
			return path.Base(t.PkgPath()) + "." + t.Name()
		}
		return t.Name()
	}
}

func comment(t reflect.Type, name string) string {
	if t.Kind() != reflect.Struct {
		return ""
	}
	f, _ := t.FieldByName(name)
	return f.Tag.Get("doc")
}

// carrier carries the `required` tags over: the reflector knows only its own.
type carrier struct {
	defs  jsonschema.Definitions
	named func(reflect.Type) string
	seen  map[reflect.Type]bool
}

// require marks the required keys of t in s, and those of all that t holds in their definitions.
func (c *carrier) require(s *jsonschema.Schema, t reflect.Type) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Map || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || c.seen[t] || mapType(t) != nil {
		return
	}
	c.seen[t] = true
	if s == nil {
		s = c.defs[c.named(t)]
	}
	for _, f := range fieldsOf(t) {
		if s != nil && f.required && !slices.Contains(s.Required, f.name) {
			s.Required = append(s.Required, f.name)
		}
		c.require(nil, t.FieldByIndex(f.index).Type)
	}
}

// mapType gives the schemas of the values that are written as text.
func mapType(t reflect.Type) *jsonschema.Schema {
	text := func(pattern, example string) *jsonschema.Schema {
		return &jsonschema.Schema{Type: "string", Pattern: pattern, Examples: []any{example}}
	}
	switch t {
	case reflect.TypeFor[Duration](), reflect.TypeFor[time.Duration]():
		return text(`^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$|^0$`, "15m")
	case reflect.TypeFor[Size]():
		return &jsonschema.Schema{OneOf: []*jsonschema.Schema{text(`^[0-9]+(B|KiB|MiB|GiB)$`, "64MiB"), {Type: "integer"}}}
	case reflect.TypeFor[URL]():
		return text(`^[A-Za-z][A-Za-z0-9+.-]*://[^/?#@]+`, "https://ledger.internal")
	case reflect.TypeFor[Ref]():
		return text(`^(vault:[^#]+#.+|file:/.+|env:[A-Za-z_][A-Za-z0-9_]*)$`, "file:/etc/intercom/key")
	case reflect.TypeFor[netip.Prefix]():
		return text("", "127.0.0.0/8")
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return &jsonschema.Schema{Type: "string"}
	}
	return nil
}
