// Package cli is what the mains share: signals, version, exit codes, and how an error looks to a person.
//
// The rules of the terminal: results go to stdout, everything else to stderr; an error is one line that
// begins with the program's name, and a cure, where we know one, is a second line that begins with
// "hint:". Colour appears only on a terminal, and never when NO_COLOR is set.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// The exit codes of every binary.
const (
	OK     = 0 // done, allowed, valid
	Failed = 1 // it was tried and did not work, or the answer is no
	Usage  = 2 // the command line is wrong; nothing was tried
)

// Version is the module's version, or the commit it was built from.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return "devel-" + s.Value[:min(12, len(s.Value))]
		}
	}
	return "devel"
}

// Main runs root until it is done or a SIGINT or SIGTERM cancels its context, and returns the exit code.
// A second signal ends the process at once.
func Main(root *cobra.Command) int {
	signal.Ignore(syscall.SIGPIPE) // a reader that goes away is an error of the write, not the end of the process
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return Run(ctx, root, os.Stderr)
}

// Run is Main without signals: it executes root and reports its error to stderr.
func Run(ctx context.Context, root *cobra.Command, stderr io.Writer) int {
	started := false
	prepare(root, &started)
	cmd, err := root.ExecuteContextC(ctx)
	switch {
	case err == nil:
		return OK
	case errors.Is(err, Silent):
		return Failed
	case errors.Is(err, errUsage), !started: // cobra's own complaints come before anything runs
		report(stderr, root.Name(), Hint(err, "%s --help", cmd.CommandPath()))
		return Usage
	default:
		report(stderr, root.Name(), err)
		return Failed
	}
}

// prepare gives every command the same manners.
func prepare(root *cobra.Command, started *bool) {
	root.SilenceErrors, root.SilenceUsage = true, true
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetVersionTemplate(root.Name() + " version {{.Version}}\n")
	root.SetFlagErrorFunc(unknownFlag)
	noteStart(root, started)
	onceEach(root)
	setVersion(root, Version())
}

func setVersion(c *cobra.Command, version string) {
	c.Version = version
	for _, sub := range c.Commands() {
		setVersion(sub, version)
	}
}

// noteStart sets started as soon as a command's own code runs.
func noteStart(c *cobra.Command, started *bool) {
	if run := c.RunE; run != nil {
		c.RunE = func(cmd *cobra.Command, args []string) error {
			*started = true
			return run(cmd, args)
		}
	}
	for _, sub := range c.Commands() {
		noteStart(sub, started)
	}
}

func report(w io.Writer, name string, err error) {
	fmt.Fprintf(w, "%s: error: %v\n", name, err)
	if h, ok := errors.AsType[*hinted](err); ok {
		fmt.Fprintf(w, "hint: %s\n", h.hint)
	}
}

// Silent is the error of a command that has said everything already and only wants exit code 1.
var Silent = errors.New("already reported") //nolint:errname,staticcheck // reads as cli.Silent; it is a state, not a failure's name

var (
	errUsage = errors.New("usage")
	errTwice = errors.New("it is given twice, and holds one value")
)

type usageError struct{ error }

func (e usageError) Is(target error) bool { return target == errUsage }

// Usagef returns an error about the command line: exit code 2.
func Usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

type hinted struct {
	error
	hint string
}

func (h *hinted) Unwrap() error { return h.error }

// Hint adds the cure to err; it is printed on a line of its own. An err that has one keeps it: who was
// nearer to the mistake knows better.
func Hint(err error, format string, args ...any) error {
	if _, ok := errors.AsType[*hinted](err); ok || err == nil {
		return err
	}
	return &hinted{error: err, hint: fmt.Sprintf(format, args...)}
}

// Interactive reports whether w is a terminal.
func Interactive(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
