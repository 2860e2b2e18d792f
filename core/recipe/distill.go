package recipe

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// DistillPlan is what a student learns from its teachers. The numbers are the
// weights of the losses; 0 leaves one out.
type DistillPlan struct {
	Teachers    []string `yaml:"teachers"`    // model folders or names; HEAD=MODEL renames its one head
	Labels      float64  `yaml:"labels"`      // the labels' own loss
	Logits      float64  `yaml:"logits"`      // the heads' answers at the temperature
	Temperature float64  `yaml:"temperature"` // of the logits
	Hidden      float64  `yaml:"hidden"`      // hidden states of mapped layers
	States      string   `yaml:"states"`      // tokens | first: which hidden states
	Attention   float64  `yaml:"attention"`   // attention scores of mapped layers
	Relation    float64  `yaml:"relation"`    // relations among queries, keys and values
	Embeddings  float64  `yaml:"embeddings"`  // the embeddings' output
	Layers      []string `yaml:"layers"`      // STUDENT:TEACHER, from 0; empty = evenly
	// RelationLayer is the teacher's layer, from 0, whose relations the student's
	// last layer learns; -1 = the last.
	RelationLayer int  `yaml:"relation_layer"`
	RelationHeads int  `yaml:"relation_heads"` // 0 = the teacher's attention heads
	Cache         bool `yaml:"cache"`          // keep the teachers' logits on disk
}

// StudentPlan shapes a student.
type StudentPlan struct {
	From         string    `yaml:"from"`         // teacher | base | scratch
	Layers       []float64 `yaml:"layers"`       // of the first teacher, from 0
	Hidden       int       `yaml:"hidden"`       // 0 = the teacher's
	Heads        int       `yaml:"heads"`        // attention heads, 0 = to keep their size
	Intermediate int       `yaml:"intermediate"` // 0 = in proportion
}

// ObjectiveDistill learns from teachers.
const ObjectiveDistill = "distill"

// Where a student's first weights come from.
const (
	StudentTeacher = "teacher"
	StudentBase    = "base"
	StudentScratch = "scratch"
)

var layerPair = regexp.MustCompile(`^([0-9]{1,4}):([0-9]{1,4})$`)

var renamed = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_-]*)=(.+)$`)

// RenamedTeacher parts HEAD=MODEL, which gives the one head of a teacher another name;
// head is "" for a model alone.
func RenamedTeacher(ref string) (head, model string) {
	if m := renamed.FindStringSubmatch(ref); m != nil {
		return m[1], m[2]
	}
	return "", ref
}

// LayerMap gives the teacher's layer for each of the student's that learns from
// one, as pairs (student, teacher) from 0. Without distill.layers it is
// TinyBERT's uniform map: the student's layer i, from 1, learns from the
// teacher's layer i·T/S (Jiao et al. 2020).
func (d *DistillPlan) LayerMap(student, teacher int) ([][2]int, error) {
	var pairs [][2]int
	if len(d.Layers) == 0 {
		for i := range student {
			pairs = append(pairs, [2]int{i, max(0, (i+1)*teacher/student-1)})
		}
		return pairs, nil
	}
	for _, text := range d.Layers {
		m := layerPair.FindStringSubmatch(strings.TrimSpace(text))
		if m == nil {
			return nil, fmt.Errorf("distill.layers: %q is not STUDENT:TEACHER", text)
		}
		s, _ := strconv.Atoi(m[1])
		t, _ := strconv.Atoi(m[2])
		if s >= student || t >= teacher {
			return nil, fmt.Errorf("distill.layers: %q, but the student's layers are 0-%d and the teacher's 0-%d", text, student-1, teacher-1)
		}
		pairs = append(pairs, [2]int{s, t})
	}
	return pairs, nil
}

// NeedsStates reports whether a loss compares more than the heads' answers.
func (d *DistillPlan) NeedsStates() bool {
	return d.Hidden > 0 || d.Attention > 0 || d.Relation > 0 || d.Embeddings > 0
}

// checkDistill finds what no single key can be blamed for.
func (r *resolver) checkDistill(at func(string) place) {
	p := r.plan
	if p.Objective != ObjectiveDistill {
		return
	}
	for _, l := range p.Student.Layers {
		if l != float64(int(l)) {
			r.report(at("student.layers"), wrong("recipe.type", "student.layers wants whole numbers, this is %s", formatFloat(l)))
		}
	}
	cut := []struct {
		key string
		set bool
	}{{"student.layers", len(p.Student.Layers) > 0}, {"student.hidden", p.Student.Hidden > 0}, {"student.heads", p.Student.Heads > 0}, {"student.intermediate", p.Student.Intermediate > 0}}
	for _, k := range cut {
		if k.set && p.Student.From == StudentBase {
			bad := wrong("recipe.conflict", "student.from is base: %s cuts a teacher", k.key)
			bad.remedy = "leave it out, or set student.from=teacher"
			r.report(at(k.key), bad)
		}
	}
	// Only what the command says: a file that was written whole names a base too, and so
	// do stages.
	if p.Origin["base"] == "--set" && p.Student.From != StudentBase {
		bad := wrong("recipe.conflict", "the base %s would be left aside: with student.from=%s the student comes of the first teacher", p.Base, p.Student.From)
		bad.remedy = "set student.from=base, or leave --base out"
		r.report(at("base"), bad)
	}
}
