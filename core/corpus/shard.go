package corpus

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"

	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

// shardMagic begins a shard; its last digit is the version of the format.
const shardMagic = "islmrow4"

// Shard is the encoded examples of one split, in memory. It is safe for use by
// many goroutines.
//
// The file is a header (magic, count of heads, their kinds, count of rows) and
// then columns, all numbers little-endian: IDs of the rows, ids, token types,
// starts, ids of second texts, and one or two columns per head; at the end the sha256 of all before.
type Shard struct {
	kinds   []byte // per head: one of kindClass …
	names   texts32
	ids     lists
	types   lists
	starts  lists
	second  lists
	targets []targetColumn
	inject  *injectColumns  // nil when no row has knowledge
	passage *passageColumns // nil when no row is a question
	rows    int
}

// passageColumns hold the passages of questions: their places, the lengths of the
// texts in texts, and these: the example's ID, the passage, its answers.
type passageColumns struct {
	places, lengths lists
	texts           lists // bytes, four to a number
}

// injectColumns hold what knowledge adds to rows: marks and features of the ids,
// three numbers for each mention and fact, and the pieces of facts.
type injectColumns struct{ marks, features, mentions, facts, pieces lists }

func (c *injectColumns) all() []*lists {
	return []*lists{&c.marks, &c.features, &c.mentions, &c.facts, &c.pieces}
}

func (c *injectColumns) add(in *recipe.Injected) {
	if in == nil {
		in = &recipe.Injected{}
	}
	c.marks.add(in.Marks)
	c.features.add(in.Features)
	var mentions, facts []int32
	for _, m := range in.Mentions {
		mentions = append(mentions, m.From, m.To, m.Entity)
	}
	for _, f := range in.Facts {
		facts = append(facts, f.Mention, f.Length, f.Fact)
	}
	c.mentions.add(mentions)
	c.facts.add(facts)
	c.pieces.add(in.Pieces)
}

// at returns the knowledge of row i, nil if there is none.
func (c *injectColumns) at(i int) *recipe.Injected {
	if c == nil {
		return nil
	}
	in := &recipe.Injected{}
	some := false
	list := func(l *lists) []int32 {
		v := l.at(i)
		if len(v) == 0 {
			return nil
		}
		some = true
		return v
	}
	in.Marks, in.Features = list(&c.marks), list(&c.features)
	for v := range slices.Chunk(list(&c.mentions), 3) {
		in.Mentions = append(in.Mentions, recipe.LinkedPieces{From: v[0], To: v[1], Entity: v[2]})
	}
	for v := range slices.Chunk(list(&c.facts), 3) {
		in.Facts = append(in.Facts, recipe.InjectedFact{Mention: v[0], Length: v[1], Fact: v[2]})
	}
	in.Pieces = list(&c.pieces)
	if !some {
		return nil
	}
	return in
}

// sound reports whether the columns fit rows of these widths, so that nothing
// read from a file leads out of a row.
func (c *injectColumns) sound(ids *lists, rows int) bool {
	for i := range rows {
		n, in := int32(len(ids.at(i))), c.at(i)
		if len(c.mentions.at(i))%3 != 0 || len(c.facts.at(i))%3 != 0 {
			return false
		}
		if in == nil {
			continue
		}
		if in.Marks != nil && len(in.Marks) != int(n) || n == 0 || len(in.Features)%int(n) != 0 {
			return false
		}
		for _, m := range in.Mentions {
			if m.From < 0 || m.From >= m.To || m.To > n || m.Entity < 0 {
				return false
			}
		}
		left := len(in.Pieces)
		for _, f := range in.Facts {
			if f.Mention < 0 || int(f.Mention) >= len(in.Mentions) || f.Length <= 0 || f.Fact < 0 {
				return false
			}
			left -= int(f.Length)
		}
		if left != 0 {
			return false
		}
	}
	return true
}

func (c *passageColumns) all() []*lists { return []*lists{&c.places, &c.lengths, &c.texts} }

