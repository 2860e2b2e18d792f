package main

import (
	"fmt"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/islm-dev/islm/core"
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
	cmd := &cobra.Command{Use: "model", Short: "List, inspect and fetch models, merge adapters"}
	cmd.AddCommand(a.modelList(), a.modelInspect(), a.modelPull(), a.modelMerge(false), a.modelMerge(true))
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

func (a *app) modelMerge(back bool) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use: "merge ADAPTER", Short: "Make a plain model of an adapter folder and its base",
		Long: `Make a plain Hugging Face folder of an adapter folder and its base: the update
becomes part of the weights. The result is loaded and scored again. Adapters of
the LoRA family and ia3 can be merged; bottlenecks, virtual tokens cannot.`,
		Example: "  islm model merge runs/news-lora --out runs/news",
		Args:    cobra.ExactArgs(1),
	}
	if back {
		cmd.Use, cmd.Short = "unmerge MODEL", "Take a merged adapter out of a model again"
		cmd.Long = "Take the adapter out of a folder that 'islm model merge' wrote: OUT becomes the\nbase, OUT/adapter the adapter."
		cmd.Example = "  islm model unmerge runs/news --out runs/parts"
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if out == "" {
			return usageError{fmt.Errorf("--out is needed")}
		}
		engine, err := a.engine()
		if err != nil {
			return err
		}
		store, err := a.store()
		if err != nil {
			return err
		}
		if back {
			res, err := core.Unmerge(cmd.Context(), engine, args[0], out)
			if err != nil {
				return err
			}
			if a.json {
				return a.print(res)
			}
			if res.Weights == nil {
				a.say("%s: base and adapter; the original base is not here to compare with", out)
			} else {
				a.say("%s: base and adapter; the weights differ from the original base by at most %.2g", out, *res.Weights)
			}
			return nil
		}
		res, err := core.Merge(cmd.Context(), engine, args[0], out, store)
		if err != nil {
			return err
		}
		if a.json {
			return a.print(res)
		}
		a.say("%s: merged; scores differ by at most %.2g", out, res.Scores)
		return nil
	}
	cmd.Flags().StringVar(&out, "out", "", "folder to write")
	return cmd
}
