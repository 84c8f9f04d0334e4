// Package login logs browsers in at the OpenID provider.
package login
