package core

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/islm-dev/islm/core/corpus"
	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/model/peft"
	"github.com/islm-dev/islm/core/modelstore"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/report"
	"github.com/islm-dev/islm/core/token"
	"github.com/islm-dev/islm/sdk"
)

// teacher is a finished model whose answers a student learns, or a bare encoder
// whose states it learns.
type teacher struct {
	model     modelstore.Model
	digest    string // of its weights, tokenizer and heads
	size      int64
	plan      *recipe.Plan
	heads     []sdk.HeadSpec
	own       string // name in the folder of the head that the run calls by another; "" = none
	tokenizer *token.Tokenizer
	tokDigest string
	maxLength int
	config    *hf.Config
	knowledge *knowledge
	job       recipe.Teacher
}

// openTeachers finds the teachers of a distillation and everything of them but
// the weights.
func (r *Run) openTeachers(ctx context.Context) error {
	if r.plan.Objective != recipe.ObjectiveDistill {
		return nil
	}
	if err := lacksTeacher(r.plan).Err(); err != nil {
		return err
	}
	var all sdk.Diagnostics
	for _, ref := range r.plan.Distill.Teachers {
		name, ref := renamed(ref)
		m, err := r.model(ctx, ref)
		if err != nil {
			return err
		}
		t, ds, err := r.openTeacher(ctx, m)
		if err != nil {
			return err
		}
		all = append(all, ds...)
		if t != nil {
			all = append(all, t.unteachable()...)
			all = append(all, t.rename(name)...)
			r.teachers = append(r.teachers, t)
			r.Watch.Stage("teacher", fmt.Sprintf("%s (%s)", t.model.Name, strings.Join(headNames(t.heads), ", ")))
		}
	}
	all = append(all, agreeing(r.teachers, r.plugins.heads())...)
	return r.tell(all)
}

func lacksTeacher(plan *recipe.Plan) sdk.Diagnostics {
	if len(plan.Distill.Teachers) > 0 {
		return nil
	}
	return sdk.Diagnostics{{Severity: sdk.Error, Code: "distill.teacher", Path: "distill.teachers", Summary: "a distillation wants a teacher", Remedy: "name a model folder with --teacher DIR"}}
}

// unteachable reports heads whose kinds cannot be distilled.
func (t *teacher) unteachable() (ds sdk.Diagnostics) {
	for _, h := range t.heads {
		if slices.Contains([]string{sdk.KindQA, sdk.KindRelation, sdk.KindSpan}, h.Kind) {
			ds.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "distill.kind", Path: "distill.teachers",
				Summary: fmt.Sprintf("head %q of teacher %s is of kind %s, whose answers cannot be distilled", h.Name, t.model.Name, h.Kind), Remedy: "heads of these kinds can be trained from labels alone"})
		}
	}
	return ds
}

// renamed is recipe.RenamedTeacher, but for a folder whose own name looks so.
func renamed(ref string) (head, model string) {
	if exists(ref) {
		return "", ref
	}
	return recipe.RenamedTeacher(ref)
}

// rename calls the one head of a teacher, beside language models, by another name.
func (t *teacher) rename(name string) (ds sdk.Diagnostics) {
	if name == "" {
		return nil
	}
	var at []int
	for i, h := range t.heads {
		if !h.LanguageModel() {
			at = append(at, i)
		}
	}
	if len(at) != 1 {
		ds.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "distill.rename", Path: "distill.teachers",
			Summary: fmt.Sprintf("%s=%s renames the one head of a teacher, and this has %s", name, t.model.Name, strings.Join(headNames(t.heads), ", ")), Remedy: "leave " + name + "= out"})
		return ds
	}
	if h := &t.heads[at[0]]; h.Name != name {
		t.own, h.Name = h.Name, name
	}
	return nil
}

func headNames(heads []sdk.HeadSpec) []string {
	if len(heads) == 0 {
		return []string{"no heads"}
	}
	var names []string
	for _, h := range heads {
		names = append(names, h.Name)
	}
	return names
}

