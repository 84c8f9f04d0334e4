package main

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"github.com/intercom-broker/intercom/broker"
	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/service"
	"github.com/intercom-broker/intercom/broker/strict"
	"github.com/intercom-broker/intercom/sidecar"
)

// sample is a file of deploy/sample, with the two that judge it.
type sample struct {
	name, file string
	strict     func(data []byte) error
	// free are the paths of maps whose keys are names.
	free []string
}

func samples() []sample {
	return []sample{
		{"broker", "broker.yaml", func(data []byte) error {
			var c broker.Config
			return strict.Decode("f", data, &c)
		}, []string{"identity.bundles"}},
		{"services", "services/warehouse.yaml", func(data []byte) error {
			_, err := service.Parse(map[string][]byte{"f": data})
			return err
		}, []string{"services"}},
		{"gateway", "gateway.yaml", func(data []byte) error {
			var c gateway.Config
			return strict.Decode("f", data, &c)
		}, []string{"identity.bundles"}},
		{"sidecar", "sidecar.yaml", func(data []byte) error {
			var c sidecar.Config
			return strict.Decode("f", data, &c)
		}, []string{"identity.bundles", "upstreams.ids"}},
	}
}

func (s sample) read(t *testing.T) []byte {
	t.Helper()
	data, err := os.ReadFile("../../deploy/sample/" + s.file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// compiled is the schema as an editor's validator takes it.
func compiled(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	text, err := strict.Schema(schemaOf(name), schemaBase+name+".json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(schemaBase+name+".json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile(schemaBase + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// validate takes YAML to a schema by way of JSON, as editors do.
func validate(t *testing.T, schema *jsonschema.Schema, root *yaml.Node) error {
	t.Helper()
	var v any
	if err := root.Decode(&v); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return schema.Validate(doc)
}

// TestSamplesMeetTheirSchemas, and no sample does with any one of its keys misspelt: neither for an
// editor nor for us, who say what was meant.
func TestSamplesMeetTheirSchemas(t *testing.T) {
	for _, s := range samples() {
		t.Run(s.name, func(t *testing.T) {
			schema, data := compiled(t, s.name), s.read(t)
			if !bytes.HasPrefix(data, []byte("# yaml-language-server: $schema="+s.name+".schema.json\n")) {
				t.Error("its first line names no schema to editors")
			}
			var root yaml.Node
			if err := yaml.Unmarshal(data, &root); err != nil {
				t.Fatal(err)
			}
			if err := validate(t, schema, &root); err != nil {
				t.Errorf("the sample does not meet its schema: %v", err)
			}
			if err := s.strict(data); err != nil {
				t.Errorf("the sample is refused: %v", err)
			}
			keys := keysOf(&root, "", s.free)
			if len(keys) < 8 {
				t.Errorf("only %d keys", len(keys))
			}
			for _, key := range keys {
				s.misspell(t, schema, &root, key)
			}
		})
	}
}

func (s sample) misspell(t *testing.T, schema *jsonschema.Schema, root, key *yaml.Node) {
	t.Helper()
	right := key.Value
	defer func() { key.Value = right }()
	key.Value += "x"
	data, err := yaml.Marshal(root)
	if err != nil {
		t.Fatal(err)
	}
	if validate(t, schema, root) == nil {
		t.Errorf("line %d: the schema takes %q", key.Line, key.Value)
	}
	err = s.strict(data)
	if err == nil || !strings.Contains(err.Error(), "did you mean "+strconv.Quote(right)) {
		t.Errorf("line %d: %q: %v", key.Line, key.Value, err)
	}
}

// keysOf returns all keys that have a meaning of their own.
func keysOf(n *yaml.Node, path string, free []string) (keys []*yaml.Node) {
	if n.Kind != yaml.MappingNode {
		for _, c := range n.Content {
			keys = append(keys, keysOf(c, path, free)...)
		}
		return keys
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, at := n.Content[i], strings.TrimPrefix(path+"."+n.Content[i].Value, ".")
		if !slices.Contains(free, path) {
			keys = append(keys, key)
		}
		keys = append(keys, keysOf(n.Content[i+1], at, free)...)
	}
	return keys
}
