package keyring

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

var errNoExpiry = errors.New("the claims are no JSON object with one exp that is a number")

// checkReply holds claims to be none of a token.
func checkReply(payload []byte) error {
	if _, found, _ := expiries(payload); found != 0 || payload[0] != '{' {
		return errors.New("a reply is a JSON object without exp")
	}
	return nil
}

// checkLife holds what the times in the store rest on: no token outlives TokenLife.
func (r *Ring) checkLife(payload []byte) error {
	exp, err := expiry(payload)
	if err != nil {
		return err
	}
	latest := r.cfg.Now().Add(r.cfg.TokenLife + skew)
	if exp > float64(latest.Unix()) {
		return fmt.Errorf("the token would live longer than %v", r.cfg.TokenLife)
	}
	return nil
}

// expiry returns the exp of claims as json.Marshal has written them: an object without a space between
// its tokens, and without a bare quote in a string. To decode all of them for one number would take as
// long as all the rest of a token but its signature.
func expiry(payload []byte) (exp float64, err error) {
	exp, found, err := expiries(payload)
	if err != nil || found != 1 || payload[0] != '{' {
		return 0, errNoExpiry
	}
	return exp, nil
}

// expiries returns how many there are, and the last.
func expiries(payload []byte) (exp float64, found int, err error) {
	const key = `"exp":`
	depth, quoted := 0, false
	for i := 0; i < len(payload); i++ {
		switch c := payload[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			if !quoted && depth == 1 && bytes.HasPrefix(payload[i:], []byte(key)) {
				found++
				value := payload[i+len(key):]
				exp, err = strconv.ParseFloat(string(value[:bytes.IndexAny(value, ",}")]), 64)
			}
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth--
		}
	}
	return exp, found, err
}
