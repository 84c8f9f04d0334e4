package policy_test

import (
	"strings"
	"testing"
)

// TestVoidRulesAreWarnedOf: a deny that never matches is a hole, and looks like a rule.
func TestVoidRulesAreWarnedOf(t *testing.T) {
	for rule, says := range map[string]string{
		"call, srvice/crm/**, deny":           `did you mean "service"`,
		"call, service/crm/delete/**, deny":   "in upper case: DELETE",
		"call, audience/ledger, allow":        "call is never asked about audience/…, only about service/…",
		"exchange, service/crm, allow":        "exchange is never asked about service/…, only about audience/…",
		"call, service/crm/GET/../x, allow":   "dot segment",
		"call, service/crm/GET/**, allow":     "",
		"call, service/*/*/**, allow":         "",
		"introspect, audience/ledger, allow":  "",
		"vend, credential/crm/login, allow":   "",
		"reflect, grpc, allow":                "",
		"*, audience/ledger, deny":            "",
		"evaluate, pdp, allow":                "",
		"admin, admin/policy, allow":          "",
		"call, service/crm/PROPFIND/x, allow": "",
		"call, service/crm/PURGE/x, allow":    "",
		"call, service/crm/GTE/x, allow":      `GTE is no method of HTTP; did you mean "GET"?`,
		"call, service/*/DELTE/**, deny":      `did you mean "DELETE"?`,
		"call, service/crm/TRACE/x, deny":     "requests with TRACE are refused",
		"call, service/crm/GET/x//a, deny":    "empty segment",
		"call, service/crm/GET//a, deny":      "empty segment",
		"call, service/crm/GET/, allow":       "",
		"call, service/crm/GET/a/, allow":     "",
	} {
		got := strings.Join(mustLoad(t, "p, spiffe://a.test/x, "+rule+"\n").Warnings(), "\n")
		if says == "" && got != "" || !strings.Contains(got, says) {
			t.Errorf("%s: %q; want %q", rule, got, says)
		}
	}
}
