// Package client carries a workload's questions to the credential broker, over mTLS, and reads back
// what it meant.
//
// A [Client] knows several brokers. Calls are spread over all that answer (gRPC's round_robin; the same
// order for [Client.Egress]); one that dies costs the calls that were on it one retry at another, and
// is dialled again with backoff and jitter.
//
// # One SVID, one Conn
//
// A token that is bound (RFC 8705) names the certificate that it was asked for with, and is good for
// nothing on a connection that was made with another. A connection that lives longer than an SVID would
// therefore mix the two up, so everything that was dialled with one SVID is kept together in a [Conn]:
// the gRPC connections, the egress connections, and those to services that verify bound tokens
// ([Conn.Transport]).
//
// When the SVID changes, [Client.Run] makes the next Conn, lets the caller prepare it (fetch bound
// tokens anew), puts it in place, and only then lets the former one drain: make before break. While the
// preparation fails, because no broker answers, the former Conn stays in use for as long as its SVID
// has some life left.
//
// # Failures
//
// Every error is a *fault.Error. What a broker said comes back with its kind, reason and decision id;
// a broker that cannot be reached is Unavailable, with the reason BROKER_UNREACHABLE or, when somebody
// else answers at its address, BROKER_UNTRUSTED, or, when our own SVID is over, SVID_ENDED. Only Unavailable answers and attempts that time out are
// tried again: not before the moment that RetryInfo names, and not at all when that moment lies beyond
// what the call may take.
package client
