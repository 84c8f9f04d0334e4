package dev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// browser is as much of one as the check needs. Package cookiejar would not do: it sends no Secure cookie over
// http, also not to localhost, where browsers do.
type browser struct {
	cookies map[string]map[string]string // by host
}

func newBrowser() *browser { return &browser{map[string]map[string]string{}} }

// do sends one request and follows nothing. headers are names and values in turn.
func (b *browser) do(ctx context.Context, method, target string, form url.Values, headers ...string) (a answer, err error) {
	req, err := http.NewRequestWithContext(ctx, method, target, strings.NewReader(form.Encode()))
	if err != nil {
		return a, err
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	for name, value := range b.cookies[req.URL.Host] {
		req.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return a, err
	}
	defer res.Body.Close()
	b.keep(req.URL.Host, res.Cookies())
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return answer{res.StatusCode, res.Header, string(body)}, err
}

func (b *browser) keep(host string, cookies []*http.Cookie) {
	if b.cookies[host] == nil {
		b.cookies[host] = map[string]string{}
	}
	for _, c := range cookies {
		if b.cookies[host][c.Name] = c.Value; c.MaxAge < 0 {
			delete(b.cookies[host], c.Name)
		}
	}
}

// navigate opens an address, and follows where it leads.
func (b *browser) navigate(ctx context.Context, target string) (answer, error) {
	for range 10 {
		a, err := b.do(ctx, http.MethodGet, target, nil, "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Sec-Fetch-Site", "same-origin")
		if err != nil || a.header.Get("Location") == "" {
			return a, err
		}
		if target, err = join(target, a.header.Get("Location")); err != nil {
			return a, err
		}
	}
	return answer{}, fmt.Errorf("%s leads nowhere", target)
}

func join(base, to string) (string, error) {
	u, err := url.Parse(base)
	if err != nil {
		return "", err
	}
	next, err := u.Parse(to)
	if err != nil {
		return "", err
	}
	return next.String(), nil
}

// login goes from the gateway to the provider's page, types the name, and comes back.
func (b *browser) login(ctx context.Context, gateway, provider, name string) (answer, error) {
	a, err := b.navigate(ctx, gateway+"/bff/login?return_to=/")
	if err != nil {
		return a, err
	}
	field := regexp.MustCompile(`name="request" value="([^"]*)"`).FindStringSubmatch(a.body)
	if field == nil {
		return a, fmt.Errorf("the provider shows no login: %d %.200s", a.status, a.body)
	}
	a, err = b.do(ctx, http.MethodPost, provider+"/login", url.Values{"request": {field[1]}, "username": {name}, "password": {name}})
	if err != nil {
		return a, err
	}
	back := a.header.Get("Location")
	if back == "" {
		return a, errors.New("the provider does not lead back")
	}
	return b.navigate(ctx, back)
}
