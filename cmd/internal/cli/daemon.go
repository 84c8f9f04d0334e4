package cli

import (
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// Daemon is [Main] for a process that serves until it is asked to end: a SIGHUP does not end it, and reloads nothing.
// A command at a terminal ends with it, as its reader has gone.
func Daemon(root *cobra.Command) int {
	defer hearHangups(os.Stderr, root.Name())()
	return Main(root)
}

// hangups is what a SIGHUP changes, for who sent one as a habit.
const hangups = "SIGHUP changes nothing: the policy, service files, keys and our own certificates are read again whenever they change; the configuration, and the authorities that it names, at a start"

// hearHangups writes a line of a log for each SIGHUP, in the form of the process' own: that one is not open yet while the
// process starts, and a start must not end by it either.
func hearHangups(out io.Writer, name string) (stop func()) {
	log := slog.New(slog.NewJSONHandler(out, nil)).With("program", name)
	heard := make(chan os.Signal, 1)
	signal.Notify(heard, syscall.SIGHUP)
	go func() {
		for range heard {
			log.Warn(hangups)
		}
	}()
	return func() {
		signal.Stop(heard)
		close(heard)
	}
}
