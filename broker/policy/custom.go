package policy

import (
	"github.com/casbin/casbin/v2/model"
	"github.com/rogpeppe/go-internal/txtar"
)

// ownModel is what a start and `intercom check` say of an operator's own model.
const ownModel = "not the one that Intercom ships: Casbin decides, which takes time in proportion to the rules"

// compileCustom fills s for an operator's own model: the rules may have what columns the model says, and
// what Intercom can check of them without knowing its meaning is little.
func (s *Snapshot) compileCustom(src source) error {
	m, err := model.NewModelFromString(src.model)
	if err != nil {
		return modelProblem("%v", err)
	}
	ref, err := newReference(m)
	if err != nil {
		return err
	}
	c := custom{model: m, snapshot: s, ref: ref}
	if problems := c.files(src.files); len(problems) > 0 {
		return problems
	}
	if err := ref.enforcer.BuildRoleLinks(); err != nil {
		return modelProblem("%v", err)
	}
	ref.empty = len(s.rules) == 0
	s.casbin = ref
	s.findings = []Finding{{
		ID: FindingOwnModel, File: modelFile, Message: modelFile + " is " + ownModel,
		Cure: "delete it to have the shipped model, whose rules are indexed",
	}}
	return nil
}

// custom reads the rules of an operator's own model.
type custom struct {
	model    model.Model
	snapshot *Snapshot
	ref      *reference
}

func (c *custom) files(files []txtar.File) (problems Problems) {
	for _, f := range files {
		eachLine(f.Data, func(number int, line string) bool {
			if r := c.line(f.Name, number, line); r != nil {
				problems = append(problems, &Problem{File: f.Name, Line: number, Message: r.message, Cure: r.cure})
			}
			return len(problems) < maxProblems
		})
	}
	return problems
}

func (c *custom) line(file string, number int, line string) *refusal {
	values, r := lineValues(line)
	if r != nil {
		return r
	}
	kind := values[0]
	if kind == "" || (kind[0] != 'p' && kind[0] != 'g') || c.model[kind[:1]][kind] == nil {
		return refuse("", "%s has no %q", modelFile, kind)
	}
	definition := c.model[kind[:1]][kind]
	want := len(definition.Tokens)
	if kind == "p" && len(values) == want && definition.Tokens[want-1] == "p_condition" {
		values = append(values, always)
	}
	if len(values)-1 != want {
		return refuse("", "%d columns after %s; the model has %d", len(values)-1, kind, want)
	}
	if kind == "p" {
		if r := c.rule(file, number, line, definition.Tokens, values[1:]); r != nil {
			return r
		}
	}
	// Not by Casbin's loader, which takes two rules for one when they agree once joined by commas.
	if err := c.model.AddPolicy(kind[:1], kind, values[1:]); err != nil {
		return refuse("", "%v", err)
	}
	return nil
}

func (c *custom) rule(file string, number int, line string, tokens, values []string) *refusal {
	r := compiled{Rule: Rule{File: file, Line: number, Effect: allow}}
	r.Text, r.indent = unindent(line)
	for i, token := range tokens {
		switch token {
		case "p_subject":
			r.Subject = values[i]
		case "p_action":
			r.Action = values[i]
		case "p_resource":
			r.Resource = values[i]
		case "p_condition":
			if values[i] == "" {
				values[i] = always
			}
			r.Condition = values[i]
		case "p_eft":
			if r := checkEffect(values[i]); r != nil {
				return r
			}
			r.Effect, r.deny = values[i], values[i] == deny
		}
	}
	if key := placeKey(values); c.ref.place[key] == 0 {
		c.ref.place[key] = int32(len(c.snapshot.rules)) + 1
	}
	c.snapshot.rules = append(c.snapshot.rules, r)
	return nil
}
