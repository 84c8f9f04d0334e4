package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/intercom-broker/intercom/cmd/internal/cli"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"intercom": func() { os.Exit(cli.Main(root())) },
	})
}

// TestScripts types the commands as users do.
func TestScripts(t *testing.T) {
	sample, err := filepath.Abs("../../deploy/sample")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{Dir: "testdata", Setup: func(e *testscript.Env) error {
		e.Setenv("SAMPLE", sample)
		return nil
	}})
}
