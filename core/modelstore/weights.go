package modelstore

import (
	"archive/zip"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

type tensorInfo struct {
	dtype string
	shape []int64
}

// maxHeader bounds the JSON header of a safetensors file, as its reference
// implementation does.
const maxHeader = 100_000_000

// readSafetensors reads the header of a safetensors file: eight bytes of length
// (little endian), then JSON; the data that it describes must fill the rest of
// the file (https://github.com/huggingface/safetensors#format).
func readSafetensors(path string) (map[string]tensorInfo, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var length [8]byte
	if _, err := io.ReadFull(f, length[:]); err != nil {
		return nil, errors.New("it is shorter than a header")
	}
	n := binary.LittleEndian.Uint64(length[:])
	if n > maxHeader {
		return nil, fmt.Errorf("its header claims %d bytes: not a safetensors file", n)
	}
	if int64(n)+8 > st.Size() {
		return nil, fmt.Errorf("it is truncated: the header needs %d bytes, the file has %d", n+8, st.Size())
	}
	header := make([]byte, n)
	if _, err := io.ReadFull(f, header); err != nil {
		return nil, err
	}
	var entries map[string]json.RawMessage
	if err := json.Unmarshal(header, &entries); err != nil {
		return nil, fmt.Errorf("its header is not JSON: %w", err)
	}
	tensors := make(map[string]tensorInfo, len(entries))
	end := int64(0)
	for name, raw := range entries {
		if name == "__metadata__" {
			continue
		}
		var e struct {
			DType   string   `json:"dtype"`
			Shape   []int64  `json:"shape"`
			Offsets [2]int64 `json:"data_offsets"`
		}
		if err := json.Unmarshal(raw, &e); err != nil {
			return nil, fmt.Errorf("its header describes %s badly: %w", name, err)
		}
		count := int64(1)
		for _, d := range e.Shape {
			if d < 0 || d > 0 && count > (1<<53)/d {
				return nil, fmt.Errorf("tensor %s has the shape %v", name, e.Shape)
			}
			count *= d
		}
		if e.Offsets[0] < 0 || e.Offsets[1] < e.Offsets[0] {
			return nil, fmt.Errorf("tensor %s has the offsets %v", name, e.Offsets)
		}
		if size := dtypeBytes(e.DType); size > 0 && count*size != e.Offsets[1]-e.Offsets[0] {
			return nil, fmt.Errorf("tensor %s (%s, %v) needs %d bytes, its offsets hold %d", name, e.DType, e.Shape, count*size, e.Offsets[1]-e.Offsets[0])
		}
		end = max(end, e.Offsets[1])
		tensors[name] = tensorInfo{dtype: e.DType, shape: e.Shape}
	}
	if want := int64(n) + 8 + end; st.Size() < want {
		return nil, fmt.Errorf("it is truncated: %d of %d bytes", st.Size(), want)
	}
	return tensors, nil
}

// dtypeBytes gives the size of one number, 0 for a type not known here.
func dtypeBytes(dtype string) int64 {
	switch dtype {
	case "F64", "I64", "U64":
		return 8
	case "F32", "I32", "U32":
		return 4
	case "F16", "BF16", "I16", "U16":
		return 2
	case "I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2":
		return 1
	}
	return 0
}

// readPickle checks that a PyTorch file is the whole zip archive that torch.save
// writes. Its tensors' shapes lie in a pickle and are not looked at: nil.
func readPickle(path string) (map[string]tensorInfo, error) {
	r, err := zip.OpenReader(path)
	if err != nil {
		return nil, fmt.Errorf("not a whole PyTorch archive: %w", err)
	}
	return nil, r.Close()
}
