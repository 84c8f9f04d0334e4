// Package strict reads configuration and refuses what it does not understand.
//
// [Decode] reads one YAML document into structs. It names the file, the line and the column of
// everything that it refuses, all at once, with the likely cure: unknown and repeated keys, values of
// another sort than wanted, missing required keys, keys without a value, aliases, merge keys, tags and
// further documents. What one line says is what it means: an alias would make a line mean what another
// one says, and is the stuff of which decompression bombs are made.
//
// Structs say what they want by tags:
//
//	type Config struct {
//		Issuer strict.URL         `yaml:"issuer" required:"true" doc:"The https URL that tokens carry as iss."`
//		Teams  map[string]Team    `yaml:"teams" noun:"team" doc:"The teams by name."`
//	}
//
// `doc` is one sentence for people, which [Schema] hands on to editors. `noun` is what an entry of a map
// is called: `unknown key "nme" in team "blue"` instead of `… in teams.blue`.
//
// A type that wants more implements [yaml.Unmarshaler], decodes its node with [Node] into a type without
// that method, and names the place of what it refuses with [At]:
//
//	func (u *Upstream) UnmarshalYAML(n *yaml.Node) error {
//		type plain Upstream
//		if err := strict.Node(n, (*plain)(u)); err != nil {
//			return err
//		}
//		if u.Port == 0 {
//			return strict.At(strict.Field(n, "port"), "want a port from 1 to 65535")
//		}
//		return nil
//	}
package strict
