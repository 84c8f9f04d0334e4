package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/intercom-broker/intercom/cmd/internal/cli"
	"github.com/intercom-broker/intercom/cmd/internal/dev"
)

func devCommand() *cobra.Command {
	var cfg dev.Config
	var check bool
	c := &cobra.Command{
		Use: "dev", Short: "Run everything in one process on loopback, to try; not for production", Args: cobra.NoArgs,
		Example: "  intercom dev\n  intercom dev --check\n  intercom dev --frontend http://localhost:5173",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDev(cmd.Context(), cmd.OutOrStdout(), cfg, check)
		},
	}
	c.Flags().BoolVar(&check, "check", false, "walk through it, print a row per step, and end; exit 0 only when all behaved")
	c.Flags().StringVar(&cfg.Dir, "dir", "", "where everything is written and kept; a temporary directory when absent")
	c.Flags().StringVar(&cfg.Sidecar, "sidecar", "", "the sidecar's address; 127.0.0.1:4140, or a free port when that is taken")
	c.Flags().StringVar(&cfg.Gateway, "gateway", "", "the gateway's address; 127.0.0.1:8480, or a free port when that is taken")
	c.Flags().StringVar(&cfg.Frontend, "frontend", "", "a frontend's own server, such as http://localhost:5173, to show behind the gateway in place of our page")
	return c
}

func runDev(ctx context.Context, out io.Writer, cfg dev.Config, check bool) (err error) {
	if !check {
		cfg.Alerts = out
	}
	began := time.Now()
	w, err := dev.Start(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if check {
		fmt.Fprintf(out, "ready after %v in %s; not for production\n", time.Since(began).Round(time.Millisecond), w.Dir)
		if !w.Check(ctx, out) {
			return cli.Silent
		}
		return nil
	}
	w.Page(out)
	return w.Wait()
}
