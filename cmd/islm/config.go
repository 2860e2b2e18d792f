package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

func (a *app) config() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Show the recipe's keys, complete a recipe, check one"}
	cmd.AddCommand(a.configShow(), a.configFill(), a.configCheck())
	return cmd
}

func (a *app) configShow() *cobra.Command {
	return &cobra.Command{
		Use: "show [KEY-PREFIX | PRESET]", Short: "List the keys of a recipe with type, default and meaning, or print a preset",
		Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			names := recipe.PresetNames()
			for _, k := range recipe.Keys() {
				names = append(names, k.Path)
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			prefix := ""
			if len(args) == 1 {
				if p, ok := recipe.FindPreset(args[0]); ok {
					if a.json {
						return a.print(map[string]string{"name": p.Name, "summary": p.Summary, "text": p.Text})
					}
					fmt.Fprint(a.stdout, p.Text)
					return nil
				}
				prefix = args[0]
			}
			var keys []recipe.Key
			var paths []string
			for _, k := range recipe.Keys() {
				paths = append(paths, k.Path)
				if k.Path == prefix || strings.HasPrefix(k.Path, strings.TrimSuffix(prefix, ".")+".") || prefix == "" {
					keys = append(keys, k)
				}
			}
			if len(keys) == 0 {
				d := sdk.Diagnostic{Severity: sdk.Error, Code: "recipe.unknown-key", Summary: fmt.Sprintf("there is no key and no preset %q", prefix)}
				if near := sdk.Nearest(prefix, append(paths, recipe.PresetNames()...)); near != "" {
					d.Remedy = fmt.Sprintf("did you mean %q?", near)
				}
				return sdk.Diagnostics{d}.Err()
			}
			if a.json {
				type row struct {
					Key     string   `json:"key"`
					Type    string   `json:"type"`
					Default string   `json:"default"`
					Values  []string `json:"values,omitempty"`
					Help    string   `json:"help"`
				}
				for _, k := range keys {
					if err := a.print(row{k.Path, k.Type, k.Default, k.Values, k.Help}); err != nil {
						return err
					}
				}
				return nil
			}
			for _, k := range keys {
				typ := k.Type
				if len(k.Values) > 0 {
					typ = strings.Join(k.Values, " | ")
					if k.Type != "text" {
						typ = k.Type + ", " + typ
					}
				}
				def := k.Default
				if def == "" {
					def = `""`
				}
				fmt.Fprintf(a.stdout, "%s  (%s) [%s]\n    %s\n", k.Path, typ, def, k.Help)
			}
			return nil
		},
	}
}

func (a *app) configFill() *cobra.Command {
	var p planFlags
	cmd := &cobra.Command{
		Use: "fill [FILE]", Short: "Print a complete recipe: FILE or a preset with every default written out",
		Long: "Print a complete recipe: FILE or a preset with every default written out and explained.\nPlugins are not asked: their advice is added by 'islm train --dry-run'.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				p.recipe = args[0]
			}
			plan, err := a.resolve(&p, nil)
			if err != nil {
				return err
			}
			if a.json {
				values := map[string]string{}
				for _, v := range plan.Values() {
					values[v.Path] = v.Text
				}
				return a.print(values)
			}
			_, err = a.stdout.Write(plan.Annotated())
			return err
		},
	}
	p.register(cmd)
	return cmd
}

func (a *app) configCheck() *cobra.Command {
	return &cobra.Command{
		Use: "check FILE…", Short: "Check recipe files: unknown keys, wrong types, values out of range",
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			var all sdk.Diagnostics
			for _, name := range args {
				data, err := os.ReadFile(name)
				if err != nil {
					return fmt.Errorf("read recipe: %w", err)
				}
				file := &recipe.File{Name: name, Data: data}
				stages, ds := recipe.Stages(file)
				all = append(all, ds...)
				check := func(src recipe.Sources) {
					plan, ds := recipe.Resolve(src)
					if !ds.HasErrors() {
						for _, d := range plan.Idle() {
							d.File = name
							ds.Add(d)
						}
					}
					all = append(all, ds...)
				}
				for i := range stages {
					check(recipe.Sources{File: file, Stage: &stages[i]})
				}
				if len(stages) == 0 && !ds.HasErrors() {
					check(recipe.Sources{File: file})
				}
			}
			if err := all.Err(); err != nil {
				return err
			}
			a.problems(all)
			a.say("no problems")
			return nil
		},
	}
}

// resolve makes the plan of a command's flags and prints its warnings.
func (a *app) resolve(p *planFlags, advice []recipe.Advice) (*recipe.Plan, error) {
	src, err := recipe.Open(p.recipe)
	if err != nil {
		return nil, err
	}
	if p.recipe == "" {
		src.Preset = p.preset
	}
	src.Advice = advice
	if src.Sets, err = p.items(); err != nil {
		return nil, err
	}
	plan, ds := recipe.Resolve(src)
	if err := ds.Err(); err != nil {
		return nil, err
	}
	a.problems(ds)
	return plan, nil
}
