package corpus

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/token"
)

func packTokenizer(t *testing.T) *token.Tokenizer {
	t.Helper()
	text := "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n"
	for c := 'a'; c <= 'z'; c++ {
		text += fmt.Sprintf("%c\n##%c\n", c, c)
	}
	tok, err := token.FromVocab([]byte(text), true)
	require.NoError(t, err)
	return tok
}

func packPlan(t *testing.T, sets ...string) *recipe.Plan {
	t.Helper()
	plan, ds := recipe.Resolve(recipe.Sources{Preset: "pretrain", Sets: sets})
	require.NoError(t, ds.Err())
	return plan
}

func packTexts(t *testing.T, plan *recipe.Plan, length int, files map[string]string) (*Packed, *token.Tokenizer) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	paths, err := TextFiles([]string{dir})
	require.NoError(t, err)
	tok := packTokenizer(t)
	p, ds, err := Pack(t.Context(), PackRequest{Files: paths, Plan: plan, Tokenizer: tok, TokenizerDigest: "t", Length: length, Home: t.TempDir()})
	require.NoError(t, err)
	require.NoError(t, ds.Err())
	return p, tok
}

func someText(rng *rand.Rand, words int) string {
	var b strings.Builder
	for i := range words {
		if i > 0 {
			b.WriteByte(' ')
		}
		for range 1 + rng.IntN(6) {
			b.WriteByte(byte('a' + rng.IntN(26)))
		}
	}
	return b.String()
}

func TestPackKeepsEveryPiece(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var lines, objects []string
	for range 40 {
		lines = append(lines, someText(rng, 1+rng.IntN(60)))
		objects = append(objects, fmt.Sprintf(`{"text": %q}`, someText(rng, 1+rng.IntN(10))))
	}
	plan := packPlan(t, "data.split=[0.8, 0.2, 0]")
	p, tok := packTexts(t, plan, 32, map[string]string{"a.txt": strings.Join(lines, "\n") + "\n\n", "b.jsonl": strings.Join(objects, "\n")})
	require.Equal(t, 80, p.Stats.Texts)
	require.Positive(t, p.Stats.HeldOut)
	var want, got []int32
	for text, err := range Texts(t.Context(), []string{p.Inputs[0].Path, p.Inputs[1].Path}, &plan.Data) {
		require.NoError(t, err)
		if !HeldOut(text.Text, plan) {
			want = append(want, tok.Encode(text.Text, token.Options{Bare: true}).IDs...)
		}
	}
	rows, err := p.Train.read(0, p.Train.Len())
	require.NoError(t, err)
	for _, row := range rows {
		require.LessOrEqual(t, len(row), 32)
		require.EqualValues(t, 2, row[0]&idMask)
		require.EqualValues(t, 3, row[len(row)-1]&idMask)
		for _, v := range row {
			if v&specialBit == 0 {
				got = append(got, int32(v&idMask))
			}
		}
	}
	require.Equal(t, want, got)
	require.EqualValues(t, len(want), p.Stats.Tokens)

	again, _, err := Pack(t.Context(), PackRequest{Files: []string{p.Inputs[0].Path, p.Inputs[1].Path}, Plan: plan, Tokenizer: tok, TokenizerDigest: "t", Length: 32, Home: filepath.Dir(p.Dir)})
	require.NoError(t, err)
	require.True(t, again.Reused)
	require.Equal(t, p.Stats, again.Stats)
}

func TestMasks(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	tok := packTokenizer(t)
	row := append([]uint32{2 | specialBit | wordStart}, packIDs(tok, nil, someText(rng, 400), nil)...)
	row = append(row, 3|specialBit|wordStart)
	for _, how := range []string{"token", "word"} {
		m := &Masking{Plan: recipe.PretrainPlan{Mask: how, Share: 0.15}, Seed: 7, Mask: 4, Pieces: tok.VocabSize(), Keep: tok.IsSpecial}
		var chosen, masked, kept int
		for epoch := range 30 {
			e := m.example("train-1", row, epoch)
			require.Equal(t, e, m.example("train-1", row, epoch), "a function of seed, epoch and name")
			require.NotEqual(t, e.Targets, m.example("train-1", row, epoch+1).Targets)
			require.NotEqual(t, e.Targets, m.example("train-2", row, epoch).Targets)
			n := 0
			for i, target := range e.Targets[0].Tokens {
				id := int32(row[i] & idMask)
				if target < 0 {
					require.Equal(t, id, e.IDs[i])
					continue
				}
				n++
				require.Equal(t, id, target)
				require.Zero(t, row[i]&specialBit)
				switch e.IDs[i] {
				case 4:
					masked++
				case id:
					kept++
				default:
					require.False(t, tok.IsSpecial(e.IDs[i]))
				}
				if how == "word" { // the whole word
					if row[i]&wordStart == 0 {
						require.GreaterOrEqual(t, e.Targets[0].Tokens[i-1], int32(0))
					}
					if row[i+1]&wordStart == 0 {
						require.GreaterOrEqual(t, e.Targets[0].Tokens[i+1], int32(0))
					}
				}
			}
			require.InDelta(t, 0.15*float64(len(row)-2), n, 6)
			chosen += n
		}
		require.InDelta(t, 0.8, float64(masked)/float64(chosen), 0.02, how)
		require.InDelta(t, 0.1, float64(kept)/float64(chosen), 0.02, how) // and a random piece that is the same
	}
	c := (&Masking{Causal: true}).example("x", row[:5], 0)
	require.Equal(t, []int32{int32(row[1] & idMask), int32(row[2] & idMask), int32(row[3] & idMask), int32(row[4] & idMask), -1}, c.Targets[0].Tokens)
}

