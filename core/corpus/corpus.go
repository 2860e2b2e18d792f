package corpus

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

// Domain is the part of a plugin that reads data. It may be nil.
type Domain interface {
	// Datasets lists what can be named in data.path or data.format.
	Datasets() []sdk.Dataset
	// ReadDataset streams one split of a dataset; see sdk.ReadRequest.
	ReadDataset(ctx context.Context, req sdk.ReadRequest) iter.Seq2[sdk.Example, error]
}

// Request says what to read.
type Request struct {
	Plan   *recipe.Plan
	Heads  []sdk.HeadSpec // declared by plugins, or those of a finished model
	Domain Domain
	// Whole takes a single file as the test split instead of splitting it, for
	// evaluation and prediction.
	Whole bool
	// Closed keeps to Heads: labels of other heads are left aside, labels that
	// a head does not know are errors. For finished models.
	Closed bool
	// Grow lets the declared heads get labels that only the data have, after their
	// own. For finished models that learn more.
	Grow bool
	// Check reports what is wrong and tolerates what only training needs.
	Check bool
	// Keep names declared heads that stay though no example has a label for them:
	// a teacher's. Examples then need no labels.
	Keep []string
	// Unlabelled: examples need no labels at all.
	Unlabelled bool
	// Only is the one split that is looked at: files and datasets of others are not
	// read, of a file that is split its rows alone are kept. "" = all.
	Only string
}

// wants reports whether a split, or what is split, is read.
func (r *Request) wants(split string) bool {
	return r.Only == "" || split == r.Only || split == "all"
}

// Input is one file or dataset that was read.
type Input struct {
	Path     string `json:"path"` // of a file, else the dataset's name
	Split    string `json:"split"`
	SHA256   string `json:"sha256"` // of the file's bytes, else of the examples
	Bytes    int64  `json:"bytes"`
	Examples int    `json:"examples"`
}

// Corpus is the checked examples of a run.
type Corpus struct {
	Heads  []sdk.HeadSpec // that have labels, in order; their label sets are complete
	Train  []sdk.Example
	Valid  []sdk.Example
	Test   []sdk.Example
	Inputs []Input
}

// Split returns the examples of train, valid or test.
func (c *Corpus) Split(name string) []sdk.Example {
	switch name {
	case "train":
		return c.Train
	case "valid":
		return c.Valid
	case "test":
		return c.Test
	}
	return nil
}

// SplitNames are the splits of a corpus in order.
func SplitNames() []string { return []string{"train", "valid", "test"} }

// Read reads, checks and splits the data of a run. The diagnostics hold every
// problem and every notice; the corpus can be used when none of them is an
// error. An error means that nothing could be read: a missing file, a plugin
// that died, an interrupt.
func Read(ctx context.Context, req Request) (*Corpus, sdk.Diagnostics, error) {
	p := &problems{check: req.Check}
	c := &Corpus{}
	splits, err := c.load(ctx, &req, p)
	if err != nil {
		return nil, p.diagnostics(), err
	}
	if err := ctx.Err(); err != nil {
		return nil, p.diagnostics(), err
	}
	// Problems of single rows make their labels incomplete: what follows would
	// report them a second time in other words.
	if all := splits["all"]; len(all) > 0 {
		for _, r := range all {
			split := splitByHash(&r.Example, req.Plan)
			splits[split] = append(splits[split], r)
		}
		reportSplit(splits, req.Plan, p)
		delete(splits, "all")
	}
	if req.Only != "" {
		maps.DeleteFunc(splits, func(name string, _ []row) bool { return name != req.Only })
	}
	relate(splits, &req)
	c.Heads = resolveHeads(splits, &req, p)
	for _, name := range SplitNames() {
		examples := make([]sdk.Example, len(splits[name]))
		for i, r := range splits[name] {
			examples[i] = r.Example
		}
		switch name {
		case "train":
			c.Train = examples
		case "valid":
			c.Valid = examples
		case "test":
			c.Test = examples
		}
	}
	c.check(&req, p)
	return c, p.diagnostics(), nil
}

// Find says whether the data of a request are there, and reads none of them. What is
// wrong is told as Read tells it.
func Find(req Request) (sdk.Diagnostics, error) {
	p := &problems{check: req.Check}
	datasets, err := findDatasets(&req, p)
	if err == nil && datasets == nil {
		if _, err = locate(&req, p); err != nil {
			err = missingData(&req, err)
		}
	}
	return p.diagnostics(), err
}

