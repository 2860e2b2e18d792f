package modelstore

import (
	"errors"
	"strings"

	"github.com/islm-dev/islm/core/torch/pickle"
	"github.com/islm-dev/islm/core/torch/safetensors"
)

// tensorInfo is what a weight file's header says about a tensor.
type tensorInfo struct {
	dtype string
	shape []int64
}

// weightFile is an open weight file of either form.
type weightFile interface {
	Names() []string
	Entry(name string) (safetensors.Entry, bool)
	Close() error
}

func readSafetensors(path string) (map[string]tensorInfo, error) {
	f, err := safetensors.Open(path)
	if err != nil {
		return nil, withoutPath(err, path)
	}
	return infos(f)
}

func readPickle(path string) (map[string]tensorInfo, error) {
	f, err := pickle.Open(path)
	if err != nil {
		return nil, withoutPath(err, path)
	}
	return infos(f)
}

func infos(f weightFile) (map[string]tensorInfo, error) {
	tensors := map[string]tensorInfo{}
	for _, name := range f.Names() {
		if e, ok := f.Entry(name); ok {
			tensors[name] = tensorInfo{dtype: e.DType, shape: e.Shape}
		}
	}
	return tensors, f.Close()
}

// withoutPath drops the path that a diagnostic names anyway.
func withoutPath(err error, path string) error {
	return errors.New(strings.TrimPrefix(err.Error(), "read "+path+": "))
}
