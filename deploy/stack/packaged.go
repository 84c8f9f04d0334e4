package stack

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// packaged is a component that Debian builds: nothing of it is built or kept here.
type packaged struct {
	binary
	debian []string
}

// find returns the path of the program, and installs its packages where that is allowed. The version is
// asked for after it as well: a distribution may bring another one than the tests were written against.
func (p packaged) find(ctx context.Context) (string, error) {
	if file := p.onPath(ctx); file != "" {
		return file, nil
	}
	if !may("install") {
		return "", &MissingError{
			Component: p.name,
			Cure:      fmt.Sprintf("it is not on PATH as %q; apt-get install %s, or run with %s=install", p.says, strings.Join(p.debian, " "), envStack),
		}
	}
	if err := p.install(ctx); err != nil {
		return "", err
	}
	if file := p.onPath(ctx); file != "" {
		return file, nil
	}
	return "", fmt.Errorf("stack: %s is not there as %q after installing %s", p.name, p.says, strings.Join(p.debian, " "))
}

func (p packaged) install(ctx context.Context) error {
	unlock, err := lockCache(ctx, p.name)
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := exec.LookPath(p.name); err == nil { // the one that we waited for installed it
		return nil
	}
	return aptInstall(ctx, p.debian...)
}
