package corpus

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/token"
	"github.com/islm-dev/islm/sdk"
)

// PackRequest says how running text becomes rows.
type PackRequest struct {
	Files           []string
	Plan            *recipe.Plan
	Tokenizer       *token.Tokenizer
	TokenizerDigest string
	Length          int    // ids of a row, special tokens included
	Home            string // folder of finished stages, …/stages/text

	Causal bool // rows are whole blocks for a causal language model
	// Linker marks the pieces of linked entities, which are then masked together;
	// nil = none. LinkerDigest names it.
	Linker       recipe.Linker
	LinkerDigest string
	// Task: the texts are these, whatever Files are; those of Valid are held out.
	Task *TaskTexts
	// Chosen are the numbers of the texts that are taken, counted from 0 over Texts
	// of Files; nil = all. ChosenDigest names them.
	Chosen       map[int]bool
	ChosenDigest string

	shard int64 // bytes of a file of rows, cut to whole rows; 0 = shardBytes
}

// TaskTexts are the texts of a task's own examples.
type TaskTexts struct{ Train, Valid []string }

// source streams the texts of a request, with whether they are held out.
func (req *PackRequest) source(ctx context.Context) iter.Seq2[packText, error] {
	return func(yield func(packText, error) bool) {
		if req.Task != nil {
			for i, texts := range [][]string{req.Task.Train, req.Task.Valid} {
				for _, text := range texts {
					if strings.TrimSpace(text) != "" && !yield(packText{text, i == 1}, ctx.Err()) {
						return
					}
				}
			}
			return
		}
		n := -1
		for t, err := range Texts(ctx, req.Files, &req.Plan.Data) {
			if n++; err == nil && req.Chosen != nil && !req.Chosen[n] {
				continue
			}
			if !yield(packText{t.Text, err == nil && HeldOut(t.Text, req.Plan)}, err) || err != nil {
				return
			}
		}
	}
}

// TrainTexts streams the texts that are not held out.
func (req *PackRequest) TrainTexts(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for t, err := range req.source(ctx) {
			if !t.held && !yield(t.text, err) {
				return
			}
		}
	}
}

// SourceDigest names the texts of a request and which of them are held out.
func (req *PackRequest) SourceDigest() (string, error) {
	inputs, err := DigestTexts(req.Files)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	req.describe(h, inputs)
	return hex.EncodeToString(h.Sum(nil)), nil
}

func (req *PackRequest) describe(h io.Writer, inputs []Input) {
	fmt.Fprintf(h, "reader %d\nplan %s\nchosen %s\n", TextReader, req.Plan.Digest(recipe.StageCorpus), req.ChosenDigest)
	for _, in := range inputs {
		fmt.Fprintf(h, "%s %s\n", filepath.Ext(in.Path), in.SHA256)
	}
	if req.Task == nil {
		return
	}
	for _, texts := range [][]string{req.Task.Train, req.Task.Valid} {
		for _, text := range texts {
			fmt.Fprintf(h, "%d %s", len(text), text)
		}
		fmt.Fprintln(h)
	}
}

type packText struct {
	text string
	held bool
}

// Packed is running text as rows of equal length: texts one after the other, [CLS]
// at the front, [SEP] behind each, long ones going on in the next row. Rows lie in
// files of at most 64 MiB; no more than a block of them is in memory.
type Packed struct {
	Train, Valid *PackedRows
	Digest       string
	Dir          string
	Reused       bool
	Inputs       []Input
	Stats        PackStats
}

// PackStats counts what a corpus held.
type PackStats struct {
	Texts      int   `json:"texts"`      // not empty
	Duplicates int   `json:"duplicates"` // left out: the same as an earlier one
	Near       int   `json:"near"`       // left out: nearly the same as an earlier one
	HeldOut    int   `json:"held_out"`   // of the rest
	Tokens     int64 `json:"tokens"`     // of train rows, special ones not counted
	TrainRows  int   `json:"train_rows"`
	ValidRows  int   `json:"valid_rows"`
	Length     int   `json:"length"`
	ShardRows  int   `json:"shard_rows"` // rows of a file; the last one of a split has the rest
}

