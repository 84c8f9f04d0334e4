package bff

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/intercom-broker/intercom/broker/gateway/route"
	"github.com/intercom-broker/intercom/broker/gateway/session"
)

const (
	// beat is how often a stream is looked after: a comment keeps proxies from closing it, and the times of the
	// session are looked at.
	beat = 15 * time.Second
	// warning is how long before its end a page is told of it.
	warning = time.Minute
	// recheck is how soon a page that was told is told that the end is near no longer.
	recheck = 3 * time.Second
)

// events tells a page what becomes of its session (HTML standard, "Server-sent events"), which is no activity.
func (h *Handler) events(w http.ResponseWriter, r *http.Request, o route.Origin) error {
	id, who, _, err := h.find(r, o)
	if err != nil {
		return err
	}
	if err := CheckCSRF(r, o, id, ""); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	ended := h.Sessions.Watch(ctx, who.Hash)
	AddCORS(w.Header(), r, o)
	w.Header().Set("Content-Type", "text/event-stream")
	s := &stream{w: w, flush: http.NewResponseController(w)}
	if s.comment() == nil {
		h.tell(ctx, s, id, *who, ended)
	}
	return nil
}

// tell writes until the session ends, the browser goes or this gateway drains; then the browser connects again,
// to another one.
func (h *Handler) tell(ctx context.Context, s *stream, id session.ID, was session.Session, ended <-chan session.Ended) {
	left := h.left(ctx, was)
	warned := warn(s, left, false)
	tick := time.NewTimer(pause(left))
	defer tick.Stop()
	for {
		select {
		case e, ok := <-ended:
			if ok {
				_ = s.event("session.ended", map[string]any{"reason": e.Code()})
			}
			return
		case <-h.Draining:
			return
		case <-tick.C:
			now, err := h.Sessions.Get(ctx, id)
			if err == nil {
				if now.Tokens.Generation != was.Tokens.Generation {
					_ = s.event("session.refreshed", struct{}{})
				}
				was = now
			}
			if left = h.left(ctx, was); err == nil {
				warned = warn(s, left, warned)
			}
			if s.comment() != nil {
				return
			}
			tick.Reset(pause(left))
		}
	}
}

// warn tells of an end that is near, once for each, and of one that is near no longer: somebody was active.
func warn(s *stream, left time.Duration, warned bool) bool {
	near := left <= warning
	switch {
	case near && !warned:
		_ = s.event("session.expiring", map[string]any{"in": seconds(left)})
	case warned && !near:
		_ = s.event("session.refreshed", struct{}{})
	}
	return near
}

// left is how long who lives, if nobody does anything. Where that is little the store is asked: a page's calls may all go to
// another gateway than its stream.
func (h *Handler) left(ctx context.Context, who session.Session) time.Duration {
	left := h.end(who).Sub(h.now())
	if left <= warning && h.Sessions.AskOthers(ctx, who) == nil {
		left = h.end(who).Sub(h.now())
	}
	return left
}

// end is when who ends, as far as is known here.
func (h *Handler) end(who session.Session) time.Time {
	end := who.End()
	if idle := h.Sessions.IdleEnd(who); !idle.IsZero() && idle.Before(end) {
		end = idle
	}
	return end
}

// pause is how long a stream is left alone whose session has so much time left: the warning is not to come late.
func pause(left time.Duration) time.Duration {
	if left <= warning {
		return recheck
	}
	return min(beat, left-warning)
}

// stream is a text/event-stream.
type stream struct {
	w     http.ResponseWriter
	flush *http.ResponseController
}

func (s *stream) comment() error { return s.write(":\n\n") }

func (s *stream) event(name string, data any) error {
	text, err := json.Marshal(data)
	if err != nil {
		return err
	}
	return s.write("event: " + name + "\ndata: " + string(text) + "\n\n")
}

func (s *stream) write(text string) error {
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	return s.flush.Flush()
}
