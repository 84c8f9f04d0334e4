package openid

import (
	"html/template"
	"net/http"
	"strings"
)

// page is what a person sees.
type page struct {
	Title, Text     string
	Login           bool
	Action, Request string
	Name            string
	Users           []User
	Confirm         string   // a logout that waits for a yes
	Frames          []string // front-channel logout
	Continue        string
}

// layout needs nothing from elsewhere: no script, no font, no picture. Inputs have labels, and the form works
// with Tab and Enter alone.
const layout = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}}</title>
<style>
:root { color-scheme: light dark; font: 1.1rem/1.5 system-ui, sans-serif }
body { max-width: 24rem; margin: 10vh auto; padding: 0 1rem }
label { display: block; margin-top: 1rem }
input, button { font: inherit; width: 100%; box-sizing: border-box; padding: .6rem; margin-top: .2rem }
button { margin-top: 1.5rem; cursor: pointer }
:focus-visible { outline: 3px solid Highlight; outline-offset: 2px }
iframe { display: none }
</style>
<main>
<h1>{{.Title}}</h1>
{{with .Text}}<p role="status">{{.}}</p>{{end}}
{{if .Login}}<form method="post" action="{{.Action}}">
<input type="hidden" name="request" value="{{.Request}}">
<label for="username">Name</label>
<input id="username" name="username" value="{{.Name}}" autocomplete="username" autocapitalize="none" required {{if not .Name}}autofocus{{end}}>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required {{if .Name}}autofocus{{end}}>
<button>Log in</button>
</form>
<p>This provider is for trying things out. The password of each user is the name:
{{range $i, $u := .Users}}{{if $i}}, {{end}}<code>{{$u.Name}}</code>{{end}}.</p>{{end}}
{{with .Confirm}}<form method="post"><input type="hidden" name="confirm" value="{{.}}"><button autofocus>Log out</button></form>{{end}}
{{range .Frames}}<iframe src="{{.}}" title="logout"></iframe>{{end}}
{{with .Continue}}<p><a href="{{.}}">Continue</a></p>{{end}}
</main>
`

// page writes a page that nobody may frame. form-action is left open: a browser applies it to the redirect
// after the form too, which goes to the client.
func (p *Provider) page(w http.ResponseWriter, status int, content page) {
	var frames strings.Builder
	for _, f := range content.Frames {
		frames.WriteString(" " + origin(f))
	}
	csp := "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
	if frames.Len() > 0 {
		csp += "; frame-src" + frames.String()
	}
	w.Header().Set("Content-Security-Policy", csp)
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_ = p.layout.Execute(w, content)
}

func parseLayout() *template.Template { return template.Must(template.New("page").Parse(layout)) }
