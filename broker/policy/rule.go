package policy

import (
	"encoding/csv"
	"slices"
	"strings"
)

const (
	allow = "allow"
	deny  = "deny"
)

// Actions lists the actions that rules may name.
func Actions() []string {
	return []string{
		ActionVend, ActionExchange, ActionCall, ActionEvaluate, ActionExplain, ActionIntrospect, ActionReflect, ActionAdmin,
	}
}

// compiled is a Rule as it is kept.
type compiled struct {
	Rule
	condition *condition
	deny      bool
	indent    int // white space before the text
}

// parsed is a Rule on its way into the index.
type parsed struct {
	compiled
	subject, resource pattern
}

// link is one g line: member has role.
type link struct {
	file         string
	line         int
	member, role string
}

// splitLine reads one CSV line as Casbin's adapters do, except that white space after a field goes too:
// Casbin would take `deny ` for neither allow nor deny.
func splitLine(line string) ([]string, error) {
	values := strings.Split(line, ",")
	if strings.Contains(line, `"`) {
		r := csv.NewReader(strings.NewReader(line))
		r.TrimLeadingSpace = true
		var err error
		if values, err = r.Read(); err != nil {
			return nil, err
		}
	}
	for i := range values {
		values[i] = strings.TrimSpace(values[i])
	}
	return values, nil
}

// joinLine writes fields so that splitLine reads them back.
func joinLine(values ...string) string {
	for i, v := range values {
		if strings.ContainsAny(v, `",`) {
			values[i] = `"` + strings.ReplaceAll(v, `"`, `""`) + `"`
		}
	}
	return strings.Join(values, ", ")
}

// parseRule reads the values after `p`.
func parseRule(values []string) (parsed, *refusal) {
	var c parsed
	if len(values) != 4 && len(values) != 5 {
		return c, refuse("write p, subject, action, resource, effect and, where there is one, a condition (in double quotes if it has a comma)",
			"%d columns after p", len(values))
	}
	c.Subject, c.Action, c.Resource, c.Effect = values[0], values[1], values[2], values[3]
	if len(values) == 5 {
		c.Condition = values[4]
	}
	if r := checkEffect(c.Effect); r != nil {
		return c, r
	}
	c.deny = c.Effect == deny
	if r := checkAction(c.Action, c.deny); r != nil {
		return c, r
	}
	var r *refusal
	if c.subject, r = parseSubject(c.Subject); r != nil {
		return c, r
	}
	if c.resource, r = parseResource(c.Resource); r != nil {
		return c, r
	}
	if !c.deny && (c.Subject == anything || c.Resource == anything) {
		return c, refuse("name what is allowed: an allow for everything would grant what is added later", "`**` alone stands in deny rules only")
	}
	c.condition, r = parseCondition(c.Condition)
	return c, r
}

// checkEffect refuses what Casbin takes silently for neither: with `Deny` a rule would deny nothing.
func checkEffect(effect string) *refusal {
	if effect == allow || effect == deny {
		return nil
	}
	cure := "write allow or deny"
	if lower := strings.ToLower(effect); lower == allow || lower == deny {
		cure = "write " + lower
	}
	return refuse(cure, "unknown effect %q", effect)
}

func checkAction(action string, deny bool) *refusal {
	switch {
	case slices.Contains(Actions(), action), deny && action == one:
		return nil
	case action == one:
		return refuse("name each action: an allow for all would grant actions that are added later", "action `*` stands in deny rules only")
	}
	return refuse("the actions are "+strings.Join(Actions(), ", "), "unknown action %q", action)
}

// parseLink reads the values after `g`.
func parseLink(values []string) (link, *refusal) {
	var l link
	if len(values) != 2 {
		return l, refuse("write g, member, role:NAME", "%d columns after g", len(values))
	}
	l.member, l.role = values[0], values[1]
	for _, name := range values {
		p, r := parseSubject(name)
		if r != nil {
			return l, r
		}
		if !p.literal() {
			return l, refuse("write a rule with the pattern instead", "pattern %q in g: members and roles are literal", name)
		}
	}
	if !strings.HasPrefix(l.role, rolePrefix) {
		return l, refuse("write g, member, role:NAME", "%q is no role", l.role)
	}
	return l, nil
}
