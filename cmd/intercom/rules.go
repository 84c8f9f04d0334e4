package main

import (
	"slices"

	"github.com/intercom-broker/intercom/broker/policy"
	"github.com/intercom-broker/intercom/broker/service"
)

// severity says what a finding means for the exit code: an error always fails, a warning with --strict, a
// note never.
type severity string

// The severities, as SARIF calls its levels.
const (
	severityError   severity = "error"
	severityWarning severity = "warning"
	severityNote    severity = "note"
)

// The rules whose findings are made here; the others are the packages'.
const (
	ruleInvalid        = "file-invalid"
	ruleUnknownKey     = "unknown-key"
	ruleUnreadable     = "file-unreadable"
	rulePolicyInvalid  = "policy-invalid"
	ruleTwice          = "service-twice"
	ruleUnused         = "service-unusable"
	ruleUnusable       = "credential-unusable"
	ruleMissing        = "credential-missing"
	ruleUnnamed        = "credential-unnamed"
	ruleStoreUnread    = "store-unread"
	ruleAdminAnywhere  = "listen-admin"
	ruleWebCertificate = "listen-web"
	ruleSidecarUnknown = "sidecar-unknown-name"
	ruleElsewhere      = "start-unread"

	rulePlaintextUpstream = "gateway-plaintext"
)

// rule is a sort of finding, as SARIF's tools show it.
type rule struct {
	id       string
	severity severity
	text     string
}

// rules is the table of all that `intercom check` looks for. An id that was released is not given another
// meaning: people write it into the suppressions of their tools.
func rules() []rule {
	return []rule{
		{ruleInvalid, severityError, "A file is not what it has to be, and nothing that reads it starts."},
		{ruleUnknownKey, severityError, "A key is not known, and mostly misspelt."},
		{ruleUnreadable, severityError, "A file cannot be read."},
		{rulePolicyInvalid, severityError, "A policy is refused; a running broker keeps the one before it."},
		{ruleTwice, severityError, "Two services have one name or one audience."},

		{ruleUnused, severityWarning, "No rule lets any workload use a service."},
		{ruleUnusable, severityWarning, "No rule lets any workload use a credential that service files name."},
		{ruleMissing, severityWarning, "A credential that a service file names is not in the store."},
		{ruleUnnamed, severityWarning, "A stored credential is named by no service file."},
		{ruleStoreUnread, severityWarning, "The sealed file or its key could not be read here, so credentials were not compared."},
		{ruleAdminAnywhere, severityWarning, "The admin listener leaves loopback, which a flag has to allow."},
		{ruleWebCertificate, severityWarning, "The certificate of a door for stock HTTPS clients cannot be loaded here."},
		{ruleElsewhere, severityWarning, "What a start reads is not here, or not for us to read; on another machine it may be."},
		{ruleSidecarUnknown, severityWarning, "A sidecar waits for what no service file names."},
		{rulePlaintextUpstream, severityWarning, "Browsers reach a service over plain http, which a flag has to allow."},

		{service.FindingNone, severityWarning, "There are no services."},
		{service.FindingClear, severityWarning, "A stored credential travels over plain http."},
		{service.FindingBearer, severityWarning, "The one-line form of a plain http upstream means bearer tokens."},
		{service.FindingQuery, severityWarning, "A stored credential travels in the query."},
		{service.FindingDial, severityWarning, "The dial guard refuses the upstream."},
		{service.FindingOrigin, severityWarning, "RFC 8693's resource does not name the service alone."},
		{service.FindingDuplicate, severityNote, "Two services differ in nothing but their name."},
		{service.FindingVendTwice, severityNote, "Two services vend one credential on different terms."},
		{service.FindingOwnerBlank, severityWarning, "Nobody answers for a service."},

		{policy.FindingOwnModel, severityNote, "An operator's own model decides, by Casbin itself."},
		{policy.FindingShapes, severityWarning, "The rules have nearly as many pattern shapes as are accepted."},
		{policy.FindingRole, severityWarning, "A role has no members or no rules."},
		{policy.FindingRepeated, severityWarning, "A rule says what an earlier one says."},
		{policy.FindingVoid, severityWarning, "A rule never matches anything."},
		{policy.FindingShadowed, severityWarning, "An allow is covered by a deny."},
		{policy.FindingUnknown, severityWarning, "A rule names what no service file has."},
		{policy.FindingNoEffect, severityWarning, "A rule allows what the broker never does."},
		{policy.FindingForeigner, severityWarning, "A rule names workloads of a trust domain that is not let in, or users of an issuer that is not configured."},
	}
}

// severityOf makes an error of what the table does not have: a sort that nobody classified is not passed
// over.
func severityOf(id string) severity {
	all := rules()
	if i := slices.IndexFunc(all, func(r rule) bool { return r.id == id }); i >= 0 {
		return all[i].severity
	}
	return severityError
}
