// Package audit remembers who was allowed what, in a log that shows when somebody changed it.
//
// # The files
//
// A log is a directory that one process writes at a time (a lock on the file `lock` sees to that):
//
//	00000001.jsonl    segments: one JSON object a line, one line an entry
//	00000002.jsonl
//	head              the last signed checkpoint, replaced as a whole
//	key, key.pub      the Ed25519 key that signs (0600), and its public half
//	reserve           disk that is held back
//	inbox/            entries of operator's commands, on their way into the chain
//
// # The chain
//
// The last member of every line is its hash. The hash of entry n is the SHA-256 of the hash of entry n-1
// (64 hex digits; zeros before the first) followed by the bytes of line n up to the comma before "hash".
// Those are the bytes of the file, not of some canonical form: there is no second way to write an entry.
// A shell can follow it:
//
//	printf %s "$previous${line%,\"hash\"*}" | sha256sum
//
// The first line of a segment names the hash of the line before it, in the segment before. A checkpoint
// is an entry that carries an Ed25519 signature over an entry's number and hash; one is written every
// ten seconds when there is something to sign, at the end of a segment, and at Close. Its line is copied
// into `head` after the segment is on the disk, so that neither a kill nor a power failure can leave a head
// that promises more than there is.
//
// # What that is worth
//
// [Verify] names the first entry that was changed, removed, moved or put in, and a tail that was cut off
// before the last checkpoint. It takes the public key from outside, since whoever can write the
// directory can also replace the key in it. Two things it cannot see: lines after the last checkpoint
// that were removed together, or added by somebody who computes the chain as we do (at most ten seconds'
// worth); and anything at all when the key itself was stolen. For the second there is [Signer]: a key that
// is somewhere else signs without ever standing beside the log.
//
// Segments that are older than they are kept are deleted after an entry that says so, and that entry is
// signed before the first file goes. A segment that is missing without such an entry was stolen. One that
// is deleted or moved while it is written to is noticed within 100 ms and put back, since the open file
// still has all of it.
//
// # What "recorded" means
//
// [Log.Record] returns nil after its entry was part of a write(2) that succeeded: it survives kill -9.
// With [SyncAlways] the write was also followed by an fsync. With [SyncInterval] the fsync follows within
// 100 ms; when the disk takes longer than that, the next Record waits for it, so that the bound is one.
// Writers that come together are written together: the first to get hold of the file writes for all
// that wait, and the others only wait for the result.
//
// A process that is killed within a write can leave a line without its end. Nobody was told that this
// entry is recorded, so the act it stands for never began: the next [Open] cuts it off and says so in an
// entry, and until then Verify reports a torn tail, not a broken log. After a power failure the same
// holds for a tail with pages that never reached the disk. Open cuts nothing that a checkpoint covers.
//
// # When the disk is full
//
// The reserve is a file of real blocks, not a look at the free space: others can take what is only
// free, and quotas do not show there. When a write fails for want of space the reserve shrinks by what
// is needed and from then on grants are refused ([ReasonFull]); denials are written until half of it is
// gone, and outcomes of acts that had begun, and checkpoints, until the end. When there is space again
// the reserve grows back and grants are taken. [Log.Ready] says so at any time.
package audit
