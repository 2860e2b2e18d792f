package corpus

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/recipe"
)

// orderDigest was made when all rows of a split lay in one file.
const orderDigest = "577a703d417432fee68fb5a112e0b584878d0a3e4faaf6ad4665384a129e5889"

// The batches of an epoch are what they were when rows lay in one file: their order,
// masks and names are a function of the seed and of the rows' numbers.
func TestPackedOrderIsKept(t *testing.T) {
	tok := packTokenizer(t)
	rng := rand.New(rand.NewPCG(21, 22))
	task := TaskTexts{Valid: []string{someText(rng, 30)}}
	for range 2000 {
		task.Train = append(task.Train, someText(rng, 1+rng.IntN(40)))
	}
	digest := func(shard int64) (string, int) {
		p, ds, err := Pack(t.Context(), PackRequest{Plan: packPlan(t), Tokenizer: tok, Length: 16, Home: t.TempDir(), Task: &task, shard: shard})
		require.NoError(t, err)
		require.NoError(t, ds.Err())
		require.Greater(t, p.Train.Len(), 2*packedBlock)
		l := &PackedLoader{Rows: p.Train, Masking: &Masking{Plan: recipe.PretrainPlan{Mask: "word", Share: 0.15}, Seed: 5, Mask: 4, Pieces: tok.VocabSize(), Keep: tok.IsSpecial}, Size: 32, Shuffle: true}
		h := sha256.New()
		put := func(v any) { require.NoError(t, binary.Write(h, binary.LittleEndian, v)) }
		for epoch := range 2 {
			for b, err := range l.Epoch(t.Context(), epoch, 3*epoch) {
				require.NoError(t, err)
				for i, r := range b.Rows {
					put(int64(b.Index[i]))
					put([]byte(r.ID))
					put(r.IDs)
					put(r.Targets[0].Tokens)
				}
			}
		}
		held, err := NewPackedSource(p.Valid, l.Masking)
		require.NoError(t, err)
		for i := range held.Len() {
			put(held.At(i).IDs)
		}
		files, err := filepath.Glob(filepath.Join(p.Dir, "train-*.ids"))
		require.NoError(t, err)
		return hex.EncodeToString(h.Sum(nil)), len(files)
	}
	for shard, files := range map[int64]int{0: 1, 64 * 1000: 0, 64 * packedBlock: 0, 64*97 + 17: 0} {
		got, n := digest(shard)
		require.Equal(t, orderDigest, got, shard)
		if files > 0 {
			require.Equal(t, files, n)
		} else {
			require.Greater(t, n, 2, shard)
		}
	}
}

// packTask packs the same texts in files of some size.
func packTask(t *testing.T, home string, seed uint64, length int, shard int64) *Packed {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 4))
	var task TaskTexts
	for range 1 + rng.IntN(20) {
		task.Train = append(task.Train, someText(rng, 1+rng.IntN(30)))
	}
	for range rng.IntN(4) {
		task.Valid = append(task.Valid, someText(rng, 1+rng.IntN(30)))
	}
	p, ds, err := Pack(t.Context(), PackRequest{Plan: packPlan(t), Tokenizer: packTokenizer(t), Length: length, Home: home, Task: &task, shard: shard})
	require.NoError(t, err)
	require.NoError(t, ds.Err())
	return p
}

func FuzzPackShards(f *testing.F) {
	for seed, shard := range []int64{1, 64, 100, 1000, 4096, 1 << 20} {
		f.Add(uint64(seed), 8+seed, shard)
	}
	f.Fuzz(func(t *testing.T, seed uint64, length int, shard int64) {
		length, shard = 4+int(uint(length-4)%61), max(1, shard) // what is out of range stands for what is in it
		whole, parts := packTask(t, t.TempDir(), seed, length, 0), packTask(t, t.TempDir(), seed, length, shard)
		require.Equal(t, max(1, shard/int64(4*length)), int64(parts.Stats.ShardRows))
		stats := parts.Stats
		stats.ShardRows = whole.Stats.ShardRows
		require.Equal(t, whole.Stats, stats)
		entries, err := os.ReadDir(parts.Dir)
		require.NoError(t, err)
		files := 1 // stats.json
		for i, rows := range []*PackedRows{parts.Train, parts.Valid} {
			one := []*PackedRows{whole.Train, whole.Valid}[i]
			all, err := one.read(0, one.Len())
			require.NoError(t, err)
			n := rows.Len()
			files += (n + rows.shard - 1) / rows.shard
			rng := rand.New(rand.NewPCG(seed, 9))
			for range 5 {
				from := rng.IntN(n + 1)
				to := from + rng.IntN(n-from+1)
				got, err := rows.read(from, to)
				require.NoError(t, err)
				require.True(t, slices.EqualFunc(all[from:to], got, slices.Equal[[]uint32]), "rows %d to %d of %d", from, to, n)
			}
		}
		require.Len(t, entries, files)
	})
}

