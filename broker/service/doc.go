// Package service has the service files: which services there are, and how the credential for each
// travels.
//
// A directory holds one YAML file per team. Each service has exactly one mode:
//
//   - token: we mint a JWT for the service's audience, and the caller sends it;
//   - inject: the credential is put into the request on the way, and the application never sees it;
//   - vend: the application gets the credential, leased.
//
// A service that names none of them is a token service whose audience is its name. The files are read as
// a whole or not at all: [Parse] makes a [Catalog] of them, which never changes; a [Watcher] reads the
// directory again when it changes and swaps one pointer, and keeps the old catalog when the new files do
// not hold.
//
// Within `version: 1` a released field keeps its meaning.
package service