// Marks of an id in a file of rows: the first piece of a word; one that is never
// masked; the first piece, and the others, of a linked entity.
const (
	wordStart    = 1 << 31
	specialBit   = 1 << 30
	entityStart  = 1 << 29
	entityInside = 1 << 28
	idMask       = entityInside - 1
)

// shardBytes is the size of a file of rows, cut to whole rows.
const shardBytes = 64 << 20

// HeldOutRows is the most rows that are held out to measure perplexity.
const HeldOutRows = 1024

// Pack reads, filters and packs a corpus, or finds what an earlier run left.
// Whether a text is held out depends on its words alone.
func Pack(ctx context.Context, req PackRequest) (*Packed, sdk.Diagnostics, error) {
	p := &Packed{}
	h := sha256.New()
	var err error
	if p.Inputs, err = DigestTexts(req.Files); err != nil {
		return nil, nil, err
	}
	fmt.Fprintf(h, "text 3\ntokenizer %s\nlength %d\ncausal %t\nlinker %s\n", req.TokenizerDigest, req.Length, req.Causal, req.LinkerDigest)
	req.describe(h, p.Inputs)
	p.Digest = hex.EncodeToString(h.Sum(nil))
	p.Dir = filepath.Join(req.Home, p.Digest)
	sweep(req.Home)
	var ds sdk.Diagnostics
	if err := p.open(); err == nil {
		p.Reused = true
	} else {
		if errors.Is(err, errTorn) {
			ds.Add(sdk.Diagnostic{Severity: sdk.Info, Code: "data.torn", File: p.Dir, Summary: "the rows that an earlier run packed are not whole and are packed anew", Detail: err.Error()})
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, err
		}
		if err := p.build(ctx, &req); err != nil {
			more, fatal, ok := sdk.DiagnosticsOf(err)
			if ok && !fatal {
				return nil, more, nil
			}
			return nil, nil, err
		}
	}
	if s := p.Stats; s.TrainRows == 0 {
		ds.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "data.empty", Path: "data.path", Summary: fmt.Sprintf("the corpus gives no row to train on: %d texts, %d of them duplicates", s.Texts, s.Duplicates+s.Near),
			Remedy: "name files with more text; data.text names the field that holds it"})
	}
	if s := p.Stats; s.Duplicates+s.Near > 0 {
		ds.Add(sdk.Diagnostic{Severity: sdk.Info, Code: "data.duplicates", Summary: fmt.Sprintf("of %d texts %d are left out as repeated and %d as nearly repeated (MinHash)", s.Texts, s.Duplicates, s.Near)})
	}
	return p, ds, nil
}

// DigestTexts describes files of text.
func DigestTexts(files []string) (out []Input, err error) {
	for _, file := range files {
		in, err := digestText(file)
		if err != nil {
			return nil, err
		}
		out = append(out, in)
	}
	return out, nil
}

