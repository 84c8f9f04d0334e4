package bff

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"html/template"
	"net/http"
	"net/url"
	"slices"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway/route"
)

// said is what the silent page tells the page that frames it.
type said struct {
	Version  int    `json:"v"`
	LoggedIn bool   `json:"loggedIn"`
	CSRF     string `json:"csrftoken,omitempty"`
	Reason   string `json:"reason,omitempty"`
}

// ReasonCookies is what the silent page says where the browser keeps none of our cookies in the frame, since the page
// around it is of another site: only a navigation can log in there.
const ReasonCookies = "cookies_blocked"

// silentScript says the answer to one exact origin, never to whoever is around (RFC 9700, section 4.17).
const silentScript = `parent.postMessage(JSON.parse(document.documentElement.dataset.answer), document.documentElement.dataset.origin)`

const silentPage = `<!doctype html>
<html data-answer="{{.Answer}}" data-origin="{{.Origin}}"><meta charset="utf-8"><title>Intercom</title><script>{{.Script}}</script></html>
`

// silent is the one page of ours that may be framed, and by listed origins only. Without a session it asks the
// provider once, without showing anything, and says what came of it.
func (h *Handler) silent(w http.ResponseWriter, r *http.Request, o route.Origin) error {
	q := r.URL.Query()
	from := q.Get("origin")
	if from != o.URL && !slices.Contains(o.Frames, from) {
		return fault.New(fault.Denied, ReasonOrigin, "this origin may not frame the silent login")
	}
	id, _, _, err := h.find(r, o)
	answer := said{Version: 1}
	switch {
	case err == nil:
		answer.LoggedIn, answer.CSRF = true, CSRFToken([]byte(id.Cookie()))
	case fault.KindOf(err) == fault.Unauthenticated && !q.Has("asked"):
		if h.Provider.Answers(r.Context()) != nil {
			answer.Reason = ReasonAway
			break
		}
		back := h.prefix() + "/silent?" + url.Values{"origin": {from}, "asked": {""}}.Encode()
		http.Redirect(w, r, h.prefix()+"/login?"+url.Values{"prompt": {"none"}, "return_to": {back}}.Encode(), http.StatusFound)
		return nil
	case fault.KindOf(err) == fault.Unauthenticated && len(r.Cookies()) == 0:
		answer.Reason = ReasonCookies // the login that was tried has set one
	default:
		answer.Reason = codeOf(err)
	}
	return writeSilent(w, from, answer)
}

func writeSilent(w http.ResponseWriter, from string, answer said) error {
	page, err := template.New("silent").Parse(silentPage)
	if err != nil {
		return err
	}
	text, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(silentScript))
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+
		"'; base-uri 'none'; frame-ancestors "+from)
	return page.Execute(w, map[string]any{"Answer": string(text), "Origin": from, "Script": template.JS(silentScript)})
}
