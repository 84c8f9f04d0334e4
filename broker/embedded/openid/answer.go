package openid

import (
	"encoding/json"
	"errors"
	"net/http"
)

// refusal is an OAuth error (RFC 6749, section 5.2) in the words of the provider that this one stands in
// for, which are not always those of the standard. That is why it is no fault.Error: those have one
// translation.
type refusal struct {
	status            int
	code, description string
}

// Error implements error.
func (r *refusal) Error() string { return r.code + ": " + r.description }

func refuse(code, description string) error {
	return &refusal{http.StatusBadRequest, code, description}
}

// none is an answer without a body.
type none struct{}

// answer is the door of every endpoint that speaks JSON.
func (p *Provider) answer(status int, act func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			writeRefusal(w, refuse("invalid_request", "the form cannot be read"))
			return
		}
		body, err := act(r)
		if err != nil {
			writeRefusal(w, err)
			return
		}
		if _, empty := body.(none); empty {
			w.WriteHeader(status)
			return
		}
		writeJSON(w, status, body)
	}
}

func writeRefusal(w http.ResponseWriter, err error) {
	r, ok := errors.AsType[*refusal](err)
	if !ok {
		r = &refusal{http.StatusInternalServerError, "server_error", "internal error"}
	}
	if r.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="openid"`)
	}
	writeJSON(w, r.status, map[string]string{"error": r.code, "error_description": r.description})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
