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