func TestPackedLoaderShowsEachRowOnce(t *testing.T) {
	dir := t.TempDir()
	n := packedBlock + 100
	raw := make([]byte, 0, 8*n)
	for i := range n {
		raw = append(raw, byte(i), byte(i>>8), 0, 0, 0xff, 0xff, 0xff, 0xff)
	}
	const shard = 1000 // rows of a file
	for i := 0; i*shard < n; i++ {
		require.NoError(t, os.WriteFile(shardFile(dir, "train", i), raw[8*i*shard:8*min(n, (i+1)*shard)], 0o600))
	}
	rows := &PackedRows{dir: dir, name: "train", n: n, length: 2, shard: shard}
	l := &PackedLoader{Rows: rows, Masking: &Masking{Plan: recipe.PretrainPlan{Mask: "token", Share: 0.5}, Seed: 1, Mask: 1, Pieces: 5000}, Size: 32, Shuffle: true}
	var epochs [][]int
	for epoch := range 2 {
		var order []int
		steps := 0
		for b, err := range l.Epoch(t.Context(), epoch, 0) {
			require.NoError(t, err)
			order = append(order, b.Index...)
			steps++
		}
		require.Equal(t, l.Steps(epoch), steps)
		for _, from := range []int{1, 3, 129, steps - 1, steps} {
			at, passed := from, 0
			for b, err := range l.Epoch(t.Context(), epoch, from) {
				require.NoError(t, err)
				require.Equal(t, b.Index[0], order[slices.Index(order, b.Index[0])])
				passed++
				at++
			}
			require.Equal(t, steps-from, passed)
			require.Equal(t, steps, at)
		}
		sorted := slices.Sorted(slices.Values(order))
		require.Len(t, slices.Compact(sorted), n)
		epochs = append(epochs, order)
	}
	require.NotEqual(t, epochs[0], epochs[1])
	// What comes after a resume is what would have come.
	var whole, rest []*recipe.Batch
	for b := range l.Epoch(t.Context(), 0, 0) {
		whole = append(whole, b)
	}
	for b := range l.Epoch(t.Context(), 0, 100) {
		rest = append(rest, b)
	}
	require.Equal(t, whole[100:], rest)
}

func TestTwins(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	near := newTwins("near")
	var texts []string
	for range 300 {
		texts = append(texts, someText(rng, 40))
		require.Equal(t, seenNot, near.see(texts[len(texts)-1]))
	}
	found := 0
	for _, text := range texts {
		require.Equal(t, seenSame, near.see(strings.ToUpper(text)+"."))
		words := strings.Fields(text)
		words[20] = "changed" // 3 of 38 shingles
		if near.see(strings.Join(words, " ")) == seenNear {
			found++
		}
	}
	require.Greater(t, found, 294)
	exact := newTwins("exact")
	require.Equal(t, seenNot, exact.see("one two three four five six"))
	require.Equal(t, seenNot, exact.see("one two three four five seven"))
	require.Equal(t, seenSame, exact.see("one two three four five six"))
	off := newTwins("off")
	off.see("a")
	require.Equal(t, seenNot, off.see("a"))
	chinese := newTwins("near")
	chinese.see("本公司第三季度的净利润比上年同期增长了百分之十二")
	require.Equal(t, seenNear, chinese.see("本公司第三季度的净利润比上年同期增长了百分之十三"))
}

// TestPackMemory packs a corpus that is many times larger than what may be held.
func TestPackMemory(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "big.txt"))
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(7, 8))
	size := 0
	for size < 8<<20 {
		n, err := f.WriteString(someText(rng, 400) + "\n")
		require.NoError(t, err)
		size += n
	}
	require.NoError(t, f.Close())
	plan := packPlan(t, "data.split=[0.99, 0.01, 0]", "pretrain.dedup=exact")
	tok := packTokenizer(t)
	// What the last collection found alive: garbage that a busy machine has not
	// collected yet does not count.
	live := func() uint64 {
		runtime.GC()
		sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(sample)
		return sample[0].Value.Uint64()
	}
	before := live()
	stop, most := make(chan struct{}), make(chan uint64)
	go func() {
		top := uint64(0)
		for {
			select {
			case <-stop:
				most <- top
				return
			case <-time.After(20 * time.Millisecond):
				top = max(top, live())
			}
		}
	}()
	p, ds, err := Pack(t.Context(), PackRequest{Files: []string{f.Name()}, Plan: plan, Tokenizer: tok, Length: 128, Home: t.TempDir(), shard: 3 << 20})
	require.NoError(t, err)
	require.NoError(t, ds.Err())
	l := &PackedLoader{Rows: p.Train, Masking: &Masking{Plan: plan.Pretrain, Mask: 4, Pieces: tok.VocabSize()}, Size: 32, Shuffle: true}
	n := 0
	for b, err := range l.Epoch(t.Context(), 0, 0) {
		require.NoError(t, err)
		n += len(b.Rows)
	}
	close(stop)
	top := <-most
	require.Equal(t, p.Train.Len(), n)
	require.Greater(t, p.Stats.Tokens, int64(5<<20))
	require.Less(t, top-min(top, before), uint64(20<<20), "the 32 MB of rows of 8 MB of text must not be in memory")
}