func (c *passageColumns) add(p *recipe.Passage) {
	if p == nil {
		for _, l := range c.all() {
			l.add(nil)
		}
		return
	}
	var lengths []int32
	var all []byte
	for _, text := range append([]string{p.Of, p.Text}, p.Answers...) {
		lengths, all = append(lengths, int32(len(text))), append(all, text...)
	}
	all = append(all, make([]byte, -len(all)&3)...)
	packed := make([]int32, len(all)/4)
	for i := range packed {
		packed[i] = int32(binary.LittleEndian.Uint32(all[4*i:]))
	}
	c.places.add(p.Places)
	c.lengths.add(lengths)
	c.texts.add(packed)
}

// at returns the passage of row i, nil if there is none.
func (c *passageColumns) at(i int) *recipe.Passage {
	if c == nil || len(c.lengths.at(i)) < 2 {
		return nil
	}
	all := appendInts(nil, c.texts.at(i))
	next := func(n int32) string {
		text := string(all[:n])
		all = all[n:]
		return text
	}
	n := c.lengths.at(i)
	p := &recipe.Passage{Of: next(n[0]), Text: next(n[1]), Places: c.places.at(i)}
	for _, k := range n[2:] {
		p.Answers = append(p.Answers, next(k))
	}
	return p
}

// sound reports whether lengths and places fit rows and texts.
func (c *passageColumns) sound(ids *lists, rows int) bool {
	for i := range rows {
		n, left := c.lengths.at(i), 4*len(c.texts.at(i))
		for _, k := range n {
			if left -= int(k); k < 0 || left < 0 {
				return false
			}
		}
		if len(n) == 1 || len(n) > 0 && len(c.places.at(i)) != 2*len(ids.at(i)) {
			return false
		}
		for v := range slices.Chunk(c.places.at(i), 2) {
			if v[0] >= 0 && (len(n) < 2 || v[0] > v[1] || v[1] > n[1]) {
				return false
			}
		}
	}
	return true
}

// soundSpans reports whether the targets of spans are whole and markers lie in
// their rows.
func (s *Shard) soundSpans() bool {
	for k, kind := range s.kinds {
		for i := range s.rows {
			switch v := s.targets[k].list; {
			case kind == kindSpans && len(v.at(i))%3 != 0:
				return false
			case kind == kindRelation && (len(v.at(i)) != 3 || min(v.at(i)[1], v.at(i)[2]) < 0 || int(max(v.at(i)[1], v.at(i)[2])) >= max(1, len(s.ids.at(i)))):
				return false
			}
		}
	}
	return true
}

// Kinds of targets in a shard.
const (
	kindClass byte = iota
	kindClasses
	kindTags
	kindValue
	kindRank
	kindSpans
	kindRelation
	kindTokens
	kindMarks // ids with marks of words, which a Hide draws masks from: never a target
)

// texts32 is a column of texts, lists one of lists of numbers: end[i] is where
// row i ends.
type texts32 struct {
	end  []uint32
	text []byte
}

type lists struct {
	end    []uint64
	values []int32
}

func (l *lists) add(values []int32) {
	l.values = append(l.values, values...)
	l.end = append(l.end, uint64(len(l.values)))
}

func (l *lists) at(i int) []int32 {
	from := uint64(0)
	if i > 0 {
		from = l.end[i-1]
	}
	return l.values[from:l.end[i]:l.end[i]]
}

// targetColumn holds the targets of one head: has as 0 or 1, and by kind the
// class, the bits of the value, the tags or the classes as 0 or 1.
type targetColumn struct {
	has    []int32
	number []int32
	list   lists
}

// inList: the targets of the kind are lists, not single numbers.
func inList(kind byte) bool {
	return kind == kindTags || kind == kindClasses || kind == kindRank || kind == kindSpans || kind == kindRelation || kind == kindTokens || kind == kindMarks
}

