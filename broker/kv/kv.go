package kv

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/secret"
)

// ReasonUnavailable is the reason of every failure to reach the server.
const ReasonUnavailable = "KV_UNAVAILABLE"

// retryAfter is what a caller is told: by then a connection that was given up is made again or not.
const retryAfter = time.Second

// sentinelsAsked is how often the sentinels are asked for the primary, besides being listened to: the one
// message that tells of a switch can be lost, and the old primary stays connected.
const sentinelsAsked = 2 * time.Second

// Options are what a configuration file does not hold.
type Options struct {
	// Password and SentinelPassword are what the references in [Config] refer to.
	Password, SentinelPassword secret.Value
	// Track is the prefix of the keys whose changes Changed hears. Empty means none: what an application
	// keeps in memory is then its own business.
	Track string
	// Changed is called with keys below Track that were written, deleted or expired, by whomever, and with
	// nil when a connection was lost and anything may have changed. It must not wait: the connection reads
	// nothing meanwhile. It is required with Track.
	Changed func(keys []string)
}

// Client talks to the server. It is safe for concurrent use.
type Client struct {
	redis   rueidis.Client
	timeout time.Duration
}

// Open dials the server and fails when it does not answer.
func Open(c Config, o Options) (*Client, error) {
	tls, err := c.TLS.client()
	if err != nil {
		return nil, err
	}
	// 2/5 + 1/2 of silence, as the package comment says: a ping falls due one to two intervals after the
	// last byte.
	dialer := net.Dialer{Timeout: c.timeout(), KeepAlive: c.silence() / 5}
	options := rueidis.ClientOption{
		InitAddress: c.Addresses, TLSConfig: tls, Dialer: dialer, ConnWriteTimeout: c.silence() / 2,
		Username: c.Username, Password: string(o.Password.Reveal()), ClientName: "intercom",
		// One connection for each node, so that a value and the news of it come by the same.
		PipelineMultiplex: -1,
		DisableCache:      true,
	}
	if o.Track != "" {
		options.DisableCache = false
		options.ClientTrackingOptions = []string{"BCAST", "PREFIX", o.Track}
		options.OnInvalidations = func(keys []rueidis.RedisMessage) { o.Changed(texts(keys)) }
	}
	switch {
	case c.Sentinel.Primary != "":
		options.Sentinel = rueidis.SentinelOption{
			MasterSet: c.Sentinel.Primary, Dialer: dialer, TLSConfig: tls, TopologyRefreshInterval: sentinelsAsked,
			Username: c.Sentinel.Username, Password: string(o.SentinelPassword.Reveal()),
		}
	case !c.Cluster:
		options.ForceSingleClient = true
	}
	client, err := rueidis.NewClient(options)
	if err != nil && !Refused(err) {
		if words := strange(c); words != "" { // else all that is said is that the time is over
			err = fmt.Errorf("%s: %w", words, err)
		}
	}
	if err != nil {
		return nil, unavailable(err)
	}
	return &Client{redis: client, timeout: c.timeout()}, nil
}

// texts keeps nil nil: it means everything.
func texts(keys []rueidis.RedisMessage) []string {
	if keys == nil {
		return nil
	}
	all := make([]string, 0, len(keys))
	for _, k := range keys {
		if s, err := k.ToString(); err == nil {
			all = append(all, s)
		}
	}
	return all
}

// B returns a builder for commands.
func (c *Client) B() rueidis.Builder { return c.redis.B() }

// Do runs one command. An absent key is no failure: see [IsNil].
func (c *Client) Do(ctx context.Context, cmd rueidis.Completed) (rueidis.RedisMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	return result(c.redis.Do(ctx, cmd))
}

// DoMulti runs commands in one round trip to each node. They are not atomic, and may fail one by one: the
// error is the first, absent keys aside.
func (c *Client) DoMulti(ctx context.Context, cmds ...rueidis.Completed) ([]rueidis.RedisMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	messages := make([]rueidis.RedisMessage, len(cmds))
	var first error
	for i, r := range c.redis.DoMulti(ctx, cmds...) {
		m, err := result(r)
		if messages[i] = m; err != nil && !IsNil(err) && first == nil {
			first = err
		}
	}
	return messages, first
}

// Script is a program that the server runs in one atomic step. All of its keys have one hash tag, or a
// cluster refuses it.
type Script struct{ lua *rueidis.Lua }

// NewScript returns a script, which the server is sent once and asked for by its hash from then on.
func NewScript(source string) Script { return Script{rueidis.NewLuaScript(source)} }

// Run runs a script.
func (c *Client) Run(ctx context.Context, s Script, keys, args []string) (rueidis.RedisMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	return result(s.lua.Exec(ctx, c.redis, keys, args))
}

// Ping asks whether the server answers.
func (c *Client) Ping(ctx context.Context) error {
	_, err := c.Do(ctx, c.B().Ping().Build())
	return err
}

// Close ends the connections.
func (c *Client) Close() { c.redis.Close() }

// IsNil reports whether the key was not there.
func IsNil(err error) bool { return rueidis.IsRedisNil(err) }

// Refused reports whether an error is what the server said itself.
func Refused(err error) bool {
	said, ok := errors.AsType[*rueidis.RedisError](err)
	return ok && !said.IsNil()
}

// ReadOnly reports whether the server refused to write by its own state, whoever asks: it is full, cannot save, lacks
// replicas, or is one. What it holds can be read.
func ReadOnly(err error) bool {
	said, ok := errors.AsType[*rueidis.RedisError](err)
	return ok && slices.ContainsFunc([]string{"OOM", "MISCONF", "NOREPLICAS", "READONLY"}, func(word string) bool {
		return strings.HasPrefix(said.Error(), word)
	})
}

func result(r rueidis.RedisResult) (rueidis.RedisMessage, error) {
	m, err := r.ToMessage()
	if err != nil && !IsNil(err) {
		return m, unavailable(err)
	}
	return m, err
}

// unavailable is what every failure is, a refusal by the server included: whether it is down, loading, a
// replica, full, or does not know our password, we have no answer, and nobody may take that for "absent".
func unavailable(err error) error {
	words := "the shared store does not answer"
	if Refused(err) {
		words = "the shared store refuses"
	}
	e := fault.New(fault.Unavailable, ReasonUnavailable, words).Because(err)
	e.RetryAfter = retryAfter
	return e
}
