package main

import (
	"fmt"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/islm-dev/islm/core/libtorch"
	"github.com/islm-dev/islm/core/modelstore"
)

func (a *app) store() (*modelstore.Store, error) {
	home, err := a.home()
	if err != nil {
		return nil, err
	}
	return &modelstore.Store{Dir: filepath.Join(home, "models"), Hub: modelstore.HubFromEnv(a.getenv)}, nil
}

func (a *app) model() *cobra.Command {
	cmd := &cobra.Command{Use: "model", Short: "List, inspect and fetch base models"}
	cmd.AddCommand(a.modelList(), a.modelInspect(), a.modelPull())
	return cmd
}

func (a *app) modelNames(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	store, err := a.store()
	if err != nil {
		return nil, cobra.ShellCompDirectiveDefault
	}
	models, err := store.List()
	if err != nil {
		return nil, cobra.ShellCompDirectiveDefault
	}
	var names []string
	for _, m := range models {
		names = append(names, m.Name)
	}
	return names, cobra.ShellCompDirectiveDefault
}

func (a *app) modelList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the models of the model store", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			store, err := a.store()
			if err != nil {
				return err
			}
			models, err := store.List()
			if err != nil {
				return err
			}
			if a.json {
				for _, m := range models {
					if err := a.print(m); err != nil {
						return err
					}
				}
				return nil
			}
			if len(models) == 0 {
				a.say("the model store %s is empty; 'make bootstrap' or 'islm model pull' fills it", store.Dir)
			}
			w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
			for _, m := range models {
				from := ""
				if m.Source != nil {
					from = m.Source.ID
				}
				fmt.Fprintf(w, "%s\t%s\t%s\n", m.Name, libtorch.Bytes(m.Bytes), from)
			}
			return w.Flush()
		},
	}
}

func (a *app) modelInspect() *cobra.Command {
	return &cobra.Command{
		Use: "inspect MODEL", Short: "Describe a model folder without loading it, and say what is wrong with it",
		Args: cobra.ExactArgs(1), ValidArgsFunction: a.modelNames,
		RunE: func(_ *cobra.Command, args []string) error {
			store, err := a.store()
			if err != nil {
				return err
			}
			m, err := store.Find(args[0])
			if err != nil {
				return err
			}
			card, ds, err := modelstore.Inspect(m.Dir)
			if err != nil {
				return err
			}
			more, err := m.Verify()
			if err != nil {
				return err
			}
			ds = append(ds, more...)
			if a.json {
				if err := a.print(card); err != nil {
					return err
				}
			} else {
				row := func(k, format string, args ...any) {
					fmt.Fprintf(a.stdout, "%-12s "+format+"\n", append([]any{k}, args...)...)
				}
				row("folder", "%s", card.Dir)
				row("architecture", "%s (%v)", card.Type, card.Architectures)
				row("size", "%d layers, hidden %d, %d attention heads, at most %d tokens", card.Layers, card.Hidden, card.Heads, card.MaxLength)
				row("parameters", "%d in %d tensors, %s, %v", card.Parameters, card.Tensors, libtorch.Bytes(card.Bytes), card.Weights)
				row("vocabulary", "%d; tokenizer %s, %d pieces, lower-case %v", card.Vocab, card.Tokenizer.Kind, card.Tokenizer.Vocab, card.Tokenizer.Lowercase)
				if len(card.Labels) > 0 {
					row("labels", "%v", card.Labels)
				}
				if len(card.Requires) > 0 {
					row("needs islm", "%v", card.Requires)
				}
			}
			if err := ds.Err(); err != nil {
				return err
			}
			a.problems(ds)
			return nil
		},
	}
}

func (a *app) modelPull() *cobra.Command {
	var revision string
	cmd := &cobra.Command{
		Use: "pull ID", Short: "Fetch a model from a Hugging Face hub into the model store",
		Long: "Fetch a model from a Hugging Face hub into the model store. HF_ENDPOINT, HF_TOKEN, HF_HOME and\nHF_HUB_OFFLINE are obeyed. A transfer that was cut off goes on where it stopped.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			store, err := a.store()
			if err != nil {
				return err
			}
			last := ""
			store.Hub.Progress = func(p modelstore.Progress) {
				if p.FileIsReady && p.File != last {
					last = p.File
					a.say("%s  %s  (%d of %d)", p.File, libtorch.Bytes(p.Size), p.Index, p.Of)
				}
			}
			m, err := store.Pull(cmd.Context(), args[0], revision)
			if err != nil {
				return err
			}
			if a.json {
				return a.print(m)
			}
			fmt.Fprintln(a.stdout, m.Dir)
			return nil
		},
	}
	cmd.Flags().StringVar(&revision, "revision", "", "branch, tag or commit (default main)")
	return cmd
}