func digestText(path string) (Input, error) {
	f, err := os.Open(path)
	if err != nil {
		return Input{}, fmt.Errorf("read texts: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return Input{}, fmt.Errorf("read texts: %w", err)
	}
	return Input{Path: path, Split: "all", SHA256: hex.EncodeToString(h.Sum(nil)), Bytes: n}, nil
}

// packer fills rows of one split, in files of shard rows, one after the other.
type packer struct {
	dir, name string
	shard     int
	w         *bufio.Writer
	f         *os.File // the one that is filled; nil = none

	length   int
	row      []uint32
	rows     int
	tokens   int64
	cls, sep uint32
	ends     bool // rows begin with cls and end with sep
	most     int  // rows that are kept; 0 = all
}

func (p *packer) full() bool { return p.most > 0 && p.rows >= p.most }

func (p *packer) add(ids []uint32) error {
	for len(ids) > 0 && !p.full() {
		if len(p.row) == 0 && p.ends {
			p.row = append(p.row, p.cls)
		}
		room := p.length - len(p.row)
		if p.ends {
			room-- // for sep
		}
		if room <= 0 {
			if err := p.flush(); err != nil {
				return err
			}
			continue
		}
		n := min(room, len(ids))
		p.row = append(p.row, ids[:n]...)
		p.tokens += int64(n)
		if ids = ids[n:]; len(ids) > 0 {
			continue
		}
		if len(p.row) == p.length {
			if err := p.flush(); err != nil {
				return err
			}
		}
		p.row = append(p.row, p.sep)
	}
	return nil
}

// flush writes the row, filled up with padding (all bits set).
func (p *packer) flush() error {
	if len(p.row) == 0 || p.full() {
		return nil
	}
	if p.ends && len(p.row) < p.length && p.row[len(p.row)-1] != p.sep {
		p.row = append(p.row, p.sep)
	}
	if p.rows%p.shard == 0 {
		if err := p.begin(); err != nil {
			return err
		}
	}
	var b [4]byte
	for i := range p.length {
		id := ^uint32(0)
		if i < len(p.row) {
			id = p.row[i]
		}
		binary.LittleEndian.PutUint32(b[:], id)
		if _, err := p.w.Write(b[:]); err != nil {
			return fmt.Errorf("write rows: %w", err)
		}
	}
	p.row, p.rows = p.row[:0], p.rows+1
	return nil
}

// begin goes on in the next file.
func (p *packer) begin() error {
	if err := p.close(); err != nil {
		return err
	}
	f, err := os.Create(shardFile(p.dir, p.name, p.rows/p.shard))
	if err != nil {
		return fmt.Errorf("write rows: %w", err)
	}
	if p.f = f; p.w == nil {
		p.w = bufio.NewWriterSize(f, 1<<18)
	}
	p.w.Reset(f)
	return nil
}

// close ends the file that is filled.
func (p *packer) close() error {
	if p.f == nil {
		return nil
	}
	err := errors.Join(p.w.Flush(), p.f.Sync(), p.f.Close())
	if p.f = nil; err != nil {
		return fmt.Errorf("write rows: %w", err)
	}
	return nil
}

// shardFile is the path of a file of rows, counted from 0.
func shardFile(dir, name string, i int) string {
	return filepath.Join(dir, fmt.Sprintf("%s-%05d.ids", name, i))
}

func (p *Packed) build(ctx context.Context, req *PackRequest) error {
	if err := os.MkdirAll(req.Home, 0o755); err != nil {
		return fmt.Errorf("pack texts: %w", err)
	}
	tmp, err := os.MkdirTemp(req.Home, p.Digest+".*.tmp")
	if err != nil {
		return fmt.Errorf("pack texts: %w", err)
	}
	defer os.RemoveAll(tmp) //nolint:errcheck // gone after the rename; else nothing more can be done
	if err := os.Chmod(tmp, 0o755); err != nil {
		return fmt.Errorf("pack texts: %w", err)
	}
	p.Stats = PackStats{Length: req.Length, ShardRows: int(max(1, cmp.Or(req.shard, shardBytes)/int64(4*req.Length)))}
	var parts [2]*packer // train, valid
	for i, name := range []string{"train", "valid"} {
		parts[i] = &packer{dir: tmp, name: name, shard: p.Stats.ShardRows, length: req.Length}
		defer parts[i].close() //nolint:errcheck // closed below, where errors count; here after another error
		sep, ok := req.Tokenizer.Special("sep")
		cls, both := req.Tokenizer.Special("cls")
		if !ok { // GPT-2 has one token for begin and end
			sep, ok = req.Tokenizer.Special("eos")
		}
		if !ok {
			return sdk.Diagnostics{{Severity: sdk.Error, Code: "tokenizer.separator", Summary: "the tokenizer has no token that separates texts ([SEP], </s> or <|endoftext|>)"}}.Err()
		}
		parts[i].sep, parts[i].cls, parts[i].ends = uint32(sep)|specialBit|wordStart, uint32(cls)|specialBit|wordStart, both && !req.Causal
	}
	parts[0].most = req.Plan.Pretrain.Rows
	s := &p.Stats
	twins := newTwins(req.Plan.Pretrain.Dedup)
	var ids []uint32
	for t, err := range req.source(ctx) {
		if err != nil {
			return err
		}
		s.Texts++
		switch twins.see(t.text) {
		case seenSame:
			s.Duplicates++
			continue
		case seenNear:
			s.Near++
			continue
		}
		to := parts[0]
		if t.held && (req.Task != nil || parts[1].rows < HeldOutRows) {
			if parts[1].rows >= HeldOutRows {
				continue // a task's own: never trained on
			}
			to = parts[1]
			s.HeldOut++
		}
		ids = packIDs(req.Tokenizer, req.Linker, t.text, ids[:0])
		if err := to.add(ids); err != nil {
			return err
		}
	}
	for _, part := range parts {
		if err := errors.Join(part.flush(), part.close()); err != nil {
			return fmt.Errorf("pack texts: %w", err)
		}
	}
	s.TrainRows, s.ValidRows, s.Tokens = parts[0].rows, parts[1].rows, parts[0].tokens
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("pack texts: %w", err)
	}
	if err := os.WriteFile(filepath.Join(tmp, "stats.json"), raw, 0o644); err != nil { //nolint:gosec // a stage is for everybody
		return fmt.Errorf("pack texts: %w", err)
	}
	err = os.Rename(tmp, p.Dir)
	if err != nil && p.open() != nil { // no other builder was faster: what lies there is torn
		if err = os.RemoveAll(p.Dir); err == nil {
			err = os.Rename(tmp, p.Dir)
		}
		if err != nil {
			return fmt.Errorf("pack texts: %w", err)
		}
	}
	return p.open()
}

