package main

import (
	"strings"

	"github.com/spf13/cobra"
)

func (a *app) distill() *cobra.Command {
	f := runFlags{planFlags: planFlags{preset: "distill"}}
	var teachers []string
	cmd := &cobra.Command{
		Use: "distill", Short: "Train a small student on what larger teachers say",
		Long: `Train a small student on what larger teachers say.

The student keeps some layers of the first teacher (student.layers; without it
every second one), is narrower (student.hidden), starts from --base
(student.from=base) or from nothing (student.from=scratch). It learns the
teachers' answers, hidden states, attention, relations and embeddings, each with
its weight (distill.*), beside the labels of the data. Data without labels do:
then the teachers alone say what is right. Heads of several teachers are joined
in one student.`,
		Example: `  islm distill --teacher runs/news --data news/ --out runs/news-small
  islm distill --teacher runs/news --data news/ --set student.layers=[0,5] --set distill.relation=1
  islm distill --teacher runs/news,runs/clinic --data texts.txt --set distill.labels=0`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.extra = append(f.extra, "objective=distill")
			if len(teachers) > 0 {
				f.extra = append(f.extra, "distill.teachers="+strings.Join(teachers, ","))
			}
			return a.make(cmd, &f)
		},
	}
	f.register(cmd)
	cmd.Flags().StringSliceVar(&teachers, "teacher", nil, "model folders or names of the teachers, the first one shapes the student; HEAD=DIR calls the one head of a teacher by another name (comma or repeated)")
	completeModels(cmd, "teacher")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "print the complete plan and stop")
	return cmd
}