// load reads all inputs into splits and gives rows without an ID one.
func (c *Corpus) load(ctx context.Context, req *Request, p *problems) (map[string][]row, error) {
	splits := map[string][]row{}
	datasets, err := findDatasets(req, p)
	if err != nil {
		return nil, err
	}
	for _, dataset := range datasets {
		if err := c.loadDataset(ctx, req, dataset, len(datasets) > 1, splits, p); err != nil {
			return nil, err
		}
	}
	if datasets == nil {
		parts, err := locate(req, p)
		if err != nil {
			return nil, missingData(req, err)
		}
		for _, part := range parts {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if !req.wants(part.split) {
				continue
			}
			rows, err := c.loadFile(ctx, req, part, p)
			if err != nil {
				return nil, err
			}
			splits[part.split] = append(splits[part.split], rows...)
		}
	}
	for name, rows := range splits {
		for i := range rows {
			if rows[i].ID == "" {
				rows[i].ID = fmt.Sprintf("%s-%d", name, i+1)
			}
		}
	}
	return splits, nil
}

// findDatasets returns the domain's datasets that data.path names, unless there
// is such a path; without any data named, those that the domain carries.
func findDatasets(req *Request, p *problems) ([]sdk.Dataset, error) {
	d := &req.Plan.Data
	var all []sdk.Dataset
	if req.Domain != nil {
		all = req.Domain.Datasets()
	}
	if d.Path == "" {
		if d.Train != "" || d.Valid != "" || d.Test != "" {
			return nil, nil
		}
		var embedded []sdk.Dataset
		var names []string
		for _, s := range all {
			if s.Embedded {
				embedded, names = append(embedded, s), append(names, s.Name)
			}
		}
		if len(embedded) == 0 {
			return nil, sdk.Diagnostics{{Severity: sdk.Error, Code: "data.path", Summary: "there are no data to read", Remedy: "name a folder, a file or a dataset with --data"}}.Err()
		}
		p.notice("data.path", "", "no data named: using what the domain carries: %s", strings.Join(names, ", "))
		return embedded, nil
	}
	if _, err := os.Stat(d.Path); err == nil {
		return nil, nil
	}
	var found []sdk.Dataset
	for name := range strings.SplitSeq(d.Path, ",") {
		name = strings.TrimSpace(name)
		i := slices.IndexFunc(all, func(s sdk.Dataset) bool { return s.Name == name })
		if i < 0 {
			return nil, nil
		}
		found = append(found, all[i])
	}
	return found, nil
}

// missingData says what could have been meant when data.path leads nowhere.
func missingData(req *Request, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	d := sdk.Diagnostic{Severity: sdk.Error, Code: "data.path", Summary: err.Error(), Remedy: "check the path; --domain makes the datasets of a plugin known by name"}
	if req.Domain != nil {
		var names []string
		for _, s := range req.Domain.Datasets() {
			names = append(names, s.Name)
		}
		if len(names) > 0 {
			d.Remedy = "datasets of the domain: " + strings.Join(names, ", ")
			if near := sdk.Nearest(req.Plan.Data.Path, names); near != "" {
				d.Remedy = fmt.Sprintf("did you mean %q? (%s)", near, d.Remedy)
			}
		}
	}
	return &sdk.DiagnosticsError{Diagnostics: sdk.Diagnostics{d}, Fatal: true, Cause: err}
}

// loadFile reads one file with a reader of this package or of the domain.
func (c *Corpus) loadFile(ctx context.Context, req *Request, f part, p *problems) ([]row, error) {
	format := req.Plan.Data.Format
	if format == "" || format == "auto" {
		format = formatOf(f.path)
	}
	if !slices.Contains(Formats(), format) {
		return c.loadHook(ctx, req, f, format, p)
	}
	data, err := os.ReadFile(f.path)
	if err != nil {
		return nil, fmt.Errorf("read data: %w", err)
	}
	if format == "text" && req.Plan.Data.Format != format {
		p.notice("data.format", f.path, "read as one text per line, without labels")
	}
	rows := readFile(f.path, format, data, &req.Plan.Data, p)
	sum := sha256.Sum256(data)
	c.Inputs = append(c.Inputs, Input{Path: f.path, Split: f.split, SHA256: hex.EncodeToString(sum[:]), Bytes: int64(len(data)), Examples: len(rows)})
	return rows, nil
}

