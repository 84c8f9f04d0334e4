package service

import "github.com/invopop/jsonschema"

// Document returns what a service file is made of, for strict.Schema.
func Document() any { return &document{} }

const urlPattern = `^https?://[^/?#@]+`

// JSONSchemaExtend adds the one-line form.
func (entry) JSONSchemaExtend(s *jsonschema.Schema) { orURL(s) }

// JSONSchemaExtend adds the one-line form.
func (upstream) JSONSchemaExtend(s *jsonschema.Schema) { orURL(s) }

func orURL(s *jsonschema.Schema) {
	long := *s
	*s = jsonschema.Schema{OneOf: []*jsonschema.Schema{{Type: "string", Pattern: urlPattern}, &long}}
}
