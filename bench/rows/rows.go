// Package rows keeps the finished rows of a benchmark: one JSON object a line,
// appended as runs finish, so that a long measurement can be stopped and continued.
package rows

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
)

// File is a file of rows of one kind.
type File[T any] struct {
	path string
	key  func(T) string
	done map[string]bool
	All  []T // in the order of the file
}

// Open reads a file of rows, which may be absent. Rows of one key stand for the
// same measurement.
func Open[T any](path string, key func(T) string) (*File[T], error) {
	r := &File[T]{path: path, key: key, done: map[string]bool{}}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		var row T
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, n, err)
		}
		r.keep(row)
	}
	return r, lines.Err()
}

func (f *File[T]) keep(row T) {
	f.All = append(f.All, row)
	f.done[f.key(row)] = true
}

// Has reports whether a row of the same key is there.
func (f *File[T]) Has(row T) bool { return f.done[f.key(row)] }

// Append writes a row to the file and to stdout.
func (f *File[T]) Append(row T) error {
	text, err := json.Marshal(row)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(f.path), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(f.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(file, string(text))
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	fmt.Println(string(text))
	f.keep(row)
	return nil
}

// Mean is the mean of some numbers and their standard deviation (n-1), 0 for one.
func Mean(of []float64) (mean, deviation float64) {
	for _, v := range of {
		mean += v / float64(len(of))
	}
	if len(of) < 2 {
		return mean, 0
	}
	for _, v := range of {
		deviation += (v - mean) * (v - mean) / float64(len(of)-1)
	}
	return mean, math.Sqrt(deviation)
}
