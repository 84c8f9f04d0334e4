// Package policy decides: a [Request] against the rules of a directory, with Casbin's model as the
// source of truth and a compiled index of it in the hot path.
package policy
