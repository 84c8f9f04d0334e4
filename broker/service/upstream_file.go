package service

import (
	"errors"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/intercom-broker/intercom/broker/strict"
)

// UnmarshalYAML implements [yaml.Unmarshaler].
func (u *upstream) UnmarshalYAML(n *yaml.Node) error {
	type plain upstream
	if n.Kind == yaml.ScalarNode {
		err := strict.Node(n, &u.URL)
		return errors.Join(err, u.one(n))
	}
	if err := strict.Node(n, (*plain)(u)); err != nil {
		return err
	}
	return errors.Join(u.places(n), checkDial(strict.Field(n, "dial"), u.Dial))
}

// places holds that there is one form, and afterwards has both: all targets, and the first as the URL.
func (u *upstream) places(n *yaml.Node) error {
	targets := strict.Field(n, "targets")
	switch given := targets != n; {
	case given && strict.Field(n, "url") != n:
		return strict.At(targets, "targets: want one of url and targets: the targets are all that there is")
	case given && len(u.Targets) == 0:
		return strict.At(targets, "targets: an empty list reaches nothing")
	case given:
		return u.several(targets)
	case u.URL.IsZero():
		return strict.At(n, "want one of url and targets")
	}
	return u.one(strict.Field(n, "url"))
}

func (u *upstream) one(n *yaml.Node) error {
	if u.URL.IsZero() {
		return nil // said already
	}
	err := checkPlace(n, &u.URL)
	u.Targets = []strict.URL{u.URL}
	return err
}

// several holds that the targets are instances of one service: a request may go to any of them.
func (u *upstream) several(n *yaml.Node) error {
	var errs []error
	for i := range u.Targets {
		at, t := n.Content[i], &u.Targets[i]
		if err := checkPlace(at, t); err != nil {
			errs = append(errs, err)
			continue
		}
		first := u.Targets[0]
		switch same := func(o strict.URL) bool { return Origin(&o.URL) == Origin(&t.URL) }; {
		case first.Scheme != t.Scheme || first.Path != t.Path:
			errs = append(errs, strict.At(at, "targets[%d]: want the scheme and the path of the first: they are instances of one service", i))
		case slices.ContainsFunc(u.Targets[:i], same):
			errs = append(errs, strict.At(at, "targets[%d]: stands twice", i))
		}
	}
	u.URL = u.Targets[0]
	return errors.Join(errs...)
}

// checkPlace holds the grammar of one base URL, and writes the root path as none.
func checkPlace(n *yaml.Node, u *strict.URL) error {
	var errs []error
	refuse := func(format string, args ...any) { errs = append(errs, strict.At(n, format, args...)) }
	if s := u.Scheme; s != "http" && s != "https" {
		refuse("want an http or https URL, got %.64q", s)
	}
	if u.RawQuery != "" || u.ForceQuery {
		refuse("want a URL without a query")
	}
	if p := u.Path; p == "/" {
		u.Path = ""
	} else if p != "" && (u.RawPath != "" || path.Clean(p) != p || strings.ContainsAny(p, `\;`)) {
		refuse("want a plain path: no trailing or doubled slash, no dot segment, no escape")
	}
	return errors.Join(errs...)
}
