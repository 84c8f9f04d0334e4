package bff

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"strings"
	"unicode"

	"github.com/intercom-broker/intercom/broker/gateway/session"
	"github.com/intercom-broker/intercom/broker/service"
)

// basic is the user's name and the password that the service shares with us (RFC 7617, section 2).
func (v *visit) basic(ctx context.Context) (string, error) {
	user := v.route.Service.Browser.User
	name, err := basicName(*v.who, user)
	if err != nil {
		return "", err
	}
	if v.Password == nil {
		return "", noToken("there is nobody to lease the service's password", nil)
	}
	password, err := v.Password(ctx, user.Credential)
	if err != nil {
		return "", noToken("the service's password cannot be had", err)
	}
	return "Basic " + base64.StdEncoding.EncodeToString(append([]byte(name+":"), password.Reveal()...)), nil
}

// basicName refuses what would be another name at the service: the first colon ends it, and control characters have
// no place in it.
func basicName(s session.Session, user service.UserToken) (string, error) {
	var name string
	if err := json.Unmarshal(s.Claims[user.Claim], &name); err != nil || name == "" {
		return "", noToken("the login has no claim "+user.Claim+", which the service knows users by: add its mapper at the provider", nil)
	}
	if strings.ContainsRune(name, ':') || strings.ContainsFunc(name, unicode.IsControl) {
		return "", noToken("the user's claim "+user.Claim+" cannot be a name: it has a colon or a control character", nil)
	}
	return name, nil
}