// open finds finished rows: fs.ErrNotExist where there are none, errTorn where they
// are not what was written.
func (p *Packed) open() error {
	if _, err := os.Stat(p.Dir); err != nil {
		return err
	}
	raw, err := os.ReadFile(filepath.Join(p.Dir, "stats.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read packed texts: %w: stats.json is missing", errTorn)
	}
	if err != nil {
		return fmt.Errorf("read packed texts: %w", err)
	}
	var s PackStats
	if err := json.Unmarshal(raw, &s); err != nil {
		return fmt.Errorf("read packed texts: %w: %w", errTorn, err)
	}
	if s.Length <= 0 || s.ShardRows <= 0 || s.TrainRows < 0 || s.ValidRows < 0 {
		return fmt.Errorf("read packed texts: %w: stats.json counts rows of %d, %d to a file", errTorn, s.Length, s.ShardRows)
	}
	p.Train = &PackedRows{dir: p.Dir, name: "train", n: s.TrainRows, length: s.Length, shard: s.ShardRows}
	p.Valid = &PackedRows{dir: p.Dir, name: "valid", n: s.ValidRows, length: s.Length, shard: s.ShardRows}
	for _, rows := range []*PackedRows{p.Train, p.Valid} {
		if err := rows.check(); err != nil {
			return fmt.Errorf("read packed texts: %w", err)
		}
	}
	p.Stats = s
	return nil
}

// packIDs encodes a text with marks of words, and of the entities that l links.
func packIDs(tok *token.Tokenizer, l recipe.Linker, text string, out []uint32) []uint32 {
	from := len(out)
	e := tok.Encode(text, token.Options{Bare: true})
	for i, id := range e.IDs {
		v := uint32(id)
		if i == 0 || e.Words[i] != e.Words[i-1] {
			v |= wordStart
		}
		if tok.IsSpecial(id) {
			v |= specialBit
		}
		out = append(out, v)
	}
	if l == nil {
		return out
	}
	next := 0
	for _, m := range l.Link(text) { // in their order, none over another
		mark := uint32(entityStart)
		for ; next < len(e.IDs) && e.Offsets[next].Start < m.End; next++ {
			if e.Offsets[next].End > m.Start {
				out[from+next] |= mark
				mark = entityInside
			}
		}
	}
	return out
}

// HeldOut picks texts by their hash: the share of valid in data.split.
func HeldOut(text string, plan *recipe.Plan) bool {
	return len(plan.Data.Split) == 3 && float64(Key("held-out "+text)>>11)/(1<<53) < plan.Data.Split[1]
}

// PackedRows are the rows of one split, in files of shard rows.
type PackedRows struct {
	dir, name        string
	n, length, shard int
}

// Len is the number of rows.
func (r *PackedRows) Len() int { return r.n }

// check compares the sizes of the files with the rows that they should hold.
func (r *PackedRows) check() error {
	for from := 0; from < r.n; from += r.shard {
		path := shardFile(r.dir, r.name, from/r.shard)
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w: %s is missing", errTorn, path)
		}
		if err != nil {
			return err
		}
		if want := 4 * int64(r.length) * int64(min(r.shard, r.n-from)); info.Size() != want {
			return fmt.Errorf("%w: %s has %d bytes, its rows %d", errTorn, path, info.Size(), want)
		}
	}
	return nil
}

