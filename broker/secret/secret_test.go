package secret_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/secret"
)

const planted = "pl4nted-s3cret"

// leaks are the ways in which the planted bytes would show under one of fmt's verbs.
func leaks() []string {
	b := []byte(planted)
	return []string{
		planted,
		fmt.Sprintf("%x", b), fmt.Sprintf("%X", b), fmt.Sprintf("%q", b),
		strings.Trim(fmt.Sprintf("%d", b), "[]"), strings.Trim(fmt.Sprintf("%o", b), "[]"),
		strings.Trim(fmt.Sprintf("%b", b), "[]"), strings.Trim(fmt.Sprintf("%U", b), "[]"),
		strings.Trim(fmt.Sprintf("%c", b), "[]"), strings.Trim(fmt.Sprintf("%#v", b), "[]byte{}"),
	}
}

type (
	exported   struct{ V secret.Value }
	unexported struct{ v secret.Value }
	pointer    struct{ v *secret.Value }
	deep       struct{ in unexported }
	inMap      struct{ m map[string]secret.Value }
	inSlice    struct{ s []secret.Value }
	inAny      struct{ a any }
)

func nestings() map[string]any {
	v := secret.FromString(planted)
	return map[string]any{
		"itself": v, "pointer": &v, "exported": exported{v}, "unexported": unexported{v},
		"unexported pointer": pointer{&v}, "deep": deep{unexported{v}},
		"map": inMap{map[string]secret.Value{"k": v}}, "slice": inSlice{[]secret.Value{v}}, "any": inAny{v},
	}
}

func mustNotLeak(t *testing.T, where, got string) {
	t.Helper()
	for _, leak := range leaks() {
		if strings.Contains(got, leak) {
			t.Errorf("%s leaks: %s", where, got)
		}
	}
}

func TestNoVerbLeaks(t *testing.T) {
	for name, x := range nestings() {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%b", "%U", "%c", "%T"} {
			mustNotLeak(t, name+" under "+verb, fmt.Sprintf(verb, x))
		}
	}
}

func TestNoLoggerOrEncoderLeaks(t *testing.T) {
	for name, x := range nestings() {
		var text, js bytes.Buffer
		slog.New(slog.NewTextHandler(&text, nil)).Info("m", "x", x)
		slog.New(slog.NewJSONHandler(&js, nil)).Info("m", "x", x)
		mustNotLeak(t, name+" in slog text", text.String())
		mustNotLeak(t, name+" in slog JSON", js.String())
		j, _ := json.Marshal(x)
		mustNotLeak(t, name+" in JSON", string(j))
		xm, _ := xml.Marshal(x)
		mustNotLeak(t, name+" in XML", string(xm))
		mustNotLeak(t, name+" in an error", fmt.Errorf("failed: %v", x).Error())
	}
	if err := gob.NewEncoder(&bytes.Buffer{}).Encode(exported{secret.FromString(planted)}); err == nil {
		t.Error("gob encoded a secret")
	}
}

func TestRedactedIsNotReadBack(t *testing.T) {
	out, err := json.Marshal(exported{secret.FromString(planted)})
	if err != nil {
		t.Fatal(err)
	}
	var back exported
	if err := json.Unmarshal(out, &back); err == nil {
		t.Errorf("the placeholder was read back as a secret: %s", out)
	}
	if err := json.Unmarshal([]byte(`{"V":"fresh"}`), &back); err != nil || string(back.V.Reveal()) != "fresh" {
		t.Errorf("reading a value: %v", err)
	}
}

func TestEqualAndZero(t *testing.T) {
	a, b := secret.FromString("a"), secret.FromString("b")
	if a.Equal(b) || !a.Equal(secret.FromString("a")) || a.IsZero() {
		t.Error("Equal or IsZero is wrong for values that hold bytes")
	}
	if !(secret.Value{}).IsZero() || (secret.Value{}).Reveal() != nil {
		t.Error("the zero Value holds something")
	}
}
