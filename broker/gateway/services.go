package gateway

import (
	"net/http"

	"github.com/intercom-broker/intercom/broker/fault"
)

// services is the way to the services, and what it has to say below the prefix: package bff's.
func (g *Gateway) services(*http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fault.WriteProblem(w, fault.New(fault.Unsupported, "services_not_served", "this gateway does not lead to services yet"))
	})
}
