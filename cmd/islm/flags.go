package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/islm-dev/islm/core/recipe"
)

// planFlags are the flags that say what a run shall do. They become items of
// --set, in the order of their strength: a named flag beats --set.
type planFlags struct {
	domain  []string
	data    string
	base    string
	recipe  string
	sets    []string
	device  string
	seed    string
	preset  string // fixed by the command, "" for train
	options []string
}

func (p *planFlags) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringSliceVar(&p.domain, "domain", nil, "industry plugins whose words, rules, facts and tasks are used")
	f.StringVar(&p.data, "data", "", "folder with train/valid/test files, one file, or a dataset of the domain")
	f.StringVar(&p.base, "base", "", "base model: a folder, a name in the model store or a hub id")
	f.StringVar(&p.recipe, "recipe", "", "recipe file, or a preset: "+strings.Join(recipe.PresetNames(), ", "))
	f.StringArrayVar(&p.sets, "set", nil, "set a key of the recipe, as train.lr=3e-5 (repeatable; see 'islm config show')")
	f.StringVar(&p.device, "device", "", "auto, cpu, cuda or cuda:N")
	f.StringVar(&p.seed, "seed", "", "seed of all randomness")
	f.StringArrayVar(&p.options, "option", nil, "option of a plugin, as NAME=VALUE or PLUGIN.NAME=VALUE (repeatable)")
	complete(cmd, "set", func(word string) []string { return completeSet(word) })
	complete(cmd, "recipe", func(string) []string { return recipe.PresetNames() })
	completeModels(cmd, "base")
	complete(cmd, "device", func(string) []string { return []string{"auto", "cpu", "cuda"} })
}

// complete registers a function that proposes values of a flag.
func complete(cmd *cobra.Command, flag string, f func(word string) []string) {
	// The only error is a flag that does not exist, which the tests would show.
	_ = cmd.RegisterFlagCompletionFunc(flag, func(_ *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
		return f(word), cobra.ShellCompDirectiveNoSpace
	})
}

// completeModels proposes names of the model store and folders for flags that name
// models; of a list with commas its last part is completed.
func completeModels(cmd *cobra.Command, flags ...string) {
	for _, flag := range flags {
		_ = cmd.RegisterFlagCompletionFunc(flag, func(_ *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
			before, last := "", word
			if i := strings.LastIndexByte(word, ',') + 1; i > 0 && strings.HasPrefix(cmd.Flags().Lookup(flag).Value.Type(), "stringSlice") {
				before, last = word[:i], word[i:]
			}
			var out []string
			if store, err := (&app{getenv: os.Getenv}).store(); err == nil {
				models, _ := store.List() // a store that cannot be read has no names to propose
				for _, m := range models {
					if strings.HasPrefix(m.Name, last) {
						out = append(out, before+m.Name)
					}
				}
			}
			directive := cobra.ShellCompDirectiveDefault
			if dirs, err := filepath.Glob(globQuote.Replace(last) + "*"); err == nil {
				for _, dir := range dirs {
					if info, err := os.Stat(dir); err == nil && info.IsDir() {
						out, directive = append(out, before+dir+string(filepath.Separator)), cobra.ShellCompDirectiveNoSpace
					}
				}
			}
			return out, directive
		})
	}
}

// globQuote makes a word stand for itself in a pattern of filepath.Glob.
var globQuote = strings.NewReplacer("*", `\*`, "?", `\?`, "[", `\[`, `\`, `\\`)

func completeSet(word string) []string {
	key, _, hasValue := strings.Cut(word, "=")
	var out []string
	for _, k := range recipe.Keys() {
		switch {
		case hasValue && k.Path == key:
			for _, v := range k.Values {
				out = append(out, key+"="+v)
			}
		case !hasValue && strings.HasPrefix(k.Path, key):
			out = append(out, k.Path+"=\t"+k.Help)
		}
	}
	return out
}

// items are the --set items of all flags.
func (p *planFlags) items() ([]string, error) {
	items := slices.Clone(p.sets)
	if len(p.domain) > 0 {
		items = append(items, "domain.name="+strings.Join(p.domain, ","))
	}
	for key, value := range map[string]string{"data.path": p.data, "base": p.base, "train.device": p.device, "seed": p.seed} {
		if value != "" {
			items = append(items, key+"="+value)
		}
	}
	for _, o := range p.options {
		name, value, ok := strings.Cut(o, "=")
		if !ok || name == "" {
			return nil, usageError{fmt.Errorf("--option %s: write NAME=VALUE", strconv.Quote(o))}
		}
		items = append(items, "domain.options."+name+"="+value)
	}
	slices.SortStableFunc(items[len(p.sets):], strings.Compare)
	return items, nil
}
