// Package kv is the dialled Redis or Valkey: one server, a primary behind sentinels, or a cluster, with
// TLS, a user and deadlines.
//
// What it adds to the library (rueidis) is one promise about time: whoever keeps something of the server
// in memory is told within [Config.Silence] that he can no longer hear of changes to it. With the
// library's defaults a server that is frozen, or cut off without a RST, is noticed after ten seconds, and
// a session that was ended elsewhere would be served until then.
//
// # How changes are heard
//
// Every connection asks for CLIENT TRACKING in broadcasting mode with one prefix (RESP3, Redis 6 or
// later, any Valkey), so a server tells of each key below the prefix on the very connection that its values
// come by. Publish and subscribe would not do: on a cluster a message travels from node to node, and can be
// lost between two that are both well connected to us. The announcement of a change leaves the server
// before or with the acknowledgement of the write, so a write that was acknowledged is announced.
//
// A node gets one connection. Each is pinged when it was silent for a fifth of Silence, and given up when
// the answer takes half of Silence: at most 2/5 + 1/2 of Silence after the last byte. When it is given up,
// for this or any other reason, [Options.Changed] is called with nil: anything may have changed.
//
// # What the user needs
//
// An access list without @dangerous is enough for one server and for a cluster. Behind sentinels the
// library asks ROLE, to be sure that it talks to a primary, and Redis counts that as dangerous: give such a
// user "-@dangerous +role".
package kv
