package sealed

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/intercom-broker/intercom/broker/credential"
)

// exported is one credential as Export writes it: fields that are text as text, others in base64.
type exported struct {
	Name    credential.Name   `json:"name"`
	Version uint64            `json:"version"`
	Created time.Time         `json:"created"`
	Fields  map[string]string `json:"fields,omitempty"`
	Base64  map[string][]byte `json:"base64,omitempty"`
}

// Export writes the latest version of every credential to w as plain JSON, values revealed, for moving
// to another store. For a backup, copy the file: it is sealed, holds the older versions too, and needs
// nothing but the key.
func (s *Store) Export(ctx context.Context, w io.Writer) error {
	doc, err := s.document(ctx)
	if err != nil {
		return err
	}
	all := []exported{}
	for _, name := range doc.names("") {
		c, err := doc.read(name)
		if err != nil {
			return err
		}
		all = append(all, export(c))
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(map[string]any{"credentials": all}); err != nil {
		return fmt.Errorf("export of the sealed store: %w", err)
	}
	return nil
}

func export(c credential.Credential) exported {
	e := exported{Name: c.Name, Version: c.Version, Created: c.Created, Fields: map[string]string{}, Base64: map[string][]byte{}}
	for field, value := range c.Fields {
		if b := value.Reveal(); utf8.Valid(b) {
			e.Fields[field] = string(b)
		} else {
			e.Base64[field] = b
		}
	}
	return e
}
