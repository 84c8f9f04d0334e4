package policy

import (
	"hash/maphash"
	"testing"
)

// TestCollision forges what a hash cannot promise to prevent: a path with the hashes of another pattern is
// not taken for it, and two patterns with one hash make the index choose another seed.
func TestCollision(t *testing.T) {
	seed := maphash.MakeSeed()
	for _, text := range []string{"service/x", "service/x/**", "service/*/x"} {
		p, r := parseResource(text)
		if r != nil {
			t.Fatal(r.message)
		}
		set := newPatternSet(kindPath, 2)
		if !set.add(seed, &p, 0) {
			t.Fatal("the first pattern has no room")
		}
		if set.add(seed, &p, 1) {
			t.Errorf("%s: two patterns share a hash", text)
		}
		for asked, want := range map[string]int{"service/x/x": 1, "service/y/y": 0} {
			if text == "service/x" {
				asked = asked[:len("service/x")]
			}
			var real, forged path
			real.push(seed, "service/x/x"[:len(asked)])
			forged.push(seed, asked)
			forged.hashes = real.hashes
			var found matches
			if set.find(&forged, &found); found.n != want {
				t.Errorf("%s for %s: %d found", text, asked, found.n)
			}
		}
	}
}
