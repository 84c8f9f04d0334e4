// Package gatewaytest runs whole gateways in a test, in front of a whole broker: the real assemblies, reached under
// an origin's own name and port. The provider is the test's affair: one of ours, Keycloak, or another.
//
// All names are below [stack.TestDomain], so a test that uses it calls [stack.ResolveNames] in TestMain.
package gatewaytest
