package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"slices"
)

// Entry is one line of log.jsonl. As JSON it is one flat object: kind, step,
// epoch, the values by name, then best and text where set. A value that is not
// a number (a loss that diverged) is written as "NaN", "+Inf" or "-Inf".
type Entry struct {
	Kind   string // step, epoch, valid, checkpoint, resume, notice
	Step   int    // optimizer steps done
	Epoch  int    // from 1
	Values map[string]float64
	Best   bool
	Text   string
}

// Names of values that the report's curves know; others are kept as they are.
const (
	ValueLoss     = "loss" // kind step: of the step, epoch: mean of the epoch, valid: on the validation data
	ValueLR       = "lr"
	ValueGradNorm = "grad_norm"
	ValueTokens   = "tokens"
	ValueSeconds  = "seconds" // since the first step of the process
	ValueScore    = "score"   // kind valid: what best checkpoint and early stopping go by
)

// Log appends to log.jsonl. Each entry is one write, so that a killed process
// leaves at most one torn line, at the end.
type Log struct{ file *os.File }

// OpenLog opens a log for appending and makes it if there is none. A torn last
// line is removed.
func OpenLog(path string) (*Log, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	whole, err := wholeLines(f)
	if err == nil {
		err = f.Truncate(whole)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open log: %w", err), f.Close())
	}
	return &Log{f}, nil
}

// Append writes one entry.
func (l *Log) Append(e Entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	if _, err := l.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("log: %w", err)
	}
	return nil
}

// Close closes the file.
func (l *Log) Close() error { return l.file.Close() }

// ReadLog reads all entries. A torn last line is left out; any other line that
// is not an entry is an error with its number. A log that does not exist is
// empty.
func ReadLog(path string) ([]Entry, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read log: %w", err)
	}
	defer func() { _ = f.Close() }()
	entries, err := readEntries(f)
	if err != nil {
		return nil, fmt.Errorf("read log: %s: %w", path, err)
	}
	return entries, nil
}

// TruncateLog drops all entries after an optimizer step, whole or not at all:
// a run that resumes there writes them again, and the log tells one story.
func TruncateLog(path string, step int) error {
	entries, err := ReadLog(path)
	if err != nil {
		return err
	}
	if entries == nil {
		return nil
	}
	var b bytes.Buffer
	for _, e := range entries {
		if e.Step > step {
			continue
		}
		line, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("truncate log: %w", err)
		}
		b.Write(append(line, '\n'))
	}
	if err := writeWhole(path, b.Bytes()); err != nil {
		return fmt.Errorf("truncate log: %w", err)
	}
	return nil
}

func readEntries(r io.Reader) ([]Entry, error) {
	var out []Entry
	in := bufio.NewReader(r)
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		if err == io.EOF {
			return out, nil // what lies behind the last line break is torn
		}
		if err != nil {
			return nil, err
		}
		e := Entry{}
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		out = append(out, e)
	}
}

// MarshalJSON writes the flat object.
func (e Entry) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"kind":%s,"step":%d,"epoch":%d`, quote(e.Kind), e.Step, e.Epoch)
	for _, name := range slices.Sorted(maps.Keys(e.Values)) {
		if slices.Contains([]string{"kind", "step", "epoch", "best", "text"}, name) {
			return nil, fmt.Errorf("value %q has a reserved name", name)
		}
		v := e.Values[name]
		b.WriteString("," + quote(name) + ":")
		if math.IsNaN(v) || math.IsInf(v, 0) {
			fmt.Fprintf(&b, `"%v"`, v)
			continue
		}
		number, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		b.Write(number)
	}
	if e.Best {
		b.WriteString(`,"best":true`)
	}
	if e.Text != "" {
		b.WriteString(`,"text":` + quote(e.Text))
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// UnmarshalJSON reads the flat object; keys that hold no number are errors.
func (e *Entry) UnmarshalJSON(data []byte) error {
	raw := map[string]json.RawMessage{}
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	*e = Entry{}
	for key, into := range map[string]any{"kind": &e.Kind, "step": &e.Step, "epoch": &e.Epoch, "best": &e.Best, "text": &e.Text} {
		value, ok := raw[key]
		if !ok {
			continue
		}
		delete(raw, key)
		if err := json.Unmarshal(value, into); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	for key, value := range raw {
		v := 0.0
		switch string(value) {
		case `"NaN"`:
			v = math.NaN()
		case `"+Inf"`:
			v = math.Inf(1)
		case `"-Inf"`:
			v = math.Inf(-1)
		default:
			if err := json.Unmarshal(value, &v); err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
		}
		if e.Values == nil {
			e.Values = map[string]float64{}
		}
		e.Values[key] = v
	}
	return nil
}

// quote is a JSON string.
func quote(s string) string {
	b, _ := json.Marshal(s) // a string always marshals
	return string(b)
}

// wholeLines returns the length of the file up to its last line break.
func wholeLines(f *os.File) (int64, error) {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	buf := make([]byte, 4096)
	for end := size; end > 0; {
		start := max(0, end-int64(len(buf)))
		n, err := f.ReadAt(buf[:end-start], start)
		if err != nil && err != io.EOF {
			return 0, err
		}
		if i := bytes.LastIndexByte(buf[:n], '\n'); i >= 0 {
			return start + int64(i) + 1, nil
		}
		end = start
	}
	return 0, nil
}

// writeWhole replaces a file by a complete one.
func writeWhole(path string, data []byte) error {
	tmp := path + ".tmp"
	err := os.WriteFile(tmp, data, 0o644)
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		_ = os.Remove(tmp)
	}
	return err
}
