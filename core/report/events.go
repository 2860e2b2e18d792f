package report

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Events writes a TensorBoard event file: TFRecord frames (length, masked
// CRC-32C, data, masked CRC-32C) that hold tensorboard.Event messages. Every
// call is one write, so that a running TensorBoard sees it at once.
//
// A run that goes on opens a new file in the same folder: its first event
// says from which step it starts, and TensorBoard drops the steps of earlier
// files that are written again.
type Events struct {
	file *os.File
	now  func() time.Time
}

// OpenEvents makes a new event file in a folder. from is the step after which
// the run goes on, 0 for a run from its beginning. The host's name is not part
// of the file's.
func OpenEvents(dir string, from int) (*Events, error) {
	return openEvents(dir, from, time.Now)
}

func openEvents(dir string, from int, now func() time.Time) (*Events, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("open events: %w", err)
	}
	e := &Events{now: now}
	for i := 0; ; i++ {
		name := fmt.Sprintf("events.out.tfevents.%010d.islm.%d", now().Unix(), i)
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("open events: %w", err)
		}
		e.file = f
		break
	}
	version := protowire.AppendTag(nil, 3, protowire.BytesType)
	version = protowire.AppendString(version, "brain.Event:2")
	err := e.write(0, version)
	if err == nil && from > 0 {
		start := protowire.AppendTag(nil, 1, protowire.VarintType) // SessionLog.status
		start = protowire.AppendVarint(start, 1)                   // START
		err = e.write(from+1, message(nil, 7, start))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open events: %w", err), e.file.Close())
	}
	return e, nil
}

// Scalars writes numbers of one step, by tag (`train/loss`).
func (e *Events) Scalars(step int, values map[string]float64) error {
	var summary []byte
	for _, tag := range slices.Sorted(maps.Keys(values)) {
		v := stringField(nil, 1, tag)
		v = protowire.AppendTag(v, 2, protowire.Fixed32Type)
		v = protowire.AppendFixed32(v, math.Float32bits(float32(values[tag])))
		summary = message(summary, 1, v)
	}
	if summary == nil {
		return nil
	}
	return e.summary(step, summary)
}

// Text writes Markdown that TensorBoard shows in its text tab.
func (e *Events) Text(step int, tag, markdown string) error {
	tensor := protowire.AppendTag(nil, 1, protowire.VarintType)
	tensor = protowire.AppendVarint(tensor, 7) // DT_STRING
	dim := protowire.AppendTag(nil, 1, protowire.VarintType)
	dim = protowire.AppendVarint(dim, 1)
	tensor = message(tensor, 2, message(nil, 2, dim))
	tensor = stringField(tensor, 8, markdown)

	v := stringField(nil, 1, tag)
	v = message(v, 9, message(nil, 1, stringField(nil, 1, "text")))
	v = message(v, 8, tensor)
	return e.summary(step, message(nil, 1, v))
}

// Histogram writes the distribution of values in 30 equal buckets. Values that
// are not finite are left out.
func (e *Events) Histogram(step int, tag string, values []float64) error {
	finite := slices.DeleteFunc(slices.Clone(values), func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) })
	if len(finite) == 0 {
		return nil
	}
	low, high, total, squares := finite[0], finite[0], 0.0, 0.0
	for _, v := range finite {
		low, high = math.Min(low, v), math.Max(high, v)
		total += v
		squares += v * v
	}
	const buckets = 30
	limits, counts := make([]float64, buckets), make([]float64, buckets)
	for i := range limits {
		limits[i] = low + (high-low)*float64(i+1)/buckets
	}
	limits[buckets-1] = math.Nextafter(high, math.Inf(1))
	for _, v := range finite {
		counts[min(sort.SearchFloat64s(limits, v), buckets-1)]++
	}
	h := []byte{}
	for i, v := range []float64{low, high, float64(len(finite)), total, squares} {
		h = protowire.AppendTag(h, protowire.Number(i+1), protowire.Fixed64Type)
		h = protowire.AppendFixed64(h, math.Float64bits(v))
	}
	for i, list := range [][]float64{limits, counts} {
		packed := []byte{}
		for _, v := range list {
			packed = protowire.AppendFixed64(packed, math.Float64bits(v))
		}
		h = message(h, protowire.Number(6+i), packed)
	}
	return e.summary(step, message(nil, 1, message(stringField(nil, 1, tag), 5, h)))
}

// Close closes the file.
func (e *Events) Close() error { return e.file.Close() }

func (e *Events) summary(step int, summary []byte) error {
	if err := e.write(step, message(nil, 5, summary)); err != nil {
		return fmt.Errorf("write events: %w", err)
	}
	return nil
}

// write frames one Event; what holds the fields after time and step.
func (e *Events) write(step int, what []byte) error {
	event := protowire.AppendTag(nil, 1, protowire.Fixed64Type)
	event = protowire.AppendFixed64(event, math.Float64bits(float64(e.now().UnixNano())/1e9))
	event = protowire.AppendTag(event, 2, protowire.VarintType)
	event = protowire.AppendVarint(event, uint64(step))
	event = append(event, what...)

	frame := binary.LittleEndian.AppendUint64(nil, uint64(len(event)))
	frame = binary.LittleEndian.AppendUint32(frame, masked(frame))
	frame = append(frame, event...)
	frame = binary.LittleEndian.AppendUint32(frame, masked(event))
	_, err := e.file.Write(frame)
	return err
}

// masked is TFRecord's checksum: CRC-32C, rotated and shifted so that it may
// stand inside data that is checked itself.
func masked(data []byte) uint32 {
	c := crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))
	return (c>>15 | c<<17) + 0xa282ead8
}

func message(b []byte, field protowire.Number, body []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), body)
}

func stringField(b []byte, field protowire.Number, s string) []byte {
	return message(b, field, []byte(strings.ToValidUTF8(s, "\uFFFD")))
}