// loadHook reads a file in a format that only the domain knows.
func (c *Corpus) loadHook(ctx context.Context, req *Request, f part, format string, p *problems) ([]row, error) {
	d := sdk.Diagnostic{Severity: sdk.Error, Code: "data.format", File: f.path}
	known := Formats()
	if req.Domain != nil {
		for _, s := range req.Domain.Datasets() {
			if s.Hook == "" {
				continue
			}
			if s.Name == format || s.Hook == format {
				path, err := filepath.Abs(f.path) // the plugin may run in another folder
				if err != nil {
					return nil, fmt.Errorf("read data: %w", err)
				}
				return c.stream(ctx, req, s, sdk.ReadRequest{Dataset: s.Name, Split: f.split, Path: path}, f.split, p)
			}
			known = append(known, s.Name)
		}
	}
	list := strings.Join(known, ", ")
	switch {
	case format == "":
		d.Summary = fmt.Sprintf("the ending %q says nothing about the format", filepath.Ext(f.path))
		d.Remedy = "--set data.format=NAME with one of: " + list
	default:
		d.Summary = fmt.Sprintf("unknown format %q", format)
		d.Remedy = "one of: " + list
		if near := sdk.Nearest(format, known); near != "" {
			d.Remedy = fmt.Sprintf("did you mean %q? (%s)", near, d.Remedy)
		}
	}
	p.add(d)
	return nil, nil
}

// loadDataset reads the splits of a domain's dataset. Of several datasets the
// IDs get the dataset's name before them.
func (c *Corpus) loadDataset(ctx context.Context, req *Request, dataset sdk.Dataset, several bool, splits map[string][]row, p *problems) error {
	names := dataset.Splits
	if len(names) == 0 {
		names = []string{"all"}
	}
	for _, split := range names {
		if split == "all" && slices.Contains(names, "train") || !req.wants(split) {
			continue
		}
		rows, err := c.stream(ctx, req, dataset, sdk.ReadRequest{Dataset: dataset.Name, Split: split}, split, p)
		if err != nil {
			return err
		}
		for i := range rows {
			if several && rows[i].ID != "" {
				rows[i].ID = dataset.Name + "/" + rows[i].ID
			}
		}
		if split == "all" && req.Whole {
			split = "test"
		}
		splits[split] = append(splits[split], rows...)
	}
	return nil
}

// stream reads one split from the domain.
func (c *Corpus) stream(ctx context.Context, req *Request, dataset sdk.Dataset, ask sdk.ReadRequest, split string, p *problems) ([]row, error) {
	var rows []row
	digest := sha256.New()
	var size int64
	for ex, err := range req.Domain.ReadDataset(ctx, ask) {
		if err != nil {
			if ds, fatal, ok := sdk.DiagnosticsOf(err); ok && !fatal {
				for _, d := range ds {
					p.add(d)
				}
				break
			}
			return nil, fmt.Errorf("read dataset %s: %w", dataset.Name, err)
		}
		if ex.File == "" {
			ex.File = dataset.Name
		}
		for _, d := range ex.Check() {
			p.add(d)
		}
		size += int64(len(ex.Text) + len(ex.TextB))
		writeExample(digest, &ex)
		rows = append(rows, rowOf(ex, dataset))
	}
	if len(rows) == 0 && !p.has(dataset.Name) {
		p.add(sdk.Diagnostic{Severity: sdk.Error, Code: "data.empty", File: dataset.Name, Summary: fmt.Sprintf("split %s of dataset %s holds no examples", split, dataset.Name),
			Remedy: "look at the plugin's options for this dataset (islm plugin describe), or name other data with --data"})
	}
	name := dataset.Name
	if ask.Path != "" {
		name = ask.Path
	}
	c.Inputs = append(c.Inputs, Input{Path: name, Split: split, SHA256: hex.EncodeToString(digest.Sum(nil)), Bytes: size, Examples: len(rows)})
	return checkText(dataset.Name, rows, p), nil
}

// rowOf takes the labels of an example apart. The dataset's task is the head of
// bare labels.
func rowOf(ex sdk.Example, dataset sdk.Dataset) row {
	r := row{Example: ex}
	r.Labels = nil
	for _, head := range sortedKeys(ex.Labels) {
		l := ex.Labels[head]
		if head == "" {
			head = dataset.Task
		}
		switch {
		case isPair(l.Spans):
			r.labels = append(r.labels, rawLabel{head: head, form: formRelation, values: l.Values, spans: l.Spans})
			continue
		case l.Spans != nil && l.Values != nil:
			r.labels = append(r.labels, rawLabel{head: head, form: formAnswers, values: l.Values, spans: l.Spans})
			continue
		case l.Tags != nil:
			r.labels = append(r.labels, rawLabel{head: head, form: formTags, tags: l.Tags})
		case l.Spans != nil:
			r.labels = append(r.labels, rawLabel{head: head, form: formSpans, spans: l.Spans})
		}
		switch {
		case l.Number != nil:
			r.labels = append(r.labels, rawLabel{head: head, form: formNumber, number: *l.Number, values: []string{numberText(*l.Number)}})
		case len(l.Values) == 1:
			r.labels = append(r.labels, rawLabel{head: head, form: formSingle, values: l.Values})
		case l.Values != nil:
			r.labels = append(r.labels, rawLabel{head: head, form: formMulti, values: l.Values})
		}
	}
	return r
}
