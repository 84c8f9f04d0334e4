// Package outbound is what every door that forwards has in common on its way to a service: the connections,
// the words for what goes wrong on them, and the rest of a body that nobody wants any more.
//
// [Transport] dials past hygiene's guard, verifies TLS always, asks no proxy, and keeps connections idle for
// less than servers commonly do. [Failure] tells by which of a few reasons a round trip failed, without
// naming an address; [WriteProblem] answers with it. What is particular to a door (whose request it is, what
// is put into it, where it is counted) stays there.
package outbound
