// Package bff is the token handler: a cookie comes in, and the token of one upstream goes out. A page holds
// no token and learns none (draft-ietf-oauth-browser-based-apps, section 6.1).
package bff
