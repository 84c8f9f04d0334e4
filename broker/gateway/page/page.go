// Package page writes the few pages that the gateway has of its own: the hop to what another site led to, what went wrong,
// and the end of a session. They speak German and English, load nothing, and may not be framed (RFC 9700, section 4.16).
// None holds a script but the one that asks once more, whose script is a line of ours.
//
// An operator's theme is a folder: its style.css is put into every page, and a template of the same name as one
// of ours takes its place. What cannot be read or parsed ends the start.
package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"strings"
)

//go:embed templates
var ours embed.FS

// maxStyle bounds the style, which every page carries.
const maxStyle = 64 << 10

// Pages writes pages in one theme. It is safe for concurrent use.
type Pages struct {
	templates *template.Template
	policy    string // the Content-Security-Policy
	scripted  string // that of the pages with a script
}

// New returns the pages with a theme; nil means ours.
func New(theme fs.FS) (*Pages, error) {
	base, err := fs.Sub(ours, "templates")
	if err != nil {
		return nil, err
	}
	style, err := fs.ReadFile(base, "style.css")
	if err != nil {
		return nil, err
	}
	t, err := template.ParseFS(base, "*.html")
	if err == nil && theme != nil {
		style, err = themed(t, theme, style)
	}
	if err != nil {
		return nil, fmt.Errorf("pages: %w", err)
	}
	p := &Pages{policy: "default-src 'none'; img-src 'self' data:; style-src " + hashOf(style) + "; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"}
	p.scripted = p.policy + "; script-src " + hashOf([]byte(againScript))
	// The hash is that of the style as it stands in the page, so nothing may be put around it or changed in it.
	p.templates, err = t.New("style").Parse("<style>" + string(style) + "</style>")
	return p, err
}

// hashOf is how a policy names what stands in the page (Content Security Policy 3, section 2.3.1).
func hashOf(text []byte) string {
	sum := sha256.Sum256(text)
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

func themed(t *template.Template, theme fs.FS, style []byte) ([]byte, error) {
	entries, err := fs.ReadDir(theme, ".")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		switch name := e.Name(); {
		case name == "style.css":
			if style, err = fs.ReadFile(theme, name); err != nil {
				return nil, err
			}
			if len(style) > maxStyle || bytes.Contains(style, []byte("</")) || bytes.Contains(style, []byte("{{")) {
				return nil, fmt.Errorf("%s: want at most 64 KiB of plain CSS", name)
			}
		case strings.HasSuffix(name, ".html"):
			if t.Lookup(name) == nil {
				return nil, fmt.Errorf("%s: there is no page of that name", name)
			}
			if _, err := t.ParseFS(theme, name); err != nil {
				return nil, err
			}
		}
	}
	return style, nil
}

// againScript goes to the address where it stands, with the part behind # that a browser tells nobody. The page takes
// another address before: to the same one a browser would only scroll. To load it anew is no way either, since that is
// still the other site's wish.
const againScript = `const to=location.href;history.replaceState(null,"","?"+Math.random());location.replace(to)`

// Again leads to the very page that was asked for, by itself or by a click. A browser that came from another site sends no
// Strict cookie with what it was led to, but does with the request that a page of ours makes. It says nothing of a login,
// since nobody knows of one yet. Without scripts it leads there too, but for the part behind #.
func (p *Pages) Again(w http.ResponseWriter, r *http.Request) {
	p.write(w, r, http.StatusOK, "hop.html", map[string]any{"To": r.URL.RequestURI(), "Script": template.JS(againScript)})
}

// Problem says what went wrong, with a way back. code is for who is asked for help.
func (p *Pages) Problem(w http.ResponseWriter, r *http.Request, status int, code, back string) {
	p.write(w, r, status, "problem.html", map[string]any{"Code": code, "Back": back, "Again": status >= http.StatusInternalServerError})
}