func kindOf(h sdk.HeadSpec) byte {
	switch h.Kind {
	case sdk.KindTag:
		return kindTags
	case sdk.KindMultilabel:
		return kindClasses
	case sdk.KindRegress, sdk.KindEmbed:
		return kindValue
	case sdk.KindRank:
		return kindRank
	case sdk.KindSpan, sdk.KindQA:
		return kindSpans
	case sdk.KindRelation, sdk.KindPattern:
		return kindRelation
	case sdk.KindGenerate, sdk.KindCLM:
		return kindTokens
	case sdk.KindMLM:
		return kindMarks
	}
	return kindClass
}

// NewShard keeps encoded rows in columns.
func NewShard(heads []sdk.HeadSpec, rows []*recipe.Encoded) *Shard {
	s := &Shard{rows: len(rows), targets: make([]targetColumn, len(heads))}
	for _, h := range heads {
		s.kinds = append(s.kinds, kindOf(h))
	}
	for _, r := range rows {
		s.names.text = append(s.names.text, r.ID...)
		s.names.end = append(s.names.end, uint32(len(s.names.text)))
		s.ids.add(r.IDs)
		s.types.add(r.Types)
		s.starts.add(r.Starts)
		s.second.add(r.Second)
		for i := range heads {
			s.targets[i].add(s.kinds[i], &r.Targets[i])
		}
	}
	if slices.ContainsFunc(rows, func(r *recipe.Encoded) bool { return r.Inject != nil }) {
		s.inject = &injectColumns{}
		for _, r := range rows {
			s.inject.add(r.Inject)
		}
	}
	if slices.ContainsFunc(rows, func(r *recipe.Encoded) bool { return r.Passage != nil }) {
		s.passage = &passageColumns{}
		for _, r := range rows {
			s.passage.add(r.Passage)
		}
	}
	return s
}

func (c *targetColumn) add(kind byte, t *recipe.Target) {
	has := int32(0)
	if t.Has {
		has = 1
	}
	c.has = append(c.has, has)
	switch kind {
	case kindTags:
		c.list.add(t.Tags)
	case kindTokens, kindMarks:
		c.list.add(t.Tokens)
	case kindClasses:
		bits := make([]int32, len(t.Classes))
		for i, b := range t.Classes {
			if b {
				bits[i] = 1
			}
		}
		c.list.add(bits)
	case kindRank:
		c.list.add([]int32{int32(math.Float32bits(t.Value)), int32(uint32(t.Group)), int32(uint32(t.Group >> 32))})
	case kindSpans:
		var values []int32
		for _, s := range t.Spans {
			values = append(values, s.From, s.To, s.Class)
		}
		c.list.add(values)
	case kindRelation:
		c.list.add([]int32{t.Class, t.Marks[0], t.Marks[1]})
	case kindValue:
		c.number = append(c.number, int32(math.Float32bits(t.Value)))
	default:
		c.number = append(c.number, t.Class)
	}
}

// Len is the number of rows.
func (s *Shard) Len() int { return s.rows }

// Width is the number of ids of row i, those of injected facts included.
func (s *Shard) Width(i int) int {
	n := len(s.ids.at(i))
	if s.inject != nil {
		n += len(s.inject.pieces.at(i))
	}
	return max(n, len(s.second.at(i)))
}

// marks are the ids of row i with marks of words, for the masked language model head.
func (s *Shard) marks(head, i int) []int32 {
	if s.kinds[head] != kindMarks {
		return nil
	}
	return s.targets[head].list.at(i)
}

// labelled reports whether any head has a target in row i.
func (s *Shard) labelled(i int) bool {
	return slices.ContainsFunc(s.targets, func(c targetColumn) bool { return c.has[i] != 0 })
}

// Tokens is the number of ids of all rows, special tokens included.
func (s *Shard) Tokens() int64 { return int64(len(s.ids.values)) }

