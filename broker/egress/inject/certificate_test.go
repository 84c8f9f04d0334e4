package inject_test

import (
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/egress/inject"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/deploy/stack"
)

func TestCertificate(t *testing.T) {
	certificate, key := stack.NewPair(t, "intercom")
	got, err := inject.Certificate(fields("certificate", certificate, "key", key))
	if err != nil || got.Leaf.Subject.CommonName != "intercom" {
		t.Errorf("%v", err)
	}
	_, other := stack.NewPair(t, "other")
	for name, pairs := range map[string][]string{
		"no key":         {"certificate", certificate},
		"no certificate": {"key", key},
		"another's key":  {"certificate", certificate, "key", other},
		"the wrong way":  {"certificate", key, "key", certificate},
		"no PEM":         {"certificate", "hunter2", "key", "hunter2"},
	} {
		_, err := inject.Certificate(fields(pairs...))
		if err == nil || fault.From(err).Reason != inject.ReasonUnusable || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
