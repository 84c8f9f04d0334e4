package strict

import (
	"strings"

	"github.com/agnivade/levenshtein"
)

// maxWord bounds the words that are compared: no name of ours is longer.
const maxWord = 64

// Suggest returns the known word that is nearest to word, and "" when none is near: at most a third of
// the letters may differ.
func Suggest(word string, known []string) string {
	if word == "" || len(word) > maxWord {
		return ""
	}
	best, least := "", len(word)/3+1
	for _, k := range known {
		if strings.EqualFold(k, word) || strings.ReplaceAll(k, "_", "") == strings.ReplaceAll(word, "-", "") {
			return k
		}
		if d := levenshtein.ComputeDistance(word, k); d < least || d == least && best == "" {
			best, least = k, d
		}
	}
	return best
}
