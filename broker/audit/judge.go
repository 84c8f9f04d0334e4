package audit

import (
	"bytes"
	"cmp"
	"maps"
	"path/filepath"
	"slices"
)

// count reads what an entry says.
func (v *verifier) count(e *Entry) {
	switch e.Kind {
	case KindDecision:
		v.report.Decisions++
		if e.Allow {
			v.open[e.Decision] = Unknown{Decision: e.Decision, File: v.file, Line: v.line, Time: e.Time}
		} else {
			v.report.Denied++
		}
	case KindOutcome:
		v.report.Outcomes++
		delete(v.open, e.Decision)
	case KindAdmin:
		v.report.Admin++
	case KindOpen:
		v.report.Restarts++
		v.report.TornBytes += e.Torn
	case KindPrune:
		v.pruned = append(v.pruned, *e)
	case KindCheckpoint:
		v.checkpoint(&e.Seal)
	case KindSegment:
	default:
		v.breach(Changed, "an entry of an unknown kind %q", e.Kind)
	}
}

// slot is where the hash of entry seq is remembered.
func (v *verifier) slot(seq uint64) uint64 { return (seq - v.report.First) % maxCovered }

func (v *verifier) remember() {
	if len(v.recent) < maxCovered {
		v.recent = append(v.recent, v.at.hash)
	} else {
		v.recent[v.slot(v.at.seq)] = v.at.hash
	}
}

// checkpoint holds a signature against the key and against the chain.
func (v *verifier) checkpoint(s *Seal) {
	v.report.Checkpoints++
	switch {
	case !s.signedBy(v.report.Key):
		v.breach(Forged, "the checkpoint is not signed by the key")
	case s.Covers < v.report.First && s.Covers+1 != v.report.First, s.Covers >= v.at.seq, v.at.seq-s.Covers > maxCovered:
		v.breach(Changed, "the checkpoint covers entry %d, which is not before it", s.Covers)
	case s.Covers >= v.report.First && v.recent[v.slot(s.Covers)].String() != s.Root:
		v.breach(Changed, "the checkpoint signed another entry %d: something between entry %d and it was replaced", s.Covers, v.report.Covered)
	default:
		v.report.Covered = max(v.report.Covered, s.Covers)
	}
}

// matchHead holds the entry that the head covers, and the checkpoint that the head is, against it.
func (v *verifier) matchHead(e *Entry, line []byte) {
	switch {
	case e.Seq == v.head.Covers && e.Hash != v.head.Root:
		v.breach(Changed, "the signed head covers another entry %d: something after entry %d was replaced", e.Seq, v.report.Covered)
	case e.Seq == v.head.Covers:
		v.report.Covered = max(v.report.Covered, e.Seq)
	case e.Seq == v.head.Seq && !bytes.Equal(v.head.Raw, append(line, '\n')):
		v.breach(Changed, "the head is a copy of another entry %d", e.Seq)
	}
}

// checkEnds asks, after a walk without a breach, whether both ends are there.
func (v *verifier) checkEnds() {
	switch {
	case v.report.Broken != nil:
	case max(v.head.Seq, v.head.Covers) > v.at.seq:
		v.line++
		v.breach(Truncated, "the log ends at entry %d, and its signed head is entry %d", v.at.seq, v.head.Seq)
	case v.first > v.gone()+1:
		v.file, v.line = segmentName(v.first), 1
		v.breach(Removed, "%s is missing, and no entry says that it was deleted for its age", segmentName(v.first-1))
	}
}

// gone returns the last segment that was deleted by the log's own word. The word counts under a signature
// only: the log has its entry signed before it deletes the first file.
func (v *verifier) gone() (through uint64) {
	for _, e := range v.pruned {
		if e.Seq <= v.report.Covered {
			through = max(through, e.Through)
		}
	}
	return through
}

// diagnose says what happened at a line that does not follow the one before it. The chain is what tells
// that something did; the numbers, which a forger may write as he likes, only help to say what.
func (v *verifier) diagnose(e *Entry) {
	want := v.at.seq + 1
	switch {
	case e.Seq == want:
		v.breach(Changed, "entry %d does not have the hash that its content and the entry before it lead to", want)
	case e.Seq < want:
		v.breach(Reordered, "entry %d stands where entry %d belongs", e.Seq, want)
	case v.stillThere(want):
		v.breach(Reordered, "entry %d stands where entry %d belongs, which stands further on", e.Seq, want)
	default:
		v.breach(Removed, "entries %d to %d are missing", want, e.Seq-1)
	}
}

// stillThere looks for an entry's number in the rest of the log.
func (v *verifier) stillThere(seq uint64) bool {
	segments, err := segmentsOf(v.dir)
	if err != nil {
		return false
	}
	from, _ := segmentNumber(v.file)
	for _, n := range segments {
		if n >= from && holds(filepath.Join(v.dir, segmentName(n)), seq) {
			return true
		}
	}
	return false
}

func holds(path string, seq uint64) bool {
	r, err := openLines(path)
	if err != nil {
		return false
	}
	defer r.close()
	for {
		line, err := r.next()
		if err != nil {
			return false
		}
		if e, err := parse(line); err == nil && e.Seq == seq {
			return true
		}
	}
}

func (v *verifier) listUnknown() {
	v.report.UnknownCount = len(v.open)
	sorted := slices.SortedFunc(maps.Values(v.open), func(a, b Unknown) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	v.report.Unknown = sorted[:min(len(sorted), maxUnknown)]
}
