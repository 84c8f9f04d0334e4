package inject

import (
	"net/url"
	"strings"

	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/hygiene"
	"github.com/intercom-broker/intercom/broker/service"
)

// Query returns the query raw with the credential as its last parameter and without any that some reader
// could take for it: those whose name folds to the same, and PHP's name[]. A query of which parties may read
// different parameters is refused, since what one of them removes another might still see.
func Query(raw string, in *service.QueryRef, fields credential.Fields) (string, error) {
	value, err := pick(fields, fieldValue, fieldToken)
	if err != nil {
		return "", err
	}
	if !all(value.Reveal(), isText) {
		return "", unusable("it holds a control character: a newline at its end, perhaps")
	}
	var b strings.Builder
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		if _, err := url.QueryUnescape(pair); err != nil || strings.Contains(pair, ";") {
			return "", ambiguous()
		}
		key, _, _ := strings.Cut(pair, "=")
		name, _ := url.QueryUnescape(key)
		if name, _, _ = strings.Cut(name, "["); hygiene.SameField(name, in.Name) {
			continue
		}
		b.WriteString(pair)
		b.WriteByte('&')
	}
	b.WriteString(in.Name) // the file's grammar holds nothing that needs an escape
	b.WriteByte('=')
	b.WriteString(url.QueryEscape(string(value.Reveal())))
	return b.String(), nil
}

// ReasonQuery is the reason of a query that can be read in more than one way, where the way matters.
const ReasonQuery = "QUERY_AMBIGUOUS"

func ambiguous() error {
	return fault.New(fault.InvalidRequest, ReasonQuery, "the query holds a semicolon or a broken percent escape")
}
