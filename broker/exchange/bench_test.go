package exchange_test

import (
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/audit"
	"github.com/intercom-broker/intercom/broker/exchange"
	"github.com/intercom-broker/intercom/broker/token"
)

// BenchmarkExchange compares an exchange, without the network, with what it cannot do without: one
// signature and two entries in the log.
func BenchmarkExchange(b *testing.B) {
	broker, ctx := newBroker(b), as(b, ordersID)
	b.Run("exchange", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := broker.Exchange(ctx, exchange.Request{Audience: []string{"ledger"}, Scope: []string{"read"}}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("floor", func(b *testing.B) {
		b.ReportAllocs()
		claims := map[string]any{"iss": issuer, "sub": ordersID.String(), "aud": "ledger", "exp": time.Now().Add(time.Minute).Unix()}
		for b.Loop() {
			if _, err := broker.Signer.Sign(ctx, token.Type, claims); err != nil {
				b.Fatal(err)
			}
			for _, kind := range []audit.Kind{audit.KindDecision, audit.KindOutcome} {
				e := audit.Event{Decision: audit.NewID(), Kind: kind, Subject: ordersID.String(), Action: "exchange", Resource: "audience/ledger", Allow: true}
				if err := broker.Point.Recorder.Record(ctx, e); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
