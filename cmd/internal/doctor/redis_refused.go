package doctor

import (
	"github.com/intercom-broker/intercom/broker/kv"
)

// refusal is what is said where Redis cannot be used, and what to do about it.
type refusal struct {
	says []string
	at   place
	cure string
}

// refusals begin with what Redis itself says. The first that fits counts.
func refusals() []refusal {
	return []refusal{
		{[]string{"WRONGPASS", "NOAUTH", "without any password", "AUTH failed"}, key("sessions.redis.password"), "write the username and the password of an access list's user"},
		{[]string{"NOPERM"}, key("sessions.redis.username"), "let the user do: +@all -@dangerous ~ic:* &ic:*"},
		{[]string{"OOM "}, place{}, "Redis runs, and its memory is full: raise its maxmemory, or take out what is not the gateways'"},
		{[]string{"READONLY"}, key("sessions.redis.addresses"), "name the primary, or sentinels that know it (sentinel): this one is a replica"},
		{[]string{"MASTERDOWN"}, key("sessions.redis.addresses"), "name the primary: this one is a replica, and has lost it"},
		{[]string{"MISCONF"}, place{}, "Redis runs, and cannot write to its disk: see its log"},
		{[]string{"LOADING"}, place{}, "Redis reads what it kept: wait"},
		{[]string{"certificate", "x509"}, key("sessions.redis.tls"), "name the authority that vouches for Redis in ca, or its name in server_name"},
		{[]string{kv.SpeaksPlainly}, key("sessions.redis.tls"), plainCure},
		{[]string{kv.SpeaksHTTP}, key("sessions.redis.addresses"), "correct the port: a web server listens there"},
		{[]string{"first record does not look like a TLS handshake"}, key("sessions.redis.tls"), plainCure},
		{[]string{"EOF", "connection reset", "broken pipe"}, key("sessions.redis.tls"), "it closes the connection: does it speak TLS on this port, and does tls say so"},
	}
}

const plainCure = "take tls out, or let Redis speak it on this port"

func (g *gatewayExam) redisRefused(r rows, err error) {
	for _, known := range refusals() {
		if says(err, known.says...) {
			r.fail(known.at, known.cure, "%s", why(err))
			return
		}
	}
	if kv.Refused(err) {
		r.fail(place{}, "Redis runs, and its words say what it lacks", "%s", why(err))
		return
	}
	r.fail(key("sessions.redis.addresses"), "start Redis, or correct the addresses", "%s", why(err))
}
