package strict_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/intercom-broker/intercom/broker/strict"
)

// node is as much of a JSON schema as the tests look at.
type node struct {
	ID          string           `json:"$id"`
	Version     string           `json:"$schema"`
	Type        string           `json:"type"`
	Pattern     string           `json:"pattern"`
	Description string           `json:"description"`
	Ref         string           `json:"$ref"`
	Required    []string         `json:"required"`
	Properties  map[string]node  `json:"properties"`
	Defs        map[string]node  `json:"$defs"`
	More        *json.RawMessage `json:"additionalProperties"`
}

func TestSchema(t *testing.T) {
	out, err := strict.Schema(&config{}, "https://intercom.test/config.json")
	if err != nil {
		t.Fatal(err)
	}
	var s node
	if err := json.Unmarshal(out, &s); err != nil {
		t.Fatal(err)
	}
	got := map[string]any{
		"version": s.Version, "id": s.ID, "closed": string(*s.More),
		"doc": s.Properties["name"].Description, "life": s.Properties["life"].Type, "std": s.Properties["std"].Type,
		"issuer": s.Properties["issuer"].Type, "inlined": s.Properties["extra"].Type, "port": s.Properties["port"].Type,
		"no skipped": s.Properties["skipped"].Type, "entry": string(*s.Properties["teams"].More),
		"required": s.Defs["team"].Required, "entry closed": string(*s.Defs["team"].More),
	}
	want := map[string]any{
		"version": "https://json-schema.org/draft/2020-12/schema", "id": "https://intercom.test/config.json", "closed": "false",
		"doc": "What it is called.", "life": "string", "std": "string",
		"issuer": "string", "inlined": "string", "port": "integer",
		"no skipped": "", "entry": "{\n        \"$ref\": \"#/$defs/team\"\n      }",
		"required": []string{"lead"}, "entry closed": "false",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
