package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/intercom-broker/intercom/broker"
	"github.com/intercom-broker/intercom/broker/audit"
	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/credential/sealed"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/cmd/internal/cli"
)

// storeFlags say which sealed file and which audit log a command is about.
type storeFlags struct{ config, file, key, audit string }

func (f *storeFlags) add(c *cobra.Command) {
	c.PersistentFlags().StringVar(&f.config, "config", "", "the broker's file, which names store, key and audit log")
	c.PersistentFlags().StringVar(&f.file, "store", "", "instead of --config: the sealed file")
	c.PersistentFlags().StringVar(&f.key, "key", "", "instead of --config: where its key is, file:/path or env:NAME")
	c.PersistentFlags().StringVar(&f.audit, "audit", "", "instead of --config: the audit log's directory")
}

// resolve fills the flags from the broker's file.
func (f *storeFlags) resolve() error {
	if f.config != "" {
		cfg, err := broker.LoadConfig(f.config)
		if err != nil {
			return err
		}
		if cfg.Store.Sealed == nil {
			return cli.Hint(fmt.Errorf("%s: the store is not a sealed file", f.config), "use the store's own tool, such as vault kv put")
		}
		f.file, f.key, f.audit = cfg.Store.Sealed.Path, cfg.Store.Sealed.Key.String(), cfg.Audit.Dir
	}
	if f.file == "" || f.key == "" || f.audit == "" {
		return cli.Usagef("want --config, or --store, --key and --audit")
	}
	return nil
}

// open resolves the flags, records the command, and opens the store: what is not recorded is not done.
func (f *storeFlags) open(ctx context.Context, action, name string, create bool) (*sealed.Store, error) {
	if err := f.resolve(); err != nil {
		return nil, err
	}
	key, err := sealed.ReadKey(f.key)
	if err != nil {
		return nil, err
	}
	store, err := sealed.Open(sealed.Config{Path: f.file, Key: key, MustExist: !create})
	if err != nil {
		return nil, err
	}
	return store, audit.Append(ctx, f.audit, operatorEvent(action, strings.TrimSuffix("credential/"+name, "/")))
}

func credentialCommand() *cobra.Command {
	var f storeFlags
	c := group("credential", "Keep the credentials of a sealed file; a running broker sees changes within a second",
		credentialPut(&f), credentialGet(&f), credentialList(&f), credentialDelete(&f), credentialRekey(&f), credentialExport(&f))
	f.add(c)
	return c
}

func credentialPut(f *storeFlags) *cobra.Command {
	return &cobra.Command{
		Use: "put NAME FIELD=- | FIELD=@FILE ...", Short: "Write the next version of a credential",
		Long: `Write the next version of a credential. Each field comes from standard input
(FIELD=-, one line; on a terminal it is asked for and not shown) or from a file
(FIELD=@FILE). A value on the command line is refused: others on the machine
could read it there. The field "username" is no secret and may stand there.`,
		Example: "  intercom credential put crm/login username=intercom password=- --config broker.yaml",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := credential.ParseName(args[0])
			if err != nil {
				return err
			}
			fields, err := readFields(args[1:], cmd.InOrStdin(), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			store, err := f.open(cmd.Context(), "credential-put", args[0], true)
			if err != nil {
				return err
			}
			version, err := store.Write(cmd.Context(), name, fields)
			if err == nil {
				fmt.Fprintf(cmd.OutOrStdout(), "%s is at version %d\n", name, version)
			}
			return err
		},
	}
}

func readFields(args []string, in io.Reader, prompt io.Writer) (credential.Fields, error) {
	fields, lines := credential.Fields{}, bufio.NewReader(in)
	for _, arg := range args {
		name, from, found := strings.Cut(arg, "=")
		if !found || name == "" {
			return nil, cli.Usagef("%q: want FIELD=- or FIELD=@FILE", name)
		}
		if _, twice := fields[name]; twice {
			return nil, cli.Usagef("the field %s is given twice", name)
		}
		value, err := readField(name, from, in, lines, prompt)
		if err != nil {
			return nil, err
		}
		fields[name] = value
	}
	return fields, nil
}

func readField(name, from string, in io.Reader, lines *bufio.Reader, prompt io.Writer) (secret.Value, error) {
	switch file, isFile := strings.CutPrefix(from, "@"); {
	case isFile:
		data, err := os.ReadFile(file)
		return secret.New([]byte(strings.TrimSuffix(string(data), "\n"))), err
	case from == "-":
		return readLine(name, in, lines, prompt)
	case name == "username":
		return secret.FromString(from), nil
	default:
		return secret.Value{}, cli.Usagef("the value of %s may not stand on the command line: write %s=- or %s=@FILE", name, name, name)
	}
}