func TestTextsSayWhere(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.jsonl")
	require.NoError(t, os.WriteFile(bad, []byte("{\"text\": \"fine\"}\n{\"body\": \"no\"}\n"), 0o600))
	var err error
	for _, e := range Texts(t.Context(), []string{bad}, &recipe.DataPlan{}) {
		err = e
	}
	require.ErrorContains(t, err, "bad.jsonl:2")
	_, _, err = Pack(t.Context(), PackRequest{Files: []string{filepath.Join(dir, "none.txt")}, Plan: packPlan(t), Tokenizer: packTokenizer(t), Length: 16, Home: t.TempDir()})
	require.ErrorIs(t, err, os.ErrNotExist)
	empty := filepath.Join(dir, "empty.txt")
	require.NoError(t, os.WriteFile(empty, []byte("\n \n"), 0o600))
	_, ds, err := Pack(t.Context(), PackRequest{Files: []string{empty}, Plan: packPlan(t), Tokenizer: packTokenizer(t), Length: 16, Home: t.TempDir()})
	require.NoError(t, err)
	require.ErrorContains(t, ds.Err(), "no row to train on")
}

func TestPackCausalBlocks(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	tok := packTokenizer(t)
	var task TaskTexts
	var want []uint32
	for range 30 {
		text := someText(rng, 1+rng.IntN(30))
		task.Train = append(task.Train, text)
		for _, v := range packIDs(tok, nil, text, nil) {
			want = append(want, v&idMask)
		}
		want = append(want, 3) // [SEP] ends a text
	}
	task.Valid = []string{"held out"}
	p, ds, err := Pack(t.Context(), PackRequest{Plan: packPlan(t), Tokenizer: tok, Length: 16, Home: t.TempDir(), Causal: true, Task: &task})
	require.NoError(t, err)
	require.NoError(t, ds.Err())
	require.Equal(t, 1, p.Stats.ValidRows)
	rows, err := p.Train.read(0, p.Train.Len())
	require.NoError(t, err)
	var got []uint32
	for i, row := range rows {
		if i < len(rows)-1 {
			require.Len(t, row, 16)
		}
		for _, v := range row {
			got = append(got, v&idMask)
		}
	}
	require.Equal(t, want, got)

	few, _, err := Pack(t.Context(), PackRequest{Plan: packPlan(t, "pretrain.rows=3"), Tokenizer: tok, Length: 16, Home: t.TempDir(), Causal: true, Task: &task})
	require.NoError(t, err)
	require.Equal(t, 3, few.Train.Len())
	again, err := few.Train.read(0, 3)
	require.NoError(t, err)
	require.Equal(t, rows[:3], again)
}

// fixedLinker links one name.
type fixedLinker string

func (l fixedLinker) Types() []string { return []string{""} }

func (l fixedLinker) Facts(int32) []recipe.GraphFact { return nil }

func (l fixedLinker) Link(text string) (out []recipe.Mention) {
	for at := 0; ; {
		i := strings.Index(text[at:], string(l))
		if i < 0 {
			return out
		}
		out = append(out, recipe.Mention{Start: at + i, End: at + i + len(l)})
		at += i + len(l)
	}
}

func TestEntityMasks(t *testing.T) {
	tok := packTokenizer(t)
	const name = "gas turbine"
	row := packIDs(tok, fixedLinker(name), strings.Repeat("the gas turbine gas turbine and a gas line ", 6), nil)
	entities := 0
	for _, v := range row {
		if v&entityStart != 0 {
			entities++
		}
	}
	require.Equal(t, 12, entities)
	m := &Masking{Plan: recipe.PretrainPlan{Mask: "entity", Share: 0.4}, Seed: 7, Mask: 4, Pieces: tok.VocabSize(), Keep: tok.IsSpecial}
	whole := 0
	for epoch := range 20 {
		target := m.example("train-1", row, epoch).Targets[0].Tokens
		for i := 0; i < len(row); i++ {
			if row[i]&entityStart == 0 {
				continue
			}
			hidden := target[i] >= 0
			for i+1 < len(row) && row[i+1]&entityInside != 0 {
				i++
				require.Equal(t, hidden, target[i] >= 0, "a name is hidden as a whole")
			}
			if hidden {
				whole++
			}
		}
	}
	require.Positive(t, whole)
}
