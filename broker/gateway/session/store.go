package session

import (
	"context"
	"time"
)

// Store keeps sessions. All of its methods may be called concurrently, from many processes on one store.
// A session that is not there is [NoSession], one that is over an [*Ended], and a store that cannot tell
// [Unavailable].
type Store interface {
	// Create writes a new session of version 1. It fails with an *Ended when a logout covers the session,
	// however the two interleave; then nothing of it stays.
	Create(ctx context.Context, s Session) error
	// Load returns the session.
	Load(ctx context.Context, h Hash) (Session, error)
	// Replace writes s over the version that s was loaded as, with the next one; else it is [ErrConflict].
	// Who the session is, and its absolute end, never change. It may be called again when its answer was lost.
	Replace(ctx context.Context, s Session) error
	// End puts a tombstone in the session's place, and keeps the one that is there. When it returns nil the
	// end is stored, and on its way to everybody who listens.
	End(ctx context.Context, h Hash, e Ended) error
}

// Index finds sessions by what the provider calls them.
type Index interface {
	// Logout ends all sessions that l covers, those that are being created included, and returns the ones
	// that it ended. It may be called again when it failed.
	Logout(ctx context.Context, l Logout) ([]Session, error)
	// List returns the sessions that q asks for, in no order; those that are over are left out.
	List(ctx context.Context, q Query) ([]Session, error)
}

// Activity is the last sign of the user, apart from the session itself.
type Activity interface {
	// Touch records activity at a time, to be kept until the session's end. What is not there stays away.
	Touch(ctx context.Context, s Session, at time.Time) error
	// Active returns the latest activity that was recorded, and the zero time when there is none.
	Active(ctx context.Context, h Hash) (time.Time, error)
}

// Peers are the other gateways on the same sessions.
type Peers interface {
	// Lock takes the session's lock for a while, or renews it for the owner who has it. False means that
	// another has it.
	Lock(ctx context.Context, h Hash, owner string, lease time.Duration) (bool, error)
	// Unlock gives it back, if the owner still has it.
	Unlock(ctx context.Context, h Hash, owner string) error
	// Changed adds somebody who is told of sessions that were written or ended, by whomever: nil means that
	// anything may have changed. The function must not wait, and is told of what happens after it was added.
	Changed(func([]Hash))
}

// Shared is a store that a [Manager] can work with.
type Shared interface {
	Store
	Index
	Activity
	Peers
}