// At returns row i. Its slices belong to the shard: they must not be changed.
func (s *Shard) At(i int) *recipe.Encoded {
	from := uint32(0)
	if i > 0 {
		from = s.names.end[i-1]
	}
	r := &recipe.Encoded{ID: string(s.names.text[from:s.names.end[i]]), IDs: s.ids.at(i), Targets: make([]recipe.Target, len(s.kinds))}
	r.Key, r.Inject, r.Passage = Key(r.ID), s.inject.at(i), s.passage.at(i)
	if types := s.types.at(i); len(types) > 0 {
		r.Types = types
	}
	if starts := s.starts.at(i); len(starts) > 0 {
		r.Starts = starts
	}
	if second := s.second.at(i); len(second) > 0 {
		r.Second = second
	}
	for k := range s.targets {
		c, t := &s.targets[k], &r.Targets[k]
		if s.kinds[k] == kindRelation { // marked without a label too
			if v := c.list.at(i); len(v) == 3 {
				t.Class, t.Marks = v[0], [2]int32{v[1], v[2]}
			}
		}
		if c.has[i] == 0 {
			continue
		}
		t.Has = true
		switch s.kinds[k] {
		case kindRelation:
		case kindSpans:
			for v := range slices.Chunk(c.list.at(i), 3) {
				t.Spans = append(t.Spans, recipe.Stretch{From: v[0], To: v[1], Class: v[2]})
			}
		case kindTags:
			t.Tags = c.list.at(i)
		case kindTokens:
			t.Tokens = c.list.at(i)
		case kindClasses:
			bits := c.list.at(i)
			t.Classes = make([]bool, len(bits))
			for j, b := range bits {
				t.Classes[j] = b != 0
			}
		case kindRank:
			if v := c.list.at(i); len(v) == 3 {
				t.Value, t.Group = math.Float32frombits(uint32(v[0])), uint64(uint32(v[1]))|uint64(uint32(v[2]))<<32
			}
		case kindValue:
			t.Value = math.Float32frombits(uint32(c.number[i]))
		default:
			t.Class = c.number[i]
		}
	}
	return r
}

// bytes writes the shard.
func (s *Shard) bytes() []byte {
	size := 64 + 32 + len(s.kinds) + 4*len(s.names.end) + len(s.names.text) + 4*(len(s.ids.values)+len(s.types.values)+len(s.starts.values)+len(s.second.values)) + 24*s.rows
	b := make([]byte, 0, size)
	b = append(b, shardMagic...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(s.kinds)))
	b = append(b, s.kinds...)
	b = binary.LittleEndian.AppendUint64(b, uint64(s.rows))
	for _, end := range s.names.end {
		b = binary.LittleEndian.AppendUint32(b, end)
	}
	b = append(b, s.names.text...)
	for _, l := range []*lists{&s.ids, &s.types, &s.starts, &s.second} {
		b = l.append(b)
	}
	for k := range s.targets {
		c := &s.targets[k]
		b = appendInts(b, c.has)
		if inList(s.kinds[k]) {
			b = c.list.append(b)
		} else {
			b = appendInts(b, c.number)
		}
	}
	if s.inject == nil {
		b = append(b, 0)
	} else {
		b = append(b, 1)
		for _, l := range s.inject.all() {
			b = l.append(b)
		}
	}
	if s.passage == nil {
		b = append(b, 0)
	} else {
		b = append(b, 1)
		for _, l := range s.passage.all() {
			b = l.append(b)
		}
	}
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

func (l *lists) append(b []byte) []byte {
	for _, end := range l.end {
		b = binary.LittleEndian.AppendUint64(b, end)
	}
	return appendInts(b, l.values)
}

func appendInts(b []byte, values []int32) []byte {
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, uint32(v))
	}
	return b
}

// errTorn tells that a shard is not what was written.
var errTorn = errors.New("the shard is damaged")

