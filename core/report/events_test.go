package report

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
)

func TestMaskedChecksum(t *testing.T) {
	// RFC 3720, B.4: 32 bytes of zero have the CRC-32C 8a9136aa.
	c := uint32(0x8a9136aa)
	require.Equal(t, (c>>15|c<<17)+0xa282ead8, masked(make([]byte, 32)))
}

// records checks the frames of an event file and returns their data.
func records(t *testing.T, path string) [][]byte {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	var out [][]byte
	for len(data) > 0 {
		n := binary.LittleEndian.Uint64(data)
		require.Equal(t, masked(data[:8]), binary.LittleEndian.Uint32(data[8:]))
		body := data[12 : 12+n]
		require.Equal(t, masked(body), binary.LittleEndian.Uint32(data[12+n:]))
		out = append(out, body)
		data = data[16+n:]
	}
	return out
}

func eventFiles(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "events.out.tfevents.*"))
	require.NoError(t, err)
	return files
}

func TestEvents(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tb")
	now := func() time.Time { return time.Unix(1_770_000_000, 0) }
	e, err := openEvents(dir, 0, now)
	require.NoError(t, err)
	require.NoError(t, e.Scalars(1, map[string]float64{"train/loss": 0.5}))
	require.NoError(t, e.Scalars(1, nil))
	require.NoError(t, e.Histogram(1, "none", []float64{math.NaN()}))
	files := eventFiles(t, dir)
	require.Equal(t, []string{filepath.Join(dir, "events.out.tfevents.1770000000.islm.0")}, files)
	got := records(t, files[0]) // written at once, before Close
	require.Len(t, got, 2)
	require.Contains(t, string(got[0]), "brain.Event:2")
	require.Contains(t, string(got[1]), "train/loss")
	require.NoError(t, e.Close())

	// A run that goes on within the same second has a file of its own.
	e, err = openEvents(dir, 1, now)
	require.NoError(t, err)
	require.NoError(t, e.Close())
	files = eventFiles(t, dir)
	require.Len(t, files, 2)
	got = records(t, files[1])
	require.Len(t, got, 2)
	_, typ, n := protowire.ConsumeTag(got[1][9:])
	require.Equal(t, protowire.VarintType, typ)
	step, _ := protowire.ConsumeVarint(got[1][9+n:])
	require.EqualValues(t, 2, step, "session starts after the step that is kept")

	_, err = OpenEvents(filepath.Join(files[0], "x"), 0)
	require.ErrorContains(t, err, "open events")
}

const readEvents = `
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
a = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0, "tensors": 0, "histograms": 0})
a.Reload()
t = a.Tags()
print(json.dumps({
    "scalars": {k: [[e.step, e.value] for e in a.Scalars(k)] for k in t["scalars"]},
    "texts": {k: [[e.step, e.tensor_proto.string_val[0].decode()] for e in a.Tensors(k)] for k in t["tensors"]},
    "plugins": {k: a.SummaryMetadata(k).plugin_data.plugin_name for k in t["tensors"]},
    "histograms": {k: [[e.step, h.min, h.max, h.num, h.sum, sum(h.bucket), len(h.bucket_limit)] for e in a.Histograms(k) for h in [e.histogram_value]] for k in t["histograms"]},
}))
`

// TensorBoard itself reads what we wrote, across a resume.
func TestParityTensorBoardReadsEvents(t *testing.T) {
	python := os.Getenv("ISLM_PARITY_PY")
	if python == "" {
		t.Skip("ISLM_PARITY_PY names no Python with tensorboard (make parity)")
	}
	dir := t.TempDir()
	e, err := OpenEvents(dir, 0)
	require.NoError(t, err)
	for step := 1; step <= 5; step++ {
		require.NoError(t, e.Scalars(step, map[string]float64{"train/loss": 1 / float64(step), "lr": 2e-5}))
	}
	require.NoError(t, e.Text(0, "plan", "seed: 42 央行 📈\xff"))
	require.NoError(t, e.Histogram(2, "lengths", []float64{1, 2, 2, 10, math.Inf(1)}))
	require.NoError(t, e.Histogram(2, "equal", []float64{3, 3}))
	require.NoError(t, e.Close())
	// killed after step 5, goes on from the checkpoint at 3
	e, err = OpenEvents(dir, 3)
	require.NoError(t, err)
	for step := 4; step <= 6; step++ {
		require.NoError(t, e.Scalars(step, map[string]float64{"train/loss": 10 / float64(step)}))
	}
	require.NoError(t, e.Close())

	cmd := exec.Command(python, "-c", readEvents, dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	require.NoError(t, err)
	var got struct {
		Scalars    map[string][][2]float64
		Texts      map[string][][2]any
		Plugins    map[string]string
		Histograms map[string][][7]float64
	}
	require.NoError(t, json.Unmarshal(out, &got), string(out))
	f := func(v float64) float64 { return float64(float32(v)) }
	require.Equal(t, [][2]float64{{1, 1}, {2, 0.5}, {3, f(1.0 / 3)}, {4, 2.5}, {5, 2}, {6, f(10.0 / 6)}}, got.Scalars["train/loss"])
	require.Equal(t, [][2]any{{0.0, "seed: 42 央行 📈\uFFFD"}}, got.Texts["plan"])
	require.Equal(t, "text", got.Plugins["plan"])
	require.Equal(t, [][7]float64{{2, 1, 10, 4, 15, 4, 30}}, got.Histograms["lengths"])
	require.Equal(t, [][7]float64{{2, 3, 3, 2, 6, 2, 30}}, got.Histograms["equal"])
}
