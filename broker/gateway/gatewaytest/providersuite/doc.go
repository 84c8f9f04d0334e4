// Package providersuite is what a login provider has to do with the gateway, as tests: whole gateways, a whole broker, a
// Redis, and a provider that others made. Each provider brings a [Driver], which says how it is handled and what it lacks.
//
// What it lacks is tested too: the gateway refuses in words that an operator and a user understand.
package providersuite