func (r *Run) openTeacher(ctx context.Context, m modelstore.Model) (_ *teacher, _ sdk.Diagnostics, err error) {
	if peft.Is(m.Dir) {
		if m.Dir, err = r.merged(ctx, "teacher", m.Dir); err != nil {
			return nil, nil, err
		}
	}
	t := &teacher{model: m, plan: recipe.Defaults()}
	cfg, ds := hf.ReadConfig(m.Dir)
	if ds.HasErrors() {
		return nil, ds, nil
	}
	if heads, more := hf.ReadHeads(m.Dir); heads != nil {
		t.heads = heads.Heads
	} else {
		ds = append(ds, more...)
	}
	file := filepath.Join(m.Dir, Own, PlanFile)
	if data, err := os.ReadFile(file); err == nil {
		plan, more := recipe.Parse(file, data)
		ds = append(ds, more...)
		t.plan = plan
	}
	if ds.HasErrors() {
		return nil, ds, nil
	}
	if t.tokenizer, err = token.Load(m.Dir); err != nil {
		return nil, ds, err
	}
	if t.tokDigest, err = tokenizerDigest(m.Dir); err != nil {
		return nil, ds, err
	}
	t.maxLength, t.config = cfg.MaxPositions, cfg
	knowledge, more, err := loadKnowledge(m.Dir, t.plan)
	ds = append(ds, more...)
	if err != nil {
		return nil, ds, err
	}
	t.knowledge = knowledge
	t.digest, t.size, err = report.DigestTree(os.DirFS(m.Dir), func(path string) bool {
		return strings.HasSuffix(path, ".safetensors") && !strings.Contains(path, "checkpoint-") || strings.HasSuffix(path, ".bin") && !strings.Contains(path, "/") ||
			slices.Contains([]string{"config.json", "tokenizer.json", "vocab.txt", Own + "/" + hf.HeadsFile}, path)
	})
	if err != nil {
		return nil, ds, fmt.Errorf("digest of teacher %s: %w", m.Name, err)
	}
	return t, ds, nil
}

// agreeing reports heads of one name with different labels, among teachers and
// the domain's.
func agreeing(teachers []*teacher, declared []sdk.HeadSpec) (ds sdk.Diagnostics) {
	type owner struct {
		spec sdk.HeadSpec
		name string
	}
	seen := map[string]owner{}
	for _, h := range declared {
		seen[h.Name] = owner{h, "the domain"}
	}
	for _, t := range teachers {
		for _, h := range t.heads {
			other, ok := seen[h.Name]
			if !ok {
				seen[h.Name] = owner{h, "teacher " + t.model.Name}
				continue
			}
			if other.spec.Kind != h.Kind || !sameLabels(other.spec.Labels, h.Labels) {
				ds.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "distill.labels", Path: "distill.teachers",
					Summary: fmt.Sprintf("head %s of teacher %s has other labels than that of %s", h.Name, t.model.Name, other.name),
					Detail:  fmt.Sprintf("%s: %s %s\n%s: %s %s", t.model.Name, h.Kind, strings.Join(h.Labels, ", "), other.name, other.spec.Kind, strings.Join(other.spec.Labels, ", ")),
					Remedy:  "if they are different tasks, train one of the two again under another name (--set data.head=NAME; labels that name no head go to one called label), or rename its one head here (--teacher NAME=DIR); if they are one, train the teacher on these labels, or distil without it"})
			}
		}
	}
	return ds
}

func sameLabels(a, b []string) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(a, b)
}

// teacherHeads are the teachers' heads that the domain does not declare.
func (r *Run) teacherHeads() (out []sdk.HeadSpec) {
	if r.past != nil {
		return nil // they are the run's own
	}
	declared := r.plugins.heads()
	for _, t := range r.teachers {
		for _, h := range t.heads {
			if !slices.ContainsFunc(slices.Concat(declared, out), func(o sdk.HeadSpec) bool { return o.Name == h.Name }) {
				out = append(out, h)
			}
		}
	}
	return out
}

// makeStudent gives the folder that the student's first weights come from, cut
// from the first teacher: a stage named by what made it.
func (r *Run) makeStudent() error {
	s := r.plan.Student
	if r.plan.Objective != recipe.ObjectiveDistill || s.From == recipe.StudentBase {
		return nil
	}
	t := r.teachers[0]
	cfg, ds := hf.ReadConfig(t.model.Dir)
	if err := ds.Err(); err != nil {
		return err
	}
	cut := hf.Cut{Layers: keptLayers(cfg, &s), Hidden: s.Hidden, Heads: s.Heads, Intermediate: s.Intermediate, Scratch: s.From == recipe.StudentScratch, Seed: r.plan.Seed}
	sum := sha256.Sum256(fmt.Appendf(nil, "student.v2\n%s\n%s\n%+v\n", t.digest, t.tokDigest, cut))
	digest := hex.EncodeToString(sum[:])
	dir := filepath.Join(r.Home, "stages", "student", digest)
	if !exists(filepath.Join(dir, hf.ConfigFile)) {
		tmp := fmt.Sprintf("%s.%d.tmp", dir, os.Getpid())
		if err := os.MkdirAll(tmp, 0o755); err != nil {
			return fmt.Errorf("make the student: %w", err)
		}
		defer os.RemoveAll(tmp) //nolint:errcheck // gone after the rename
		if err := cut.Write(t.model.Dir, tmp).Err(); err != nil {
			return err
		}
		if err := t.tokenizer.Save(tmp); err != nil {
			return fmt.Errorf("save the student's tokenizer: %w", err)
		}
		if err := os.Rename(tmp, dir); err != nil && !exists(filepath.Join(dir, hf.ConfigFile)) {
			return fmt.Errorf("make the student: %w", err)
		}
	}
	what := fmt.Sprintf("layers %s of %s", strings.Trim(fmt.Sprint(cut.Layers), "[]"), t.model.Name)
	if cut.Scratch {
		what = fmt.Sprintf("%d new layers in the shape of %s", len(cut.Layers), t.model.Name)
	}
	if cut.Hidden > 0 {
		what += fmt.Sprintf(", %d wide", cut.Hidden)
	}
	r.base = modelstore.Model{Name: what, Dir: dir, Place: modelstore.InFolder}
	r.Watch.Stage("student", what)
	return nil
}

