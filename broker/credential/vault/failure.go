package vault

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/intercom-broker/intercom/broker/fault"
)

// The reasons that a Store gives beside those of package credential.
const (
	// With fault.Unavailable: an outage.

	ReasonSealed      = "VAULT_SEALED"       // sealed, or not initialised
	ReasonUnreachable = "VAULT_UNREACHABLE"  // no connection, or one that broke
	ReasonUntrusted   = "VAULT_UNTRUSTED"    // its certificate does not verify
	ReasonSlow        = "VAULT_SLOW"         // no answer within Config.Timeout, or the caller's deadline
	ReasonRateLimited = "VAULT_RATE_LIMITED" // over a rate limit quota
	ReasonFailed      = "VAULT_FAILED"       // an internal error of its own (5xx), or an answer that is not Vault's
	ReasonConflict    = "VAULT_CONFLICT"     // others wrote the same name again and again
	ReasonNoIdentity  = "VAULT_NO_IDENTITY"  // we have no SVID to log in with
	ReasonNoKeys      = "VAULT_NO_KEYS"      // it cannot fetch the trust domain's JWKS

	// With fault.Internal: an answer, which only an operator can change.

	ReasonPermissionDenied = "VAULT_PERMISSION_DENIED" // the login is good, its policies lack something
	ReasonLoginRefused     = "VAULT_LOGIN_REFUSED"     // it does not let us in
	ReasonNoMount          = "VAULT_NO_MOUNT"          // there is no KV version 2 engine at the mount
	ReasonRefused          = "VAULT_REFUSED"           // another 4xx
	ReasonClosed           = "VAULT_CLOSED"            // the Store is closed
)

// The two answers that are no failures to those who expect them, and one that is not Vault's.
var (
	errNotFound = errors.New("404: nothing there")
	errConflict = errors.New("400: check-and-set did not match")
	errForeign  = errors.New("not an answer of Vault's")
)

// answer is what Vault says in a failure, for logs: bounded, in one line, and without the body of an
// answer that is not Vault's own, which may be anything.
type answer struct {
	call   string
	status int
	texts  []string
}

func (a *answer) Error() string {
	text := strings.Join(strings.Fields(strings.Join(a.texts, "; ")), " ")
	return fmt.Sprintf("%s: %d %s", a.call, a.status, text[:min(len(text), 512)])
}

// says reports whether Vault's text has one of these.
func (a *answer) says(any ...string) bool {
	for _, text := range a.texts {
		for _, s := range any {
			if strings.Contains(text, s) {
				return true
			}
		}
	}
	return false
}

// failure puts what went wrong with a call into our words. ctx is the caller's.
func failure(ctx context.Context, call string, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return fault.New(fault.Timeout, "", "the caller went away").Because(context.Canceled)
	}
	if e, ok := errors.AsType[*api.ResponseError](err); ok {
		a := &answer{call: call, status: e.StatusCode, texts: e.Errors}
		if e.RawError {
			a.texts = []string{"(not Vault's words)"}
		}
		return a.failure()
	}
	err = fmt.Errorf("%s: %w", call, bare(err))
	if e, ok := errors.AsType[*limited](err); ok {
		return outage(ReasonRateLimited, "the credential store's rate limit is exceeded", e.after, err)
	}
	if errors.Is(err, errForeign) {
		return outage(ReasonFailed, "the credential store failed", 0, err)
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return outage(ReasonUntrusted, "the credential store's certificate cannot be trusted", 0, err)
	}
	// A dialler that timed out says "deadline exceeded" too; but then nobody is there, rather than slow.
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "dial" {
		return outage(ReasonUnreachable, "the credential store cannot be reached", 0, err)
	}
	if errors.Is(err, context.DeadlineExceeded) || timedOut(err) {
		return outage(ReasonSlow, "the credential store did not answer in time", 0, err)
	}
	return outage(ReasonUnreachable, "the credential store cannot be reached", 0, err)
}

// bare takes method and URL off an error of the HTTP client: call says it already.
func bare(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

func timedOut(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

func (a *answer) failure() error {
	switch {
	case a.status == http.StatusNotFound && len(a.texts) == 0:
		return errNotFound
	case a.status == http.StatusBadRequest && a.says("check-and-set parameter did not match"):
		return errConflict
	case a.status == http.StatusNotFound:
		return final(ReasonNoMount, "the credential store is not set up: its mount is missing", a)
	case a.status == http.StatusForbidden:
		return final(ReasonPermissionDenied, "the credential store denies the broker", a)
	case a.status == http.StatusServiceUnavailable && a.says("sealed"):
		return outage(ReasonSealed, "the credential store is sealed", 5*time.Second, a)
	case a.says("past the max TTL"): // which comes as a 500
		return final(ReasonRefused, "the credential store did not take the broker's request", a)
	case a.status >= 500, a.says("unavailable for a brief period"): // the latter while KV is upgraded to version 2
		return outage(ReasonFailed, "the credential store failed", 0, a)
	default:
		return final(ReasonRefused, "the credential store did not take the broker's request", a)
	}
}

func outage(reason, message string, after time.Duration, cause error) *fault.Error {
	e := fault.New(fault.Unavailable, reason, message)
	e.RetryAfter = after
	return e.Because(cause)
}

func final(reason, message string, cause error) *fault.Error {
	return fault.New(fault.Internal, reason, message).Because(cause)
}

// is reports whether err is a failure for that reason.
func is(err error, reason string) bool {
	e, ok := errors.AsType[*fault.Error](err)
	return ok && e.Reason == reason
}
