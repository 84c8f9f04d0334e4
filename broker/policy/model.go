package policy

import (
	"strings"

	"github.com/intercom-broker/intercom/policies"
)

// sameModel reports whether two model.conf say the same, whatever their comments and white space.
func sameModel(a, b string) bool { return normalModel(a) == normalModel(b) }

// shipped reports whether text is the model that the index implements.
func shipped(text string) bool { return sameModel(text, policies.Model()) }

// normalModel joins continued lines and drops comments, as Casbin's reader does, and all white space.
func normalModel(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if i := strings.IndexAny(line, "#;"); i >= 0 {
			line = strings.TrimSpace(line[:i])
		}
		line, continued := strings.CutSuffix(line, `\`)
		b.WriteString(strings.Join(strings.Fields(line), ""))
		if !continued && line != "" {
			b.WriteByte('\n')
		}
	}
	return b.String()
}
