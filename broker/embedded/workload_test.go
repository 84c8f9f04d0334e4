package embedded_test

import (
	"context"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/intercom-broker/intercom/broker/embedded"
)

func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestX509Source(t *testing.T) {
	d := newDomain(t, embedded.Config{})
	id := d.ID("/orders")
	ctx := soon(t)
	s, err := workloadapi.NewX509Source(ctx, workloadapi.WithClientOptions(workloadapi.WithAddr(serve(t, d, id))))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	svid, err := s.GetX509SVID()
	if err != nil || svid.ID != id {
		t.Fatalf("%v: %v", svid, err)
	}
	first := serialOf(t, s)
	d.Rotate()
	if err := s.WaitUntilUpdated(ctx); err != nil {
		t.Fatal(err)
	}
	if serialOf(t, s) == first {
		t.Error("Rotate sent the old SVID again")
	}
	if err := d.RotateAuthority(); err != nil {
		t.Fatal(err)
	}
	if err := s.WaitUntilUpdated(ctx); err != nil {
		t.Fatal(err)
	}
	svid, _ = s.GetX509SVID()
	if _, _, err := x509svid.Verify(svid.Certificates, s); err != nil {
		t.Error(err)
	}
}

func TestX509SourceAtHalfLife(t *testing.T) {
	d := newDomain(t, embedded.Config{SVIDLife: 2 * time.Second})
	ctx, start := soon(t), time.Now()
	s, err := workloadapi.NewX509Source(ctx, workloadapi.WithClientOptions(workloadapi.WithAddr(serve(t, d, d.ID("/orders")))))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	first := serialOf(t, s)
	if err := s.WaitUntilUpdated(ctx); err != nil {
		t.Fatal(err)
	}
	if serialOf(t, s) == first {
		t.Error("the old SVID came again")
	}
	if took := time.Since(start); took < 500*time.Millisecond {
		t.Errorf("renewed after %v of 2 s", took)
	}
}

func TestJWTSourceAndBundleSource(t *testing.T) {
	a := newDomain(t, embedded.Config{Name: spiffeid.RequireTrustDomainFromString("a.test"), Issuer: "https://a.test"})
	b := newDomain(t, embedded.Config{Name: spiffeid.RequireTrustDomainFromString("b.test")})
	a.Federate(b)
	ctx := soon(t)
	opts := workloadapi.WithClientOptions(workloadapi.WithAddr(serve(t, a, a.ID("/orders"))))
	tokens, err := workloadapi.NewJWTSource(ctx, opts)
	if err != nil {
		t.Fatal(err)
	}
	defer tokens.Close()
	bundles, err := workloadapi.NewBundleSource(ctx, opts)
	if err != nil {
		t.Fatal(err)
	}
	defer bundles.Close()

	svid, err := tokens.FetchJWTSVID(ctx, jwtsvid.Params{Audience: "ledger", ExtraAudiences: []string{"crm"}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := jwtsvid.ParseAndValidate(svid.Marshal(), bundles, []string{"crm"})
	if err != nil || got.ID != a.ID("/orders") || got.Claims["iss"] != "https://a.test" {
		t.Errorf("%+v: %v", got, err)
	}
	if _, err := tokens.FetchJWTSVID(ctx, jwtsvid.Params{Audience: "x", Subject: a.ID("/other")}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("an identity that the socket is not: %v", err)
	}

	// A rotation in the federated domain arrives here.
	fromB := func() error {
		token, err := b.JWTSVID(b.ID("/y"), "ledger")
		if err != nil {
			t.Fatal(err)
		}
		_, err = jwtsvid.ParseAndValidate(token.Marshal(), bundles, []string{"ledger"})
		return err
	}
	if err := fromB(); err != nil {
		t.Error(err)
	}
	if err := b.RotateAuthority(); err != nil {
		t.Fatal(err)
	}
	for err := fromB(); err != nil; err = fromB() {
		if ctx.Err() != nil {
			t.Fatalf("b's new key never came: %v", err)
		}
		<-time.After(5 * time.Millisecond)
	}
	for { // the X.509 authorities come in a stream of their own
		bundle, err := bundles.GetBundleForTrustDomain(b.Name())
		if err == nil && len(bundle.X509Authorities()) == 2 {
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("b's bundle here: %v, %v", bundle, err)
		}
		<-time.After(5 * time.Millisecond)
	}
}

func TestValidateJWTSVID(t *testing.T) {
	d := newDomain(t, embedded.Config{})
	ctx := soon(t)
	client, err := workloadapi.New(ctx, workloadapi.WithAddr(serve(t, d, d.ID("/orders"))))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	token, err := d.JWTSVID(d.ID("/other"), "ledger")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := client.ValidateJWTSVID(ctx, token.Marshal(), "ledger"); err != nil || got.ID != token.ID {
		t.Errorf("%v: %v", got, err)
	}
	parts := strings.Split(token.Marshal(), ".")
	sig, _ := base64.RawURLEncoding.DecodeString(parts[2])
	sig[7] ^= 1
	parts[2] = base64.RawURLEncoding.EncodeToString(sig)
	for name, call := range map[string][2]string{
		"another audience":    {token.Marshal(), "crm"},
		"a changed signature": {strings.Join(parts, "."), "ledger"},
	} {
		if _, err := client.ValidateJWTSVID(ctx, call[0], call[1]); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHeaderIsDemanded(t *testing.T) {
	d := newDomain(t, embedded.Config{})
	conn, err := grpc.NewClient(serve(t, d, d.ID("/orders")), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := workload.NewSpiffeWorkloadAPIClient(conn)
	for _, header := range [][]string{nil, {"workload.spiffe.io", "false"}, {"workload.spiffe.io", "true", "workload.spiffe.io", "true"}} {
		ctx := metadata.AppendToOutgoingContext(soon(t), header...)
		_, err := client.FetchJWTSVID(ctx, &workload.JWTSVIDRequest{Audience: []string{"x"}})
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("unary with %q: %v", header, err)
		}
		stream, err := client.FetchX509SVID(ctx, &workload.X509SVIDRequest{})
		if err == nil {
			_, err = stream.Recv()
		}
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("stream with %q: %v", header, err)
		}
	}
}
