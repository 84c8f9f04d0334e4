package strict_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/strict"
)

func TestLocate(t *testing.T) {
	data := []byte("version: 2\naudit:\n  dir: audit\n  sync: sometimes\n")
	err := strict.Locate("broker.yaml", data, errors.Join(
		errors.New("audit.sync: want interval or always"), errors.New("version: want 1"), errors.New("audit.keep: missing"), errors.New("no key at all"),
	))
	for _, want := range []string{
		"broker.yaml:4:9: audit.sync: want interval", "broker.yaml:1:10: version: want 1",
		"broker.yaml:3:3: audit.keep: missing", "broker.yaml:1:1: no key at all",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in:\n%v", want, err)
		}
	}
	if strict.Locate("broker.yaml", data, nil) != nil {
		t.Error("no error became one")
	}
}
