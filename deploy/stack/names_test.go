package stack_test

import (
	"net"
	"testing"

	"github.com/intercom-broker/intercom/deploy/stack"
)

func TestResolveNames(t *testing.T) {
	before := net.DefaultResolver
	t.Cleanup(func() { net.DefaultResolver = before })
	stack.ResolveNames()
	for _, name := range []string{"app." + stack.TestDomain, "app." + stack.ForeignDomain} {
		if got, err := net.DefaultResolver.LookupHost(t.Context(), name); err != nil || len(got) != 1 || got[0] != "127.0.0.1" {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if got, err := net.DefaultResolver.LookupHost(t.Context(), "app.example.org"); err == nil {
		t.Errorf("another name is found: %v", got)
	}
}
