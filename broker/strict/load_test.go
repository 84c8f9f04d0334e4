package strict_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/strict"
)

type loaded struct {
	Dir   string `yaml:"dir"`
	Log   string `yaml:"log"`
	Level int    `yaml:"level"`
}

func (l *loaded) Paths() ([]*string, map[string]string) { return []*string{&l.Dir, &l.Log}, nil }

func (l *loaded) Validate() error {
	if l.Level > 1 {
		return errors.New("level: want 0 or 1")
	}
	return nil
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a.yaml")
	for _, c := range []struct{ text, dir, refusal string }{
		{"dir: audit\n", filepath.Join(dir, "audit"), ""},
		{"dir: /audit\n", "/audit", ""},
		{"level: 1\n", "", ""},
		{"dir: audit\nlvl: 1\n", filepath.Join(dir, "audit"), "a.yaml:2:1: "},
		{"dir: audit\nlevel: 2\n", filepath.Join(dir, "audit"), "a.yaml:2:8: level: want 0 or 1"},
		{"dir: a # " + strings.Repeat("x", strict.MaxBytes), "", "larger than 16 MiB"},
	} {
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		var got loaded
		err := strict.Load(file, &got)
		if got.Dir != c.dir || (err == nil) != (c.refusal == "") || err != nil && !strings.Contains(err.Error(), c.refusal) {
			t.Errorf("%.20q: %+v, %v", c.text, got, err)
		}
	}
	if err := strict.Load(filepath.Join(dir, "none.yaml"), &loaded{}); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
