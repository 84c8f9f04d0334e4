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
func script(name, kind string, h *Handler) http.HandlerFunc {
	data, err := scripts.ReadFile("script/" + name)
	sum := sha256.Sum256(data)
	tag := `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
	return func(w http.ResponseWriter, r *http.Request) {
		origin, ok := h.Origins.Of(r)
		switch {
		case err != nil || !ok || r.Method != http.MethodGet && r.Method != http.MethodHead:
			http.NotFound(w, r)
			return
		case r.Header.Get("Origin") != "":
			AddCORS(w.Header(), r, origin)
		}
		head := w.Header()
		head.Set("Content-Type", kind)
		head.Set("Cache-Control", "no-cache")
		head.Set("Etag", tag)
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = w.Write(data)
	}
}
