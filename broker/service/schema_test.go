package service_test

import (
	"encoding/json"
	"testing"

	"github.com/intercom-broker/intercom/broker/service"
	"github.com/intercom-broker/intercom/broker/strict"
)

// TestEveryKeyIsExplained walks the schema that editors show.
func TestEveryKeyIsExplained(t *testing.T) {
	out, err := strict.Schema(service.Document(), "https://intercom.test/services.json")
	if err != nil {
		t.Fatal(err)
	}
	var root any
	if err := json.Unmarshal(out, &root); err != nil {
		t.Fatal(err)
	}
	keys := explained(t, root)
	if keys < 60 {
		t.Errorf("only %d keys", keys)
	}
}

func explained(t *testing.T, v any) (keys int) {
	m, ok := v.(map[string]any)
	if list, isList := v.([]any); isList {
		for _, item := range list {
			keys += explained(t, item)
		}
	}
	if !ok {
		return keys
	}
	if properties, ok := m["properties"].(map[string]any); ok {
		for name, p := range properties {
			keys++
			if p.(map[string]any)["description"] == nil {
				t.Errorf("%s is not explained", name)
			}
		}
	}
	for _, inner := range m {
		keys += explained(t, inner)
	}
	return keys
}
