package policy

import (
	"encoding/json"
	"reflect"
)

const maxDepth = 16

// plainMap copies m, reduced to what JSON can say. What JSON cannot say is left out, and so are levels
// below maxDepth: a condition that asks for them fails, and so denies.
func plainMap(m map[string]any, depth int) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		if p, ok := plain(v, depth); ok {
			out[k] = p
		}
	}
	return out
}

func plain(v any, depth int) (any, bool) {
	if depth > maxDepth {
		return nil, false
	}
	switch v := v.(type) {
	case nil, bool, string, float64:
		return v, true
	case json.Number:
		f, err := v.Float64()
		return f, err == nil
	case map[string]any:
		return plainMap(v, depth+1), true
	case []any:
		return plainList(len(v), func(i int) any { return v[i] }, depth)
	}
	return plainKind(reflect.ValueOf(v), depth)
}

func plainKind(v reflect.Value, depth int) (any, bool) {
	switch {
	case v.CanInt():
		return float64(v.Int()), true
	case v.CanUint():
		return float64(v.Uint()), true
	case v.CanFloat():
		return v.Float(), true
	case v.Kind() == reflect.String:
		return v.String(), true
	case v.Kind() == reflect.Bool:
		return v.Bool(), true
	case v.Kind() == reflect.Slice:
		return plainList(v.Len(), func(i int) any { return v.Index(i).Interface() }, depth)
	}
	return nil, false
}

func plainList(n int, at func(int) any, depth int) (any, bool) {
	out := make([]any, 0, n)
	for i := range n {
		p, ok := plain(at(i), depth+1)
		if !ok {
			return nil, false // a list with a hole would answer `in` and `==` wrongly
		}
		out = append(out, p)
	}
	return out, true
}