// read gives rows [from, to).
func (r *PackedRows) read(from, to int) ([][]uint32, error) {
	rows := make([][]uint32, 0, to-from)
	for from < to {
		first := from - from%r.shard // of the file
		end := min(to, first+r.shard)
		raw, err := readAt(shardFile(r.dir, r.name, from/r.shard), 4*int64(r.length)*int64(from-first), 4*r.length*(end-from))
		if err != nil {
			return nil, fmt.Errorf("read rows: %w", err)
		}
		for ; from < end; from++ {
			var row []uint32
			for range r.length {
				v := binary.LittleEndian.Uint32(raw)
				raw = raw[4:]
				if v != ^uint32(0) { // else padding
					row = append(row, v)
				}
			}
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// readAt reads n bytes of a file.
func readAt(path string, offset int64, n int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw := make([]byte, n)
	_, err = f.ReadAt(raw, offset)
	return raw, err
}

// Masking turns rows into examples of a language model. The draws are a function
// of seed, epoch and the row's name alone.
type Masking struct {
	Plan   recipe.PretrainPlan
	Seed   uint64
	Mask   int32               // id of the mask token
	Pieces int                 // of the vocabulary, for random ones
	Keep   func(id int32) bool // special ids, which never stand in for others
	Causal bool
}

const maskStream = 0x6d61736b // "mask"

// example masks a row: of each hundred pieces chosen 80 become the mask, 10 a
// random piece, 10 stay (Devlin et al. 2019). With mask word all pieces of a word
// are chosen together, with mask entity also all words of a linked entity (Sun et
// al. 2019, "ERNIE: Enhanced Representation through Knowledge Integration"). Causal
// rows predict the next piece everywhere.
func (m *Masking) example(name string, row []uint32, epoch int) *recipe.Encoded {
	e := &recipe.Encoded{ID: name, Key: Key(name), IDs: make([]int32, len(row))}
	targets := make([]int32, len(row))
	for i, v := range row {
		e.IDs[i], targets[i] = int32(v&idMask), -1
	}
	if m.Causal {
		for i := 1; i < len(row); i++ {
			targets[i-1] = e.IDs[i]
		}
		e.Targets = []recipe.Target{{Has: len(row) > 1, Tokens: targets}}
		return e
	}
	var units [][2]int // ranges of positions chosen together
	free := 0
	for i, v := range row {
		if v&specialBit != 0 {
			continue
		}
		free++
		goesOn := m.Plan.Mask != "token" && v&(wordStart|entityStart) == 0
		if m.Plan.Mask == "entity" {
			goesOn = goesOn || v&entityInside != 0
		}
		if n := len(units); goesOn && n > 0 && units[n-1][1] == i {
			units[n-1][1] = i + 1
		} else {
			units = append(units, [2]int{i, i + 1})
		}
	}
	rng := rand.New(rand.NewPCG(m.Seed^e.Key, maskStream<<32|uint64(uint32(epoch))))
	rng.Shuffle(len(units), func(i, j int) { units[i], units[j] = units[j], units[i] })
	want := max(1, int(m.Plan.Share*float64(free)+0.5))
	for _, u := range units {
		if want <= 0 {
			break
		}
		if u[1]-u[0] > want && want < int(m.Plan.Share*float64(free)+0.5) {
			continue // the next one may fit
		}
		for i := u[0]; i < u[1]; i++ {
			targets[i] = e.IDs[i]
			want--
			switch p := rng.Float64(); {
			case p < 0.8:
				e.IDs[i] = m.Mask
			case p < 0.9:
				id := int32(rng.IntN(m.Pieces))
				for m.Keep != nil && m.Keep(id) {
					id = int32(rng.IntN(m.Pieces))
				}
				e.IDs[i] = id
			}
		}
	}
	e.Targets = []recipe.Target{{Has: free > 0, Tokens: targets}}
	return e
}

// packedBlock is how many rows are read and shuffled together.
const packedBlock = 4096

// PackedLoader gives training batches of packed rows. In an epoch the blocks of
// 4096 rows come in a random order, and the rows within each. A batch may be of
// two blocks' rows only at an end of a block: the last batch of a block may be
// short.
type PackedLoader struct {
	Rows    *PackedRows
	Masking *Masking
	Size    int // rows of a batch
	Shuffle bool
}

// Len is the number of rows.
func (l *PackedLoader) Len() int { return l.Rows.n }

// Steps is the number of batches of an epoch.
func (l *PackedLoader) Steps(int) int {
	n := 0
	for from := 0; from < l.Rows.n; from += packedBlock {
		n += (min(packedBlock, l.Rows.n-from) + l.Size - 1) / l.Size
	}
	return n
}

// Epoch yields the batches of an epoch, beginning with batch from.
func (l *PackedLoader) Epoch(ctx context.Context, epoch, from int) iter.Seq2[*recipe.Batch, error] {
	return func(yield func(*recipe.Batch, error) bool) {
		rng := rand.New(rand.NewPCG(l.Masking.Seed, 0x7061636b<<32|uint64(uint32(epoch)))) // "pack"
		blocks := make([]int, (l.Rows.n+packedBlock-1)/packedBlock)
		for i := range blocks {
			blocks[i] = i
		}
		if l.Shuffle {
			rng.Shuffle(len(blocks), func(i, j int) { blocks[i], blocks[j] = blocks[j], blocks[i] })
		}
		skip := from
		for _, block := range blocks {
			start := block * packedBlock
			end := min(start+packedBlock, l.Rows.n)
			if n := (end - start + l.Size - 1) / l.Size; skip >= n {
				skip -= n
				continue
			}
			rows, err := l.Rows.read(start, end)
			if err != nil {
				yield(nil, err)
				return
			}
			order := make([]int, len(rows))
			for i := range order {
				order[i] = i
			}
			if l.Shuffle {
				own := rand.New(rand.NewPCG(l.Masking.Seed^uint64(block), 0x626c6f636b<<24|uint64(uint32(epoch)))) // "block"
				own.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
			}
			for at := skip * l.Size; at < len(order); at += l.Size {
				if err := ctx.Err(); err != nil {
					yield(nil, err)
					return
				}
				b := &recipe.Batch{}
				for _, i := range order[at:min(at+l.Size, len(order))] {
					b.Index = append(b.Index, start+i)
					b.Rows = append(b.Rows, l.Masking.example(l.Rows.rowName(start+i), rows[i], epoch))
				}
				fit(b)
				if !yield(b, nil) {
					return
				}
			}
			skip = 0
		}
	}
}

func (r *PackedRows) rowName(i int) string { return r.name + "-" + strconv.Itoa(i+1) }

func fit(b *recipe.Batch) {
	for _, r := range b.Rows {
		b.Tokens += r.Width()
		b.Width = max(b.Width, r.Width())
	}
}

// PackedSource gives the rows that are held out, masked once and for all.
type PackedSource struct{ rows []*recipe.Encoded }

// heldEpoch keys the masks of rows that are held out: no training epoch.
const heldEpoch = -1

// NewPackedSource reads and masks all rows, at most HeldOutRows and a few.
func NewPackedSource(rows *PackedRows, m *Masking) (*PackedSource, error) {
	all, err := rows.read(0, rows.n)
	if err != nil {
		return nil, err
	}
	s := &PackedSource{}
	for i, row := range all {
		s.rows = append(s.rows, m.example(rows.rowName(i), row, heldEpoch))
	}
	return s, nil
}

// Len is the number of rows.
func (s *PackedSource) Len() int { return len(s.rows) }

// At returns row i.
func (s *PackedSource) At(i int) *recipe.Encoded { return s.rows[i] }

// Batches yields the rows in their order.
func (s *PackedSource) Batches(ctx context.Context, size int) iter.Seq2[*recipe.Batch, error] {
	return func(yield func(*recipe.Batch, error) bool) {
		size = max(1, size)
		for at := 0; at < len(s.rows); at += size {
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			b := &recipe.Batch{Rows: s.rows[at:min(at+size, len(s.rows))]}
			for i := range b.Rows {
				b.Index = append(b.Index, at+i)
			}
			fit(b)
			if !yield(b, nil) {
				return
			}
		}
	}
}

var (
	_ recipe.Loader = (*PackedLoader)(nil)
	_ recipe.Source = (*PackedSource)(nil)
)
