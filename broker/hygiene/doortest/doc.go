// Package doortest asks of a door that forwards HTTP what every such door has to answer: the hostile corpus, sent as it is
// written, and what is left of a body that nobody has read. It has the client and the upstreams for that, too, which
// change nothing on the way.
package doortest
