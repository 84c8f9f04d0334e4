package bff

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"net/http"
)

// scripts are the module by which pages speak to us, and its types for editors.
//
//go:embed script
var scripts embed.FS

// script serves a file of the module to pages of the origin and of those on its list. It is asked for anew each time,
// which costs a 304: who updates the gateway has updated the pages.
func (h *Handler) script(name, kind string) http.HandlerFunc {
	name = "script/" + name
	data, _ := scripts.ReadFile(name) // embedded: it is there
	sum := sha256.Sum256(data)
	tag := `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
	return func(w http.ResponseWriter, r *http.Request) {
		origin, ok := h.Origins.Of(r)
		if !ok {
			h.Refuse(w, r, errOrigin())
			return
		}
		AddCORS(w.Header(), r, origin)
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("ETag", tag)
		http.ServeFileFS(w, r, scripts, name)
	}
}
