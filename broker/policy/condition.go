package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/casbin/casbin/v2/util"
	"github.com/casbin/govaluate"

	"github.com/intercom-broker/intercom/broker/identity"
)

const maxCondition = 1024

// fields is the closed list of what a condition may read, with what `intercom check` says of each.
func fields() [][2]string {
	return [][2]string{
		{"r.time.unix", "seconds since 1970; compare with a moment such as '2026-12-31T23:59:59Z'"},
		{"r.time.hour", "0 to 23, UTC"},
		{"r.time.minute", "0 to 59"},
		{"r.time.weekday", "'monday' to 'sunday', UTC"},
		{"r.claims.NAME", "a claim of the user; has(r.claims, 'NAME') asks for it, get(r.claims, 'NAME') reads any name"},
		{"r.properties.NAME", "a property of the resource; has and get as for claims"},
	}
}

// ConditionFields lists what a condition may read, each with a sentence about it.
func ConditionFields() (names, docs []string) {
	for _, f := range fields() {
		names, docs = append(names, f[0]), append(docs, f[1])
	}
	return names, docs
}

// condition is a parsed condition, nil where there is none.
type condition struct {
	expr *govaluate.EvaluableExpression
}

// conditionFunctions are what conditions may call. A claim that is missing is an error to an accessor, and
// so denies; has lets a rule say what it wants instead.
func conditionFunctions() map[string]govaluate.ExpressionFunction {
	return map[string]govaluate.ExpressionFunction{"has": hasFunc, "get": getFunc}
}

func member(args []any) (any, bool, error) {
	if len(args) != 2 {
		return nil, false, fmt.Errorf("want a field and a name, got %d arguments", len(args))
	}
	if _, left := args[0].(leftBehind); left {
		return nil, false, errors.New("the user came by a token of ours, in which claims do not travel")
	}
	m, ok1 := args[0].(map[string]any)
	name, ok2 := args[1].(string)
	if !ok1 || !ok2 {
		return nil, false, errors.New("want a field and a name")
	}
	v, ok := m[name]
	return v, ok, nil
}

func hasFunc(args ...any) (any, error) {
	_, ok, err := member(args)
	return ok, err
}

func getFunc(args ...any) (any, error) {
	v, ok, err := member(args)
	if err == nil && !ok {
		err = fmt.Errorf("there is no %q", args[1])
	}
	return v, err
}

const conditionCure = "conditions read r.time, r.claims and r.properties, and call has and get; strings stand in single quotes"

// parseCondition parses text as Casbin's eval will. Anything that Casbin would evaluate otherwise than it
// reads is refused: names and functions outside of the closed list, method calls, strings that look like a
// variable or like a moment without a zone.
func parseCondition(text string) (*condition, *refusal) {
	if text == "" {
		return nil, nil
	}
	if len(text) > maxCondition {
		return nil, refuse("", "condition of %d bytes; at most %d are read", len(text), maxCondition)
	}
	raw, err := parseExpression(text)
	if err != nil {
		return nil, refuse(conditionCure, "condition %q: %v", text, err)
	}
	expr, err := parseExpression(util.EscapeAssertion(text))
	if err != nil {
		return nil, refuse(conditionCure, "condition %q: %v", text, err)
	}
	written, meant := raw.Tokens(), expr.Tokens()
	if len(meant) == 0 || len(meant) != len(written) {
		return nil, refuse(conditionCure, "condition %q cannot be read", text)
	}
	for i := range meant {
		if message := checkToken(written, meant, i); message != "" {
			return nil, refuse(conditionCure, "condition %q: %s", text, message)
		}
	}
	return &condition{expr: expr}, nil
}

// parseExpression keeps govaluate's panics on odd input from ending the process.
func parseExpression(text string) (expr *govaluate.EvaluableExpression, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("cannot be read: %v", r)
		}
	}()
	return govaluate.NewEvaluableExpressionWithFunctions(text, conditionFunctions())
}

func checkToken(written, meant []govaluate.ExpressionToken, i int) string {
	t := meant[i]
	switch t.Kind {
	case govaluate.ACCESSOR:
		path := t.Value.([]string)
		if i+1 < len(meant) && meant[i+1].Kind == govaluate.CLAUSE {
			return strings.Join(path, ".") + " is called, but only has and get can be"
		}
		if w, ok := written[i].Value.([]string); !ok || w[0] != "r" || !knownField(path) {
			return fmt.Sprintf("unknown field %q", strings.Join(path, "."))
		}
	case govaluate.VARIABLE:
		argument := i > 1 && meant[i-2].Kind == govaluate.FUNCTION && meant[i-1].Kind == govaluate.CLAUSE
		name, _ := t.Value.(string)
		if !argument || written[i].Kind != govaluate.ACCESSOR || (name != "r_claims" && name != "r_properties") {
			return fmt.Sprintf("unknown name %q", name)
		}
	case govaluate.STRING:
		if t.Value != written[i].Value {
			return fmt.Sprintf("the text %q looks like a field inside a string", written[i].Value)
		}
	case govaluate.TIME:
		if moment, ok := t.Value.(time.Time); !ok || moment.Location() != time.UTC {
			return "a text that reads as a moment must be in UTC and end in Z, such as '2026-12-31T23:59:59Z'"
		}
	default: // numbers, operators, brackets and the two functions
	}
	return ""
}

func knownField(path []string) bool {
	switch path[0] {
	case "r_time":
		return len(path) == 2 && slices.Contains([]string{"unix", "hour", "minute", "weekday"}, path[1])
	case "r_claims", "r_properties":
		return len(path) >= 2
	}
	return false
}

// holds evaluates c. Whatever goes wrong is an error, also a result that is neither true nor false.
func (c *condition) holds(e environment) (ok bool, err error) {
	defer func() {
		if r := recover(); r != nil { // govaluate compares what Go cannot, such as two maps
			ok, err = false, fmt.Errorf("cannot be evaluated: %v", r)
		}
	}()
	result, err := c.expr.Eval(e)
	if err != nil {
		return false, err
	}
	ok, isBool := result.(bool)
	if !isBool {
		return false, fmt.Errorf("is neither true nor false but %T", result)
	}
	return ok, nil
}

// environment is what conditions read, in plain maps, floats, strings, bools and lists: no Go type whose
// methods an accessor could reach.
type environment struct {
	time, properties map[string]any
	claims           any // a map[string]any, or leftBehind
}

// leftBehind stands for claims that are not known. To ask whether there is a certain one fails too: "no"
// would let a user pass whom a rule denies for having it.
type leftBehind struct{}

func newEnvironment(r *Request) *environment {
	now := r.Time
	if now.IsZero() {
		now = time.Now()
	}
	e := &environment{time: clock(now), claims: map[string]any{}, properties: plainMap(r.Resource.Properties, 0)}
	switch u := r.Principal.User; {
	case u == nil:
	case u.Proof == identity.ByToken && u.Claims == nil:
		e.claims = leftBehind{}
	default:
		e.claims = plainMap(u.Claims, 0)
	}
	return e
}

// Get implements govaluate.Parameters with the names that Casbin gives the request's parts.
func (e environment) Get(name string) (any, error) {
	switch name {
	case "r_time":
		return e.time, nil
	case "r_claims":
		return e.claims, nil
	case "r_properties":
		return e.properties, nil
	}
	return nil, fmt.Errorf("no field %q", name)
}

func clock(t time.Time) map[string]any {
	t = t.UTC()
	return map[string]any{
		"unix": float64(t.Unix()), "hour": float64(t.Hour()), "minute": float64(t.Minute()),
		"weekday": strings.ToLower(t.Weekday().String()),
	}
}
