package strict

import (
	"encoding"
	"encoding/json"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"github.com/invopop/jsonschema"
)

// Schema returns the JSON schema (draft 2020-12) of the struct v, for editors: names, sorts, required
// keys and the sentences of the `doc` tags. It is as strict as [Decode] about unknown keys.
func Schema(v any, id string) ([]byte, error) {
	r := &jsonschema.Reflector{
		FieldNameTag: "yaml", RequiredFromJSONSchemaTags: true, ExpandedStruct: true, Anonymous: true,
		Mapper: mapType, LookupComment: comment,
	}
	s := r.Reflect(v)
	s.ID = jsonschema.ID(id)
	t := reflect.TypeOf(v)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	require(s, t, s.Definitions, map[reflect.Type]bool{})
	return json.MarshalIndent(s, "", "  ")
}

func comment(t reflect.Type, name string) string {
	if t.Kind() != reflect.Struct {
		return ""
	}
	f, _ := t.FieldByName(name)
	return f.Tag.Get("doc")
}

// require carries the `required` tags over: the reflector knows only its own.
func require(s *jsonschema.Schema, t reflect.Type, defs jsonschema.Definitions, seen map[reflect.Type]bool) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Map || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || seen[t] || mapType(t) != nil {
		return
	}
	seen[t] = true
	if s == nil {
		s = defs[t.Name()]
	}
	for _, f := range fieldsOf(t) {
		if s != nil && f.required && !slices.Contains(s.Required, f.name) {
			s.Required = append(s.Required, f.name)
		}
		require(nil, t.FieldByIndex(f.index).Type, defs, seen)
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
