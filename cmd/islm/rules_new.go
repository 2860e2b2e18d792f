package main

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
)

//go:embed all:rules_template
var packTemplate embed.FS

var newPackName = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

func (a *app) rulesNew() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use: "new NAME", Short: "Write a rule pack that passes its tests, to begin from",
		Example: "  islm rules new my-pack\n  islm rules test my-pack",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			name := args[0]
			if !newPackName.MatchString(name) || len(name) > 64 {
				return usageError{fmt.Errorf("%q is no name for a pack: use lower-case letters, digits and single hyphens", name)}
			}
			if dir == "" {
				dir = name
			}
			if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
				return usageError{fmt.Errorf("%s exists already", dir)}
			}
			files, err := writePack(dir, name)
			if err != nil {
				return err
			}
			if a.json {
				return a.print(map[string]any{"dir": dir, "files": files})
			}
			for _, f := range files {
				fmt.Fprintln(a.stdout, filepath.Join(dir, f))
			}
			a.say("next: islm rules test %s", dir)
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "folder to write (default NAME)")
	return cmd
}

func writePack(dir, name string) ([]string, error) {
	var files []string
	const root = "rules_template"
	err := fs.WalkDir(packTemplate, root, func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := packTemplate.ReadFile(p)
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(p, root+"/")
		target := filepath.Join(dir, filepath.FromSlash(rel))
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		files = append(files, rel)
		return os.WriteFile(target, []byte(strings.ReplaceAll(string(data), "NAME", name)), 0o644)
	})
	if err != nil {
		return nil, fmt.Errorf("write the pack: %w", err)
	}
	return files, nil
}
