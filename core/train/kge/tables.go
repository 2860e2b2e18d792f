//go:build torch

package kge

import (
	"fmt"

	"github.com/islm-dev/islm/core/torch"
	"github.com/islm-dev/islm/core/torch/safetensors"
)

// tables are the vectors being learned, with their gradients and the
// optimizer's state. The tensors belong to no scope: free ends them.
type tables struct {
	scorer
	relations  int  // of the data; inverse ones follow
	reciprocal bool // inverse relations have rows of their own

	entity, relation         *torch.Tensor // [n, dim], [m or 2m, width]
	gradEntity, gradRelation *torch.Tensor // of the same shapes
	entitySum, relationSum   *torch.Tensor // Adagrad
	adam                     *torch.Optimizer
}

// Names of tensors in checkpoints.
const (
	entityName   = "entities"
	relationName = "relations"
)

// newTables starts vectors from the seed: normal numbers for the models of
// products, uniform ones for the models of distance.
func newTables(s Settings, entities, relations int, device torch.Device) *tables {
	t := &tables{scorer: newScorer(s), relations: relations, reciprocal: s.Reciprocal}
	rows := int64(relations)
	if s.Reciprocal {
		rows *= 2
	}
	start := func(name string, n, width int64) *torch.Tensor {
		x := torch.Zeros(torch.Float32, device, n, width)
		if t.products() {
			torch.InitNormal(x, s.Seed, name, 0, s.Init)
		} else {
			torch.InitUniform(x, s.Seed, name, -reach(s), reach(s))
		}
		return x
	}
	t.entity, t.relation = start(entityName, int64(entities), t.dim), start(relationName, rows, t.width())
	t.gradEntity, t.gradRelation = torch.ZerosLike(t.entity), torch.ZerosLike(t.relation)
	if s.Optimizer == Adam {
		t.adam = torch.NewOptimizer(torch.AdamConfig{}, []torch.Group{{Params: []*torch.Tensor{t.entity, t.relation}, Names: []string{entityName, relationName}}})
	} else {
		t.entitySum = torch.Full(1e-20, torch.Float32, device, t.entity.Shape()...)
		t.relationSum = torch.Full(1e-20, torch.Float32, device, t.relation.Shape()...)
	}
	return t
}

func (t *tables) free() {
	for _, x := range []*torch.Tensor{t.entity, t.relation, t.gradEntity, t.gradRelation, t.entitySum, t.relationSum} {
		x.Free()
	}
	if t.adam != nil {
		t.adam.Free()
	}
}

// step moves the vectors against their gradients, which are used up.
func (t *tables) step(lr float64) {
	if t.adam == nil {
		torch.AdagradStep(t.entity, t.gradEntity, t.entitySum, lr)
		torch.AdagradStep(t.relation, t.gradRelation, t.relationSum, lr)
		return
	}
	t.entity.SetGrad(t.gradEntity)
	t.relation.SetGrad(t.gradRelation)
	t.adam.Step(lr)
	t.entity.SetGrad(nil)
	t.relation.SetGrad(nil)
}

// row is the place of a relation's vector, and its sign when the inverse has
// none of its own.
func (t *tables) row(relation int32) (at int64, sign float32) {
	if t.reciprocal || int(relation) < t.relations {
		return int64(relation), 1
	}
	return int64(relation) - int64(t.relations), -1
}

// signs is nil where every relation has its own vector.
func (t *tables) signs(list []float32) *torch.Tensor {
	if t.reciprocal {
		return nil
	}
	return torch.FromFloat32(list, int64(len(list)), 1).ToDevice(t.entity.Device())
}

// indices copies places to the device.
func (t *tables) indices(list []int64) *torch.Tensor {
	return torch.FromInt64(list, int64(len(list))).ToDevice(t.entity.Device())
}

// vectors and moments are what a checkpoint holds.
func (t *tables) vectors() []safetensors.Entry {
	return []safetensors.Entry{torch.ToEntry(entityName, t.entity), torch.ToEntry(relationName, t.relation)}
}

func (t *tables) moments() []safetensors.Entry {
	var out []safetensors.Entry
	if t.adam == nil {
		return append(out, torch.ToEntry(entityName+".sum", t.entitySum), torch.ToEntry(relationName+".sum", t.relationSum))
	}
	for name, x := range t.adam.State() {
		out = append(out, torch.ToEntry(name, x))
	}
	return out
}

// load puts vectors back.
func (t *tables) load(f *safetensors.File) error {
	return fill(f, map[string]*torch.Tensor{entityName: t.entity, relationName: t.relation})
}

// loadMoments puts the optimizer's state back.
func (t *tables) loadMoments(f *safetensors.File) error {
	if t.adam == nil {
		return fill(f, map[string]*torch.Tensor{entityName + ".sum": t.entitySum, relationName + ".sum": t.relationSum})
	}
	state := map[string]*torch.Tensor{}
	for _, name := range f.Names() {
		e, _ := f.Entry(name)
		state[name] = torch.FromEntry(e)
	}
	return t.adam.Load(state)
}

func fill(f *safetensors.File, into map[string]*torch.Tensor) error {
	for name, x := range into {
		e, ok := f.Entry(name)
		if !ok {
			return fmt.Errorf("tensor %q is missing", name)
		}
		if fmt.Sprint(e.Shape) != fmt.Sprint(x.Shape()) {
			return fmt.Errorf("tensor %q has shape %v, not %v", name, e.Shape, x.Shape())
		}
		s := torch.Open()
		x.CopyFrom(torch.FromEntry(e))
		s.Close()
	}
	return nil
}
