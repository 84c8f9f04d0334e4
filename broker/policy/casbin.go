package policy

import (
	"fmt"
	"strings"

	"github.com/casbin/casbin/v2"
	"github.com/casbin/casbin/v2/effector"
	"github.com/casbin/casbin/v2/model"
	"github.com/casbin/govaluate"
)

// reference is Casbin itself with a model of the operator's own. It looks at every rule.
type reference struct {
	enforcer *casbin.Enforcer
	request  []string         // the parts of a request, in the model's order
	place    map[string]int32 // the first rule with these values
	empty    bool             // Casbin has no answer without rules when the model calls eval
}

// always is the condition of a rule that has none, for Casbin's eval.
const always = "true"

func modelProblem(format string, args ...any) error {
	return Problems{{File: modelFile, Message: fmt.Sprintf(format, args...)}}
}

// newReference checks what of the model can be checked, so that it does not fail at the first request.
func newReference(m model.Model) (*reference, error) {
	r := &reference{place: map[string]int32{}}
	if err := r.readModel(m); err != nil {
		return nil, err
	}
	enforcer, err := casbin.NewEnforcer(m)
	if err != nil {
		return nil, modelProblem("%v", err)
	}
	for name, f := range modelFunctions() {
		enforcer.AddFunction(name, f)
	}
	r.enforcer = enforcer
	return r, checkMatcher(m)
}

func (r *reference) readModel(m model.Model) error {
	for _, section := range []string{"r", "p", "e", "m"} {
		if m[section][section] == nil {
			return modelProblem("it has no %s", section)
		}
	}
	for _, token := range m["r"]["r"].Tokens {
		name := strings.TrimPrefix(token, "r_")
		if !strings.Contains(" subject action resource time claims properties context ", " "+name+" ") {
			return modelProblem("unknown part %q of a request: there are subject, action, resource, time, claims, properties and context", name)
		}
		r.request = append(r.request, name)
	}
	effect := m["e"]["e"].Value
	if _, _, err := effector.NewDefaultEffector().MergeEffects(effect, []effector.Effect{effector.Indeterminate}, []float64{0}, 0, 1); err != nil {
		return modelProblem("unsupported policy_effect %q", effect)
	}
	return nil
}

// modelFunctions are what a matcher may call besides Casbin's own.
func modelFunctions() map[string]govaluate.ExpressionFunction {
	functions := conditionFunctions()
	functions["subjectMatch"] = matchFunc(subjectMatch)
	functions["resourceMatch"] = matchFunc(resourceMatch)
	return functions
}

func matchFunc(match func(value, pattern string) bool) govaluate.ExpressionFunction {
	return func(args ...any) (any, error) {
		if len(args) != 2 {
			return nil, fmt.Errorf("want a value and a pattern, got %d arguments", len(args))
		}
		value, ok1 := args[0].(string)
		pattern, ok2 := args[1].(string)
		if !ok1 || !ok2 {
			return nil, fmt.Errorf("want a value and a pattern, got %T and %T", args[0], args[1])
		}
		return match(value, pattern), nil
	}
}

func checkMatcher(m model.Model) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = modelProblem("matcher cannot be read: %v", r)
		}
	}()
	fm := model.LoadFunctionMap()
	functions := fm.GetFunctions()
	for name, f := range modelFunctions() {
		functions[name] = f
	}
	nothing := func(...any) (any, error) { return false, nil }
	functions["eval"] = nothing
	for name := range m["g"] {
		functions[name] = nothing
	}
	if _, err := govaluate.NewEvaluableExpressionWithFunctions(m["m"]["m"].Value, functions); err != nil {
		return modelProblem("matcher: %v", err)
	}
	return nil
}

func placeKey(values []string) string { return strings.Join(values, "\x00") }

// decide asks Casbin once for the workload, and once for the user and for each of its groups.
func (r *reference) decide(q *question) answer {
	a := answer{workload: r.ask(q, q.Principal.Subject()), user: unmatched()}
	u := q.Principal.User
	if u == nil {
		return a
	}
	a.user = r.ask(q, u.SubjectName())
	for _, group := range u.Groups {
		a.user = a.user.or(r.ask(q, groupPrefix+group))
	}
	return a
}

// or joins what two names of one user are told.
func (o outcome) or(p outcome) outcome {
	switch {
	case o.stop < 0 && o.err == nil:
		o.stop, o.err = p.stop, p.err
	case p.stop >= 0 && p.err == nil && (o.err != nil || p.stop < o.stop):
		o.stop, o.err = p.stop, nil
	}
	o.allowed = o.allowed || p.allowed
	if o.allow < 0 || (p.allow >= 0 && p.allow < o.allow) {
		o.allow = p.allow
	}
	return o
}

func (r *reference) ask(q *question, subject string) outcome {
	o := unmatched()
	if r.empty {
		return o
	}
	ok, by, err := r.enforcer.EnforceEx(r.values(q, subject)...)
	place := r.place[placeKey(by)] - 1
	switch {
	case err != nil:
		o.err = err
	case ok: // where an effect allows what nothing denies, no rule did it
		o.allowed, o.allow = true, place
	default:
		o.stop = place
	}
	return o
}

func (r *reference) values(q *question, subject string) []any {
	e := q.env()
	values := make([]any, len(r.request))
	for i, name := range r.request {
		switch name {
		case "subject":
			values[i] = subject
		case "action":
			values[i] = q.Action
		case "resource":
			values[i] = q.Resource.String()
		case "time":
			values[i] = e.time
		case "claims":
			values[i] = e.claims
		case "properties":
			values[i] = e.properties
		case "context":
			values[i] = plainMap(q.Context, 0)
		}
	}
	return values
}
