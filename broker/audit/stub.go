package audit

import (
	"context"
	"crypto/ed25519"
	"iter"
)

type Report struct{}

func Verify(dir string, key ed25519.PublicKey) (Report, error) { panic("not yet") }

type TailConfig struct {
	Follow bool
	From   uint64
	Last   int
}

func Tail(ctx context.Context, dir string, cfg TailConfig) iter.Seq2[Entry, error] {
	panic("not yet")
}

func Find(dir, decision string) ([]Entry, error) { panic("not yet") }