// keptLayers are the layers of a student: without student.layers every second one,
// the last included; all where they share their weights and the width is cut.
func keptLayers(cfg *hf.Config, s *recipe.StudentPlan) (kept []int) {
	for _, l := range s.Layers {
		kept = append(kept, int(l))
	}
	if len(kept) > 0 {
		return kept
	}
	first, step := (cfg.Layers+1)%2, 2
	if cfg.Groups > 0 && s.From != recipe.StudentScratch && (s.Hidden > 0 || s.Heads > 0 || s.Intermediate > 0) {
		first, step = 0, 1
	}
	for l := first; l < cfg.Layers; l += step {
		kept = append(kept, l)
	}
	return kept
}

// teach encodes the training examples for each teacher.
func (r *Run) teach(ctx context.Context) error {
	var ds sdk.Diagnostics
	varied := len(r.plan.Augment.Packs) > 0 || r.data.hides
	names := headNames(r.data.heads)
	d := r.plan.Teaching()
	if len(r.teachers) > 0 && d.Logits == 0 && !d.NeedsStates() {
		ds.Add(sdk.Diagnostic{Severity: sdk.Warning, Code: "distill.nothing", Path: "distill.logits", Summary: "all losses of the teachers have the weight 0: the student learns the labels alone, as a control"})
	}
	student, more := hf.ReadConfig(r.data.base)
	if more.HasErrors() {
		return r.tell(more)
	}
	for _, t := range r.teachers {
		ds = append(ds, t.misfits(&d, student)...)
		j := recipe.Teacher{Name: t.model.Name, Dir: t.model.Dir, Plan: t.plan, Injection: t.knowledge.injection()}
		shared := 0
		for _, h := range t.heads {
			if !slices.Contains(names, h.Name) {
				continue
			}
			shared++
			if compared(h) {
				j.Heads, j.Own = append(j.Heads, h), t.own // of no other head where it is renamed
			} else if h.Kind != sdk.KindGenerate && d.Logits > 0 {
				ds.Add(sdk.Diagnostic{Severity: sdk.Warning, Code: "distill.head", Path: "heads." + h.Name, Summary: fmt.Sprintf("the answers of head %s (%s) are not distilled: it learns %s alone", h.Name, h.Kind, learned(h))})
			}
		}
		same := t.tokDigest == r.data.tokDigest && t.maxLength >= r.data.maxLength && t.knowledge == nil && r.knowledge == nil
		switch {
		case varied && !same:
			ds.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "distill.augment", Path: "augment.packs",
				Summary: fmt.Sprintf("teacher %s has another vocabulary than the student or fewer positions, or one of them injects knowledge: rule packs and masks make new texts in each epoch, which it would have to see in its own encoding", t.model.Name),
				Remedy:  "leave augment.packs and heads of kind mlm.v0 out, or cut the student from this teacher"})
		case varied:
			j.Same = true
		default:
			rows, err := r.seen(ctx, t, same, d.NeedsStates())
			if err != nil {
				return fmt.Errorf("encode for teacher %s: %w", t.model.Name, err)
			}
			j.Rows, j.Same = rows, same || t.knowledge == nil && r.knowledge == nil
			h := sha256.New()
			fmt.Fprintf(h, "teacher.v0\n%s\n%s\n%q\n", t.digest, r.plan.Train.Precision, headNames(j.Heads))
			for i := range rows.Len() {
				mine, row := r.data.set.Train.At(i), rows.At(i)
				j.Same = j.Same && slices.Equal(mine.IDs, row.IDs) // of second texts no states are compared
				_ = binary.Write(h, binary.LittleEndian, int64(len(row.IDs)))
				_ = binary.Write(h, binary.LittleEndian, row.IDs)
				_ = binary.Write(h, binary.LittleEndian, row.Types)
				_ = binary.Write(h, binary.LittleEndian, row.Starts)
			}
			if k := t.knowledge; k != nil && k.graph != nil {
				fmt.Fprintf(h, "graph %s\n", k.graph.Digest())
			}
			if d.Cache && d.Logits > 0 && len(j.Heads) > 0 {
				j.Save = filepath.Join(r.Home, "stages", "teacher", hex.EncodeToString(h.Sum(nil))+".safetensors")
			}
		}
		if d.NeedsStates() && !j.Same && !varied {
			ds.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "distill.vocabulary", Path: "distill.teachers",
				Summary: fmt.Sprintf("teacher %s cuts texts into other pieces than the student, or sees injected knowledge: hidden states, attention, relations and embeddings cannot be compared", t.model.Name),
				Remedy:  "distil its answers alone: --set distill.hidden=0 and the other losses of states too"})
		}
		if shared == 0 && d.Logits > 0 && !d.NeedsStates() {
			ds.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "distill.labels", Path: "distill.teachers",
				Summary: fmt.Sprintf("teacher %s has no head in common with the student: it has %s, the student %s", t.model.Name, strings.Join(headNames(t.heads), ", "), strings.Join(names, ", ")),
				Remedy:  "distil its hidden states too (distill.hidden), or name the head of the labels with data.head"})
		}
		t.job = j
	}
	return r.tell(ds)
}

