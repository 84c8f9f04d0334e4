// Package providertest is the OpenID provider of package openid on a real TLS listener, with what goes wrong
// in the field put around it: answers that are lost after the provider did its work, slow and silent ones,
// errors of its own and of the proxies before it, tokens with one defect each, and logout tokens that nobody
// sent.
//
//	s := providertest.New(t, openid.Config{Clients: …})
//	s.Break(openid.PathToken, providertest.Times(1, providertest.Lost()))
//	callback := s.Browser(t).Login(authURL, "alice")
//
// [Server.Calls] tells what arrived, and how the client proved itself; it counts what was lost too.
package providertest
