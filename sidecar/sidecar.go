// Package sidecar is the small process beside each service.
package sidecar

import (
	"context"
)

// Config is the sidecar's file.
type Config struct{}

// Load reads the file.
func Load(file string) (*Config, error) { panic("not yet") }

// Sidecar is the assembly.
type Sidecar struct{}

// New opens everything that cfg names.
func New(ctx context.Context, cfg Config) (*Sidecar, error) { panic("not yet") }

// Run serves until ctx ends.
func (s *Sidecar) Run(ctx context.Context) error { panic("not yet") }