// Unfit says that nobody can log in as things are set up: another try will not help. code is for who is asked for help.
func (p *Pages) Unfit(w http.ResponseWriter, r *http.Request, status int, code string) {
	p.write(w, r, status, "problem.html", map[string]any{"Code": code, "Unfit": true})
}

// Crowded says that the browser keeps too many cookies of this site, which the person can delete. code is for who is asked for
// help.
func (p *Pages) Crowded(w http.ResponseWriter, r *http.Request, code, again string) {
	p.write(w, r, http.StatusRequestHeaderFieldsTooLarge, "problem.html", map[string]any{"Code": code, "Back": again, "Crowded": true})
}

// NoLogin says that nobody can log in now, and that who is logged in is not concerned.
func (p *Pages) NoLogin(w http.ResponseWriter, r *http.Request, code, again string) {
	p.write(w, r, http.StatusServiceUnavailable, "nologin.html", map[string]any{"Code": code, "Again": again})
}

// Refused says why a page is not shown: not allowed, not there, or not now. code is for who is asked for help, and home where
// there is something else.
func (p *Pages) Refused(w http.ResponseWriter, r *http.Request, status int, code, home string) {
	again, to := status >= http.StatusInternalServerError, elsewhere(r, home)
	if again {
		to = ""
		if r.Method == http.MethodGet { // what a form has sent no link sends again
			to = r.URL.RequestURI()
		}
	}
	p.write(w, r, status, "refused.html", map[string]any{
		"Code": code, "To": to, "Denied": status == http.StatusForbidden, "Missing": status == http.StatusNotFound, "Again": again,
	})
}

// Barred says that a page is not shown as things are set up: another try will not help. code is for who is asked for help, and
// home where there is something else.
func (p *Pages) Barred(w http.ResponseWriter, r *http.Request, status int, code, home string) {
	p.write(w, r, status, "refused.html", map[string]any{"Code": code, "To": elsewhere(r, home), "Barred": true})
}

// elsewhere is home, and nowhere for who is there.
func elsewhere(r *http.Request, home string) string {
	if r.URL.RequestURI() == home {
		return ""
	}
	return home
}

// Unsent says that what a form has sent was not taken: nobody is logged in, and login is the way to be; or, where that is empty,
// it did not prove that the user has sent it. code is for who is asked for help.
func (p *Pages) Unsent(w http.ResponseWriter, r *http.Request, status int, code, login string) {
	p.write(w, r, status, "unsent.html", map[string]any{"Code": code, "Login": login})
}

// LoggedOut says that the session is over here; alive that the provider's may not be.
func (p *Pages) LoggedOut(w http.ResponseWriter, r *http.Request, back string, alive bool) {
	p.write(w, r, http.StatusOK, "loggedout.html", map[string]any{"Back": back, "Alive": alive})
}

// SignOut asks, where a link or a form says to sign out that is not this session's: any site can lead a browser to one.
// earlier says that it names another session.
func (p *Pages) SignOut(w http.ResponseWriter, r *http.Request, out, back string, earlier bool) {
	p.write(w, r, http.StatusForbidden, "signout.html", map[string]any{"Out": out, "Back": back, "Earlier": earlier})
}

func (p *Pages) write(w http.ResponseWriter, r *http.Request, status int, name string, data map[string]any) {
	data["Lang"] = language(r.Header.Get("Accept-Language"))
	var body bytes.Buffer
	if err := p.templates.ExecuteTemplate(&body, name, data); err != nil { // a theme's; ours are tested
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", p.policy)
	if data["Script"] != nil {
		h.Set("Content-Security-Policy", p.scripted)
	}
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Add("Vary", "Accept-Language")
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes())
}

// language returns the first language of the list that we speak (RFC 9110, section 12.5.4), whatever its
// weight: browsers send them in order.
func language(accept string) string {
	for part := range strings.SplitSeq(accept, ",") {
		tag, _, _ := strings.Cut(strings.TrimSpace(part), ";")
		primary, _, _ := strings.Cut(strings.ToLower(tag), "-")
		if primary == "de" || primary == "en" {
			return primary
		}
	}
	return "en"
}
