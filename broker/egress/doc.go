// Package egress is the egress door: it streams a request to a service with the service's credential put
// in, and the application that asked never sees it.
package egress
