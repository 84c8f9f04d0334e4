// Package localapi is what the application beside the sidecar sees.
package localapi