// parseShard reads what bytes wrote.
func parseShard(data []byte) (*Shard, error) {
	if len(data) < len(shardMagic)+4+8+sha256.Size || string(data[:len(shardMagic)]) != shardMagic {
		return nil, errTorn
	}
	body := data[:len(data)-sha256.Size]
	if sum := sha256.Sum256(body); string(sum[:]) != string(data[len(body):]) {
		return nil, errTorn
	}
	r := &shardReader{b: body[len(shardMagic):]}
	s := &Shard{}
	s.kinds = r.take(int(r.u32()))
	s.rows = int(r.u64())
	if r.bad || s.rows < 0 || s.rows > len(body) {
		return nil, errTorn
	}
	s.names.end = make([]uint32, s.rows)
	for i := range s.names.end {
		s.names.end[i] = r.u32()
		if i > 0 && s.names.end[i] < s.names.end[i-1] {
			r.bad = true
		}
	}
	if s.rows > 0 {
		s.names.text = r.take(int(s.names.end[s.rows-1]))
	}
	for _, l := range []*lists{&s.ids, &s.types, &s.starts, &s.second} {
		r.lists(l, s.rows)
	}
	s.targets = make([]targetColumn, len(s.kinds))
	for k := range s.targets {
		c := &s.targets[k]
		c.has = r.ints(s.rows)
		if inList(s.kinds[k]) {
			r.lists(&c.list, s.rows)
		} else {
			c.number = r.ints(s.rows)
		}
	}
	if flag := r.take(1); !r.bad && flag[0] != 0 {
		s.inject = &injectColumns{}
		for _, l := range s.inject.all() {
			r.lists(l, s.rows)
		}
	}
	if flag := r.take(1); !r.bad && flag[0] != 0 {
		s.passage = &passageColumns{}
		for _, l := range s.passage.all() {
			r.lists(l, s.rows)
		}
	}
	if r.bad || len(r.b) != 0 || s.passage != nil && !s.passage.sound(&s.ids, s.rows) || !s.soundSpans() || s.inject != nil && !s.inject.sound(&s.ids, s.rows) {
		return nil, errTorn
	}
	return s, nil
}

// shardReader takes numbers from the front; bad is set when there are too few.
type shardReader struct {
	b   []byte
	bad bool
}

func (r *shardReader) take(n int) []byte {
	if r.bad || n < 0 || n > len(r.b) {
		r.bad = true
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

func (r *shardReader) u32() uint32 {
	if b := r.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *shardReader) u64() uint64 {
	if b := r.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (r *shardReader) ints(n int) []int32 {
	if n > len(r.b)/4 {
		r.bad = true
		return nil
	}
	values := make([]int32, n)
	b := r.take(4 * n)
	if r.bad {
		return nil
	}
	for i := range values {
		values[i] = int32(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return values
}

func (r *shardReader) lists(l *lists, rows int) {
	b := r.take(8 * rows)
	if r.bad {
		return
	}
	l.end = make([]uint64, rows)
	last := uint64(0)
	for i := range l.end {
		l.end[i] = binary.LittleEndian.Uint64(b[8*i:])
		if l.end[i] < last {
			r.bad = true
		}
		last = l.end[i]
	}
	if last > uint64(len(r.b)) {
		r.bad = true
		return
	}
	l.values = r.ints(int(last))
}

// writeShard writes a shard to a new file and waits for the disk.
func writeShard(path string, s *Shard) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write shard: %w", err)
	}
	defer func() {
		if closing := f.Close(); err == nil && closing != nil {
			err = fmt.Errorf("write shard: %w", closing)
		}
	}()
	if _, err := f.Write(s.bytes()); err != nil {
		return fmt.Errorf("write shard: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("write shard: %w", err)
	}
	return nil
}

func readShard(path string) (*Shard, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(f)
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return nil, fmt.Errorf("read shard: %w", err)
	}
	s, err := parseShard(data)
	if err != nil {
		return nil, fmt.Errorf("read shard %s: %w", path, err)
	}
	return s, nil
}
