package service

import "github.com/invopop/jsonschema"

// Document returns what a service file is made of, for strict.Schema.
func Document() any { return &document{} }

const urlPattern = `^https?://[^/?#@]+`

// JSONSchemaExtend adds the one-line form.
func (entry) JSONSchemaExtend(s *jsonschema.Schema) { orURL(s) }

// JSONSchemaExtend adds the one-line form, and that the mapping has one of url and targets.
func (upstream) JSONSchemaExtend(s *jsonschema.Schema) {
	s.OneOf = []*jsonschema.Schema{{Required: []string{"url"}}, {Required: []string{"targets"}}}
	orURL(s)
}

func orURL(s *jsonschema.Schema) { orText(s, urlPattern) }

func orText(s *jsonschema.Schema, pattern string) {
	long := *s
	*s = jsonschema.Schema{OneOf: []*jsonschema.Schema{{Type: "string", Pattern: pattern}, &long}}
}

// JSONSchemaExtend adds the form of a path alone.
func (match) JSONSchemaExtend(s *jsonschema.Schema) { orText(s, "^/") }

// JSONSchemaExtend adds the words that say it all.
func (userToken) JSONSchemaExtend(s *jsonschema.Schema) {
	orText(s, "^("+string(UserMint)+"|"+string(UserOwn)+"|"+string(UserNone)+")$")
}

// JSONSchemaExtend adds the form of one match that stands in no list.
func (matches) JSONSchemaExtend(s *jsonschema.Schema) {
	list := *s
	*s = jsonschema.Schema{OneOf: []*jsonschema.Schema{list.Items, &list}}
}