func readLine(name string, in io.Reader, lines *bufio.Reader, prompt io.Writer) (secret.Value, error) {
	if f, ok := in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprintf(prompt, "%s: ", name)
		typed, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(prompt)
		return secret.New(typed), err
	}
	line, err := lines.ReadBytes('\n')
	if err != nil && (err != io.EOF || len(line) == 0) {
		return secret.Value{}, fmt.Errorf("no line for %s on standard input", name)
	}
	return secret.New([]byte(strings.TrimRight(string(line), "\r\n"))), nil
}

func credentialGet(f *storeFlags) *cobra.Command {
	var reveal bool
	c := &cobra.Command{
		Use: "get NAME", Short: "Print a credential's metadata; its values only with --reveal", Args: cobra.ExactArgs(1),
		Example: "  intercom credential get crm/login --config broker.yaml",
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := credential.ParseName(args[0])
			if err != nil {
				return err
			}
			action := "credential-get"
			if reveal {
				action = "credential-reveal"
			}
			store, err := f.open(cmd.Context(), action, args[0], false)
			if err != nil {
				return err
			}
			cred, err := store.Read(cmd.Context(), name)
			if err != nil {
				return err
			}
			printCredential(cmd.OutOrStdout(), cred, reveal)
			return nil
		},
	}
	c.Flags().BoolVar(&reveal, "reveal", false, "print the values too")
	return c
}

func printCredential(w io.Writer, c credential.Credential, reveal bool) {
	fmt.Fprintf(w, "name     %s\nversion  %d\ncreated  %s\n", c.Name, c.Version, c.Created.Format("2006-01-02T15:04:05Z07:00"))
	for _, field := range c.Fields.Names() {
		value := c.Fields[field].String()
		if reveal {
			value = string(c.Fields[field].Reveal())
		}
		fmt.Fprintf(w, "field    %s = %s\n", field, value)
	}
}

func credentialList(f *storeFlags) *cobra.Command {
	return &cobra.Command{
		Use: "list [PREFIX]", Short: "List credentials with their versions", Args: cobra.MaximumNArgs(1),
		Example: "  intercom credential list crm --config broker.yaml",
		RunE: func(cmd *cobra.Command, args []string) error {
			prefix := credential.Name(strings.Join(args, ""))
			store, err := f.open(cmd.Context(), "credential-list", string(prefix), false)
			if err != nil {
				return err
			}
			names, err := store.List(cmd.Context(), prefix)
			if err != nil {
				return err
			}
			return printNames(cmd.Context(), cmd.OutOrStdout(), store, names)
		},
	}
}

func printNames(ctx context.Context, w io.Writer, store *sealed.Store, names []credential.Name) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, name := range names {
		c, err := store.Read(ctx, name)
		if err != nil {
			return err
		}
		fmt.Fprintf(table, "%s\t%d\t%s\t%s\n", name, c.Version, c.Created.Format("2006-01-02T15:04:05Z07:00"), strings.Join(c.Fields.Names(), " "))
	}
	return table.Flush()
}

func credentialDelete(f *storeFlags) *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME", Short: "Forget all versions of a credential", Args: cobra.ExactArgs(1),
		Example: "  intercom credential delete crm/login --config broker.yaml",
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := credential.ParseName(args[0])
			if err != nil {
				return err
			}
			store, err := f.open(cmd.Context(), "credential-delete", args[0], false)
			if err != nil {
				return err
			}
			if _, err := store.Read(cmd.Context(), name); err != nil {
				return err
			}
			return store.Delete(cmd.Context(), name)
		},
	}
}

func credentialRekey(f *storeFlags) *cobra.Command {
	var to string
	c := &cobra.Command{
		Use: "rekey", Short: "Seal the file with another key", Args: cobra.NoArgs,
		Example: "  intercom credential rekey --to file:/etc/intercom/key-2 --config broker.yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			key, err := sealed.ReadKey(to)
			if err != nil {
				return err
			}
			store, err := f.open(cmd.Context(), "credential-rekey", "", false)
			if err != nil {
				return err
			}
			if err := store.Rekey(cmd.Context(), key); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is sealed with the key of %s\n", filepath.Base(f.file), to)
			return nil
		},
	}
	c.Flags().StringVar(&to, "to", "", "where the new key is, file:/path or env:NAME")
	_ = c.MarkFlagRequired("to")
	return c
}

func credentialExport(f *storeFlags) *cobra.Command {
	var reveal bool
	c := &cobra.Command{
		Use: "export --reveal", Short: "Write all credentials to standard output as JSON, values included", Args: cobra.NoArgs,
		Example: "  intercom credential export --reveal --config broker.yaml | age -r RECIPIENT > credentials.age",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !reveal {
				return cli.Usagef("an export shows every value: say --reveal; for a sealed copy, copy the file")
			}
			store, err := f.open(cmd.Context(), "credential-export", "", false)
			if err != nil {
				return err
			}
			return store.Export(cmd.Context(), cmd.OutOrStdout())
		},
	}
	c.Flags().BoolVar(&reveal, "reveal", false, "yes, show every value")
	return c
}
