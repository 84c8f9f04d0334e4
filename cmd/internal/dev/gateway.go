package dev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/intercom-broker/intercom/broker/embedded/openid"
	"github.com/intercom-broker/intercom/broker/gateway"
)

// usualGateway is the gateway's address where nobody else listens.
const usualGateway = "127.0.0.1:8480"

// The names by which the parts know each other.
const (
	gatewayClient  = "gateway"
	brokerAudience = "intercom" // what the provider calls the broker
)

// localhost is the origin of an address on loopback, as browsers want it: to them localhost is as good as https.
func localhost(address string) string {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return "http://" + address
	}
	return "http://localhost:" + port
}

// addressOf is where the listener of an URL on localhost is.
func addressOf(origin string) string {
	return strings.Replace(strings.TrimPrefix(origin, "http://"), "localhost", "127.0.0.1", 1)
}

// startProvider starts where alice and bob log in. It knows the gateway by its SVID, so there is no secret.
func (w *World) startProvider(ctx context.Context) error {
	p, err := openid.New(openid.Config{
		Issuer: w.Provider, Bundles: w.domain.Bundle(),
		Clients: []openid.Client{{
			ID: gatewayClient, SPIFFEID: w.domain.ID("/gateway"), Audiences: []string{brokerAudience},
			RedirectURIs:           []string{w.Gateway + "/bff/callback"},
			PostLogoutRedirectURIs: []string{w.Gateway + "/bff/logout/return"},
			BackchannelLogoutURI:   w.Gateway + "/bff/backchannel-logout",
		}},
	})
	if err != nil {
		return err
	}
	service, err := newDemo(ctx, "provider", addressOf(w.Provider), p)
	if err != nil {
		return err
	}
	w.running.Go(func() error { return service.run(ctx) })
	return nil
}

func (w *World) startGateway(ctx context.Context) error {
	log, err := os.OpenFile(w.path("gateway.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	g, err := gateway.New(ctx, w.gatewayConfig(io.MultiWriter(log, w.alerts)))
	if err != nil {
		return errors.Join(fmt.Errorf("the gateway: %w", err), log.Close())
	}
	w.GatewayAdmin = g.Addresses().Admin
	w.running.Go(func() error {
		defer log.Close()
		return g.Run(ctx)
	})
	return nil
}

func (w *World) gatewayConfig(log io.Writer) gateway.Config {
	return gateway.Config{
		Version:  1,
		Listen:   gateway.Listen{Address: addressOf(w.Gateway), Admin: "127.0.0.1:0"},
		Origins:  []gateway.Origin{{URL: w.Gateway}},
		Provider: gateway.Provider{Issuer: w.Provider, ClientID: gatewayClient, Scopes: []string{"profile", "groups"}, Claims: []string{"name"}, Auth: "svid"},
		Sessions: gateway.Sessions{Memory: true},
		Identity: gateway.Identity{Socket: w.socket("gateway")},
		Brokers: gateway.Brokers{
			ID:   gateway.ID{ID: spiffeid.RequireFromString("spiffe://intercom.test/broker")},
			Mesh: []string{w.Mesh}, Egress: []string{w.Egress}, Audience: brokerAudience,
		},
		Services:  w.path("services"),
		Policy:    w.path("policy"),
		Audit:     gateway.Audit{Dir: w.path("gateway-audit")},
		LogOutput: log,
		Unsafe:    gateway.Unsafe{Plaintext: true, PlaintextUpstreams: true},
	}
}

// frontend is the upstream of the page: ours, or a frontend developer's own server.
func (w *World) frontend() string {
	if w.own != "" {
		return w.own
	}
	return "http://" + w.portal
}

// checkFrontend refuses what is no server on this machine.
func checkFrontend(text string) error {
	u, err := url.Parse(text)
	if text == "" {
		return nil
	}
	if err == nil && u.Scheme == "http" && u.User == nil && u.Path == "" && onLoopback(u.Hostname()) {
		if port, err := strconv.ParseUint(u.Port(), 10, 16); err == nil && port > 0 {
			return nil
		}
	}
	return fmt.Errorf("--frontend: want a server on this machine such as http://localhost:5173, got %.128q", text)
}

func onLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// checkGateway refuses an address that is not on loopback: dev is for this machine.
func checkGateway(address string) error {
	host, _, err := net.SplitHostPort(address)
	if address == "" || err == nil && onLoopback(host) {
		return nil
	}
	return fmt.Errorf("--gateway: want an address on loopback such as %s, got %.128q", usualGateway, address)
}

// portal is the page to click through.
func portal() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(rw, portalPage)
	})
	return mux
}
