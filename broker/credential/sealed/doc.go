// Package sealed is the embedded credential store: one file, sealed with one key.
//
// It is for one host: a single broker, or the broker and the operator's tool side by side. Everything is in
// memory; the file is read again when another process changed it and written anew with each change.
//
//	writers   lock PATH.lock (flock; the kernel lets go of it when its holder is killed), read the newest
//	          file, write the changed document to a temporary file, fsync, rename, fsync the directory.
//	          A kill at any moment leaves the old file or the new one, and the lock free.
//	readers   take no lock: what they open is one whole file. At most once per Poll they look at its
//	          header, which is new with every save, and read on only when it changed.
//
// A file that cannot be read as it is now (missing, cut, changed, sealed with another key, of a newer
// format) fails every call with its reason, and nothing is overwritten. What was read before is not served
// by this package any more: carrying users over an outage is [credential.Cache]'s business, which does
// it within their budgets.
//
// What the seal does not do: an attacker who may write the directory can put an older file back whole. A
// running process logs that the store went back; one that starts cannot know.
package sealed
