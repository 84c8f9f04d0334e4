// Package policies holds the model that Intercom ships, the sample policy that `intercom dev` runs with,
// and the cases that show what the sample allows.
package policies

import (
	"embed"
	"io/fs"
)

//go:embed model.conf policy.csv *.txtar
var files embed.FS

//go:embed model.conf
var model string

// Model returns the shipped model.conf.
func Model() string { return model }

// FS returns the directory as it is shipped: the model, the sample policy and its cases.
func FS() fs.FS { return files }
