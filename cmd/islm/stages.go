package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/islm-dev/islm/core"
	"github.com/islm-dev/islm/core/recipe"
)

// trainStages runs a recipe of several stages.
func (a *app) trainStages(cmd *cobra.Command, f *runFlags, stages []recipe.StagePlan) error {
	for _, s := range f.sets {
		if key, _, _ := strings.Cut(s, "="); slices.Contains([]string{"base", "objective", "preset", "distill.teachers"}, strings.TrimSpace(key)) {
			return usageError{fmt.Errorf("--set %s would change every stage: write it in the stage that it is meant for", s)}
		}
	}
	// What the command says of base and data is the first stage's, and that of others
	// which do not say it themselves.
	below := []string{}
	for key, value := range map[string]string{"base": f.base, "data.path": f.data} {
		if value != "" {
			below = append(below, key+"="+value)
		}
	}
	slices.Sort(below)
	for i := range stages {
		stages[i].Below = below
	}
	own := *f
	own.base, own.data = "", ""
	if f.dryRun {
		for i := range stages {
			own.stage = &stages[i]
			if i > 0 {
				stages[i].From = "STAGE-" + stages[i-1].Name
				fmt.Fprintln(a.stdout, "---")
			}
			fmt.Fprintf(a.stdout, "# stage %d: %s\n", stages[i].Number, stages[i].Name)
			if err := a.dry(cmd, &own); err != nil {
				return err
			}
		}
		return nil
	}
	engine, err := a.engine()
	if err != nil {
		return err
	}
	if f.out == "" {
		own.out = filepath.Join("runs", time.Now().Format("20060102-150405")+"-stages")
	}
	var watch *watcher
	p := &core.Pipeline{Stages: stages, Out: own.out, Resume: f.resume,
		Make: func(s *recipe.StagePlan) (*core.Run, error) {
			one := own
			one.stage = s
			run, err := a.newRun(cmd, &one, engine)
			if err == nil {
				watch, _ = run.Watch.(*watcher)
			}
			return run, err
		},
		Begin: func(s *recipe.StagePlan, of int, skipped bool) {
			if skipped {
				a.say("stage   %d of %d: %s (finished before)", s.Number, of, s.Name)
				return
			}
			a.say("stage   %d of %d: %s", s.Number, of, s.Name)
		}}
	res, few, err := p.Run(cmd.Context())
	if watch != nil {
		watch.done()
	}
	if err != nil {
		return a.hintResume(cmd, f, err)
	}
	switch {
	case res == nil:
		return errors.New("the recipe has no stage")
	case few != nil:
		return a.printFewShot(res, few)
	case res.Metrics == nil || len(res.Metrics.Heads) == 0 && res.Metrics.Train.Steps == 0:
		a.say("%s", res.Dir) // a base with terms: nothing was trained
		return nil
	}
	return a.printResult(res)
}
