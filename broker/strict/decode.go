package strict

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// decode reads n into v and goes on after each error, so that all of them are found.
func decode(n *yaml.Node, v reflect.Value) Errors {
	if errs := refuseNode(n); errs != nil {
		return errs
	}
	if v.Kind() == reflect.Pointer {
		target := reflect.New(v.Type().Elem())
		errs := decode(n, target.Elem())
		if len(errs) == 0 {
			v.Set(target)
		}
		return errs
	}
	switch u := v.Addr().Interface().(type) {
	case *yaml.Node:
		*u = *n
		return nil
	case yaml.Unmarshaler:
		return collect(n, u.UnmarshalYAML(n))
	case *time.Duration: // an int64 otherwise, and 15 would be nanoseconds
		return collect(n, (*Duration)(u).UnmarshalYAML(n))
	case encoding.TextUnmarshaler:
		return decodeText(n, u)
	}
	return decodeKind(n, v)
}

// refuseNode refuses what is not read anywhere.
func refuseNode(n *yaml.Node) Errors {
	switch {
	case n.Kind == yaml.AliasNode:
		return Errors{at(n, "aliases are not read: write the value out")}
	case n.Style&yaml.TaggedStyle != 0:
		return Errors{at(n, "tags are not read: leave %s out", quote(n.Tag))}
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null":
		return Errors{at(n, "no value: give it one, or leave the key out")}
	}
	return nil
}

func decodeText(n *yaml.Node, u encoding.TextUnmarshaler) Errors {
	text, err := Text(n, "text")
	if err != nil {
		return collect(n, err)
	}
	if err := u.UnmarshalText([]byte(text)); err != nil {
		return Errors{at(n, "%s", err)}
	}
	return nil
}

func decodeKind(n *yaml.Node, v reflect.Value) Errors {
	switch v.Kind() {
	case reflect.Struct:
		return decodeStruct(n, v)
	case reflect.Map:
		return decodeMap(n, v)
	case reflect.Slice:
		return decodeSlice(n, v)
	case reflect.String:
		text, err := Text(n, "text")
		v.SetString(text)
		return collect(n, err)
	case reflect.Bool:
		if n.ShortTag() != "!!bool" {
			return Errors{mismatch(n, "true or false")}
		}
		v.SetBool(strings.EqualFold(n.Value, "true"))
		return nil
	default:
		return decodeNumber(n, v)
	}
}

// decodeNumber reads decimal numbers only: 0755 is 755 to some readers and 493 to others.
func decodeNumber(n *yaml.Node, v reflect.Value) Errors {
	const whole = "a whole number"
	var err error
	switch {
	case v.CanInt():
		var i int64
		if i, err = strconv.ParseInt(n.Value, 10, v.Type().Bits()); err == nil {
			v.SetInt(i)
		}
	case v.CanUint():
		var u uint64
		if u, err = strconv.ParseUint(n.Value, 10, v.Type().Bits()); err == nil {
			v.SetUint(u)
		}
	case v.CanFloat():
		var f float64
		if f, err = strconv.ParseFloat(n.Value, v.Type().Bits()); err == nil {
			v.SetFloat(f)
		}
	default:
		panic(fmt.Sprintf("strict: cannot decode into %s", v.Type()))
	}
	leadingZero := len(n.Value) > 1 && n.Value[0] == '0' && n.Value[1] != '.'
	if tag := n.ShortTag(); tag != "!!int" && !(tag == "!!float" && v.CanFloat()) {
		return Errors{mismatch(n, whole)}
	} else if err != nil || leadingZero {
		return Errors{at(n, "want %s in decimal digits, got %s", whole, quote(n.Value))}
	}
	return nil
}

func decodeSlice(n *yaml.Node, v reflect.Value) (errs Errors) {
	if n.Kind != yaml.SequenceNode {
		return Errors{mismatch(n, "a list such as [a, b]")}
	}
	list := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, c := range n.Content {
		errs = append(errs, decode(c, list.Index(i)).inField("["+strconv.Itoa(i)+"]")...)
	}
	v.Set(list)
	return errs
}

func decodeMap(n *yaml.Node, v reflect.Value) (errs Errors) {
	entries, errs := mapping(n, "a mapping of names")
	m := reflect.MakeMapWithSize(v.Type(), len(entries))
	for _, e := range entries {
		value := reflect.New(v.Type().Elem()).Elem()
		errs = append(errs, decode(e.value, value).inField(e.key.Value)...)
		m.SetMapIndex(reflect.ValueOf(e.key.Value).Convert(v.Type().Key()), value)
	}
	v.Set(m)
	return errs
}

// decodeNouns is decodeMap for a field with a noun.
func decodeNouns(n *yaml.Node, v reflect.Value, noun string) (errs Errors) {
	entries, errs := mapping(n, "a mapping of "+noun+" names")
	m := reflect.MakeMapWithSize(v.Type(), len(entries))
	for _, e := range entries {
		value := reflect.New(v.Type().Elem()).Elem()
		errs = append(errs, decode(e.value, value).inNoun(noun, e.key.Value)...)
		m.SetMapIndex(reflect.ValueOf(e.key.Value).Convert(v.Type().Key()), value)
	}
	v.Set(m)
	return errs
}

type entry struct{ key, value *yaml.Node }

// mapping returns the entries of n without the repeated ones.
func mapping(n *yaml.Node, want string) (entries []entry, errs Errors) {
	if n.Kind != yaml.MappingNode {
		return nil, Errors{mismatch(n, want)}
	}
	first := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		switch line, again := first[key.Value]; {
		case key.ShortTag() == "!!merge":
			errs = append(errs, at(key, "merge keys are not read: write the values out"))
		case key.Kind != yaml.ScalarNode || key.Style&yaml.TaggedStyle != 0 || key.ShortTag() != "!!str":
			errs = append(errs, at(key, "want text as a key, got %s", describe(key)))
		case again:
			e := at(key, "key %s stands twice (first in line %d)", quote(key.Value), line)
			e.key = true
			errs = append(errs, e)
		default:
			first[key.Value] = key.Line
			entries = append(entries, entry{key, n.Content[i+1]})
		}
	}
	return entries, errs
}

// mismatch says that n is of another sort than wanted.
func mismatch(n *yaml.Node, want string) *Error {
	return at(n, "want %s, got %s", want, describe(n))
}

// describe says in words of the user what n is, and does not repeat it: it may be a secret in the wrong place.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.SequenceNode:
		return "a list"
	case yaml.MappingNode:
		return "a mapping"
	case yaml.AliasNode:
		return "an alias"
	}
	switch n.ShortTag() {
	case "!!null":
		return "nothing"
	case "!!bool":
		return "true or false"
	case "!!int", "!!float":
		return "a number"
	case "!!timestamp":
		return "a date"
	}
	return "text"
}