// misfits reports losses of states that the shapes of teacher and student rule out.
func (t *teacher) misfits(d *recipe.DistillPlan, student *hf.Config) (ds sdk.Diagnostics) {
	if !d.NeedsStates() {
		return nil
	}
	bad := func(key, remedy, format string, args ...any) {
		ds.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "distill.shape", Path: key, Summary: fmt.Sprintf(format, args...), Remedy: remedy})
	}
	if _, err := d.LayerMap(student.Layers, t.config.Layers); err != nil {
		bad("distill.layers", "STUDENT:TEACHER, both from 0; without the key the student's layers are spread evenly", "teacher %s: %v", t.model.Name, err)
	}
	if d.Relation > 0 {
		if d.RelationLayer >= t.config.Layers {
			bad("distill.relation_layer", fmt.Sprintf("set distill.relation_layer to at most %d, or last", t.config.Layers-1), "distill.relation_layer is %d, the layers of teacher %s are 0-%d", d.RelationLayer, t.model.Name, t.config.Layers-1)
		}
		n := d.RelationHeads
		if n == 0 {
			n = t.config.Heads
		}
		if student.HiddenSize%n != 0 || t.config.HiddenSize%n != 0 {
			bad("distill.relation_heads", "set distill.relation_heads to a divisor of both", "relations are cut into %d heads, which does not divide the widths %d of the student and %d of teacher %s", n, student.HiddenSize, t.config.HiddenSize, t.model.Name)
		}
	}
	if d.Attention > 0 && student.Heads != t.config.Heads {
		bad("distill.attention", "set distill.attention=0; distill.relation does not need as many heads", "teacher %s has %d attention heads, the student %d: distill.attention compares them one by one", t.model.Name, t.config.Heads, student.Heads)
	}
	return ds
}

// seen are the training texts as a teacher sees them: the student's own rows where it
// would cut them alike, else its own encoding of them. What heads put around a text,
// completions and patterns, is that of the run's where states are compared, else that of
// the heads which the teacher has too.
func (r *Run) seen(ctx context.Context, t *teacher, same, states bool) (recipe.Source, error) {
	if same {
		return corpus.NewSource(r.data.set.Train), nil
	}
	heads := slices.Clone(r.data.heads)
	if !states {
		names := headNames(t.heads)
		heads = slices.DeleteFunc(heads, func(h sdk.HeadSpec) bool { return !slices.Contains(names, h.Name) })
	}
	return corpus.EncodeSource(ctx, &corpus.Encoder{Tokenizer: t.tokenizer, MaxLength: min(t.maxLength, r.data.maxLength), Heads: heads, Knowledge: t.knowledge.encoder()}, r.data.corpus.Train)
}

// learned is what a head learns without a teacher.
func learned(h sdk.HeadSpec) string {
	if h.LanguageModel() {
		return "the texts"
	}
	return "its labels"
}

// jobTeachers are the teachers as the engine wants them.
func (r *Run) jobTeachers() (out []recipe.Teacher) {
	for _, t := range r.teachers {
		out = append(out, t.job)
	}
	return out
}

func (r *Run) closeTeachers() {
	for _, t := range r.teachers {
		if err := t.knowledge.close(); err != nil {
			r.Log.Warn("close a teacher's graph", "error", err)
		}
	}
}
