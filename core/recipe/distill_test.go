package recipe

import (
	"slices"
	"strings"
	"testing"
)

func TestLayerMap(t *testing.T) {
	for name, tc := range map[string]struct {
		layers           []string
		student, teacher int
		want             [][2]int
		problem          string
	}{
		"half":           {nil, 3, 6, [][2]int{{0, 1}, {1, 3}, {2, 5}}, ""},
		"a third":        {nil, 2, 6, [][2]int{{0, 2}, {1, 5}}, ""},
		"not even":       {nil, 4, 6, [][2]int{{0, 0}, {1, 2}, {2, 3}, {3, 5}}, ""}, // ⌊i·6/4⌋ from 1
		"equal":          {nil, 2, 2, [][2]int{{0, 0}, {1, 1}}, ""},
		"deeper":         {nil, 4, 2, [][2]int{{0, 0}, {1, 0}, {2, 0}, {3, 1}}, ""},
		"chosen":         {[]string{"0:5", " 2:0 "}, 3, 6, [][2]int{{0, 5}, {2, 0}}, ""},
		"no pair":        {[]string{"1"}, 3, 6, nil, "is not STUDENT:TEACHER"},
		"below zero":     {[]string{"-1:0"}, 3, 6, nil, "is not STUDENT:TEACHER"},
		"student's last": {[]string{"3:5"}, 3, 6, nil, "the student's layers are 0-2"},
		"teacher's last": {[]string{"2:6"}, 3, 6, nil, "the teacher's 0-5"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := (&DistillPlan{Layers: tc.layers}).LayerMap(tc.student, tc.teacher)
			if (err != nil) != (tc.problem != "") || err != nil && !strings.Contains(err.Error(), tc.problem) {
				t.Fatalf("wanted %q, got %v", tc.problem, err)
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("wanted %v, got %v", tc.want, got)
			}
		})
	}
}

func TestDistillBase(t *testing.T) {
	problems := func(sets ...string) (out []string) {
		_, ds := Resolve(Sources{Preset: "distill", Sets: sets})
		for _, d := range ds {
			out = append(out, d.Path+": "+d.Summary)
		}
		return out
	}
	for name, tc := range map[string]struct {
		sets []string
		want []string
	}{
		"no base":       {nil, nil},
		"a base aside":  {[]string{"base=small"}, []string{"base: the base small would be left aside: with student.from=teacher the student comes of the first teacher"}},
		"a base":        {[]string{"base=small", "student.from=base"}, nil},
		"a cut base":    {[]string{"base=small", "student.from=base", "student.heads=2", "student.intermediate=8"}, []string{"student.heads: student.from is base: student.heads cuts a teacher", "student.intermediate: student.from is base: student.intermediate cuts a teacher"}},
		"a cut teacher": {[]string{"student.heads=2", "student.intermediate=8"}, nil},
	} {
		if got := problems(tc.sets...); !slices.Equal(got, tc.want) {
			t.Errorf("%s: wanted %q, got %q", name, tc.want, got)
		}
	}
	// Stages and plans that were written whole name a base as well.
	if _, ds := Resolve(Sources{File: &File{Name: "plan.yaml", Data: []byte("preset: distill\nbase: small\n")}}); len(ds) > 0 {
		t.Errorf("a base of a file: %v", ds)
	}
}

func TestRenamedTeacher(t *testing.T) {
	for ref, want := range map[string][2]string{
		"runs/news":         {"", "runs/news"},
		"topic=runs/news":   {"topic", "runs/news"},
		"runs/lr=1":         {"", "runs/lr=1"},
		"topic=runs/lr=1":   {"topic", "runs/lr=1"},
		"=runs/news":        {"", "=runs/news"},
		"all-MiniLM-L6-v2":  {"", "all-MiniLM-L6-v2"},
		"t_1=all-MiniLM-L6": {"t_1", "all-MiniLM-L6"},
	} {
		if head, model := RenamedTeacher(ref); head != want[0] || model != want[1] {
			t.Errorf("%s: %q, %q", ref, head, model)
		}
	}
}
