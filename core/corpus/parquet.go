package corpus

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"

	"github.com/islm-dev/islm/sdk"
)

// readParquet reads the rows of a Parquet file: columns of texts, numbers and
// booleans, lists of them, and lists of groups such as spans. Class numbers
// that the `datasets` library wrote get the names that it wrote beside them.
// Rows are counted as lines.
func readParquet(file string, data []byte, p *problems) (records []record) {
	fail := func(err any) {
		p.add(sdk.Diagnostic{Severity: sdk.Error, Code: "data.parquet", File: file, Summary: fmt.Sprintf("cannot be read as Parquet: %v", err)})
	}
	defer func() { // the library panics on some damaged files
		if r := recover(); r != nil {
			records = nil
			fail(r)
		}
	}()
	f, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		fail(err)
		return nil
	}
	leaves := f.Schema().Columns()
	var names []string
	for _, path := range leaves {
		if len(names) == 0 || names[len(names)-1] != path[0] {
			names = append(names, path[0])
		}
	}
	classes := classNames(f)
	reader := parquet.NewReader(f)
	defer reader.Close()
	buffer := make([]parquet.Row, 256)
	for {
		n, err := reader.ReadRows(buffer)
		for _, values := range buffer[:n] {
			rec := record{line: len(records) + 1, names: names, fields: map[string]any{}}
			values.Range(func(column int, values []parquet.Value) bool {
				setParquet(rec.fields, leaves[column], values, classes)
				return true
			})
			records = append(records, rec)
		}
		if errors.Is(err, io.EOF) {
			return records
		}
		if err != nil {
			fail(err)
			return records
		}
	}
}

// setParquet puts the values of one leaf column of one row into fields.
func setParquet(fields map[string]any, path []string, values []parquet.Value, classes map[string][]string) {
	name := path[0]
	plain := func(v parquet.Value) any {
		x := parquetValue(v)
		if n, ok := x.(json.Number); ok && len(classes[name]) > 0 {
			if i, err := strconv.Atoi(n.String()); err == nil && i >= 0 && i < len(classes[name]) {
				return classes[name][i]
			}
		}
		return x
	}
	if len(path) == 1 {
		if len(values) == 1 && !values[0].IsNull() {
			fields[name] = plain(values[0])
		}
		return
	}
	leaf := path[len(path)-1]
	list, _ := fields[name].([]any)
	scalars := leaf == "element" || leaf == "item" || leaf == "array"
	i := 0
	for _, v := range values {
		if v.IsNull() {
			continue
		}
		switch {
		case scalars:
			list = append(list, plain(v))
		default: // a list of groups: the leaves of one group come in step
			for len(list) <= i {
				list = append(list, map[string]any{})
			}
			if group, ok := list[i].(map[string]any); ok {
				group[leaf] = plain(v)
			}
		}
		i++
	}
	if list == nil {
		list = []any{}
	}
	fields[name] = list
}

func parquetValue(v parquet.Value) any {
	switch v.Kind() {
	case parquet.Boolean:
		return v.Boolean()
	case parquet.Int32:
		return json.Number(strconv.FormatInt(int64(v.Int32()), 10))
	case parquet.Int64:
		return json.Number(strconv.FormatInt(v.Int64(), 10))
	case parquet.Float:
		return json.Number(strconv.FormatFloat(float64(v.Float()), 'g', -1, 32))
	case parquet.Double:
		return json.Number(strconv.FormatFloat(v.Double(), 'g', -1, 64))
	}
	text := string(v.ByteArray())
	if !utf8.ValidString(text) {
		return fmt.Sprintf("%x", text) // bytes that are no text
	}
	return text
}

// classNames reads the names of classes that the `datasets` library keeps in
// the metadata, by column.
func classNames(f *parquet.File) map[string][]string {
	text, ok := f.Lookup("huggingface")
	if !ok {
		return nil
	}
	type feature struct {
		Names   []string `json:"names"`
		Type    string   `json:"_type"`
		Feature *struct {
			Names []string `json:"names"`
		} `json:"feature"`
	}
	var meta struct {
		Info struct {
			Features map[string]json.RawMessage `json:"features"`
		} `json:"info"`
	}
	if json.Unmarshal([]byte(text), &meta) != nil {
		return nil
	}
	classes := map[string][]string{}
	for name, raw := range meta.Info.Features {
		var ft feature
		if json.Unmarshal(raw, &ft) != nil {
			continue
		}
		if len(ft.Names) > 0 {
			classes[name] = ft.Names
		} else if ft.Feature != nil {
			classes[name] = ft.Feature.Names
		}
	}
	return classes
}