// Rows that are not what stats.json counts are packed anew.
func TestPackTornShards(t *testing.T) {
	home := t.TempDir()
	p := packTask(t, home, 4, 16, 64*3)
	require.Greater(t, p.Train.Len(), 7)
	require.Positive(t, p.Valid.Len())
	want, err := p.Train.read(0, p.Train.Len())
	require.NoError(t, err)
	for name, damage := range map[string]func() error{
		"cut":          func() error { return os.Truncate(shardFile(p.Dir, "train", 1), 64*3-4) },
		"a row less":   func() error { return os.Truncate(shardFile(p.Dir, "train", 1), 64*2) },
		"longer":       func() error { return os.Truncate(shardFile(p.Dir, "train", 0), 64*4) },
		"missing":      func() error { return os.Remove(shardFile(p.Dir, "train", 2)) },
		"of valid":     func() error { return os.Remove(shardFile(p.Dir, "valid", 0)) },
		"no stats":     func() error { return os.Remove(filepath.Join(p.Dir, "stats.json")) },
		"torn stats":   func() error { return os.Truncate(filepath.Join(p.Dir, "stats.json"), 20) },
		"other stats":  func() error { return os.WriteFile(filepath.Join(p.Dir, "stats.json"), []byte("{}"), 0o600) },
		"an old stage": func() error { return os.Rename(shardFile(p.Dir, "train", 0), filepath.Join(p.Dir, "train.ids")) },
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, damage())
			err := (&Packed{Dir: p.Dir}).open()
			require.ErrorIs(t, err, errTorn)
			again := packTask(t, home, 4, 16, 64*3)
			require.False(t, again.Reused)
			rows, err := again.Train.read(0, again.Train.Len())
			require.NoError(t, err)
			require.Equal(t, want, rows)
			require.True(t, packTask(t, home, 4, 16, 64*3).Reused)
			left, err := os.ReadDir(home)
			require.NoError(t, err)
			require.Len(t, left, 1)
		})
	}
	// What is wrong is said.
	require.NoError(t, os.Remove(shardFile(p.Dir, "train", 1)))
	require.ErrorContains(t, p.Train.check(), "train-00001.ids is missing")
}

// What killed processes left is removed a day later; what another process works on
// stays.
func TestStagesLeftBehind(t *testing.T) {
	home := t.TempDir()
	leave := func(name string, age time.Duration) string {
		dir := filepath.Join(home, name)
		require.NoError(t, os.Mkdir(dir, 0o755))
		file := filepath.Join(dir, "train-00000.ids")
		require.NoError(t, os.WriteFile(file, []byte("rows"), 0o600))
		for _, path := range []string{file, dir} {
			at := time.Now().Add(-age)
			require.NoError(t, os.Chtimes(path, at, at))
		}
		return dir
	}
	old, fresh, done := leave("a.1.tmp", 25*time.Hour), leave("b.2.tmp", 23*time.Hour), leave("c", 99*time.Hour)
	written := leave("d.3.tmp", 99*time.Hour) // begun long ago, written a moment ago
	require.NoError(t, os.WriteFile(filepath.Join(written, "train-00000.ids"), []byte("more rows"), 0o600))
	packTask(t, home, 4, 16, 0)
	require.NoDirExists(t, old)
	for _, dir := range []string{fresh, done, written} {
		require.DirExists(t, dir)
	}

	again := leave("f.6.tmp", 25*time.Hour)
	require.True(t, packTask(t, home, 4, 16, 0).Reused)
	require.NoDirExists(t, again)
	late := leave("e.5.tmp", 25*time.Hour)
	tok := packTokenizer(t)
	c := &Corpus{}
	_, err := c.Build(t.Context(), BuildRequest{Plan: packPlan(t), Tokenizer: tok, MaxLength: 16, Home: home})
	require.NoError(t, err)
	require.NoDirExists(t, late)
}
