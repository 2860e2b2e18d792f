package kge

import (
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/sdk"
)

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	return path
}

func TestRead(t *testing.T) {
	train := write(t, "train.txt", "\ufeffb\tr\ta\r\na\tr\tc\n\nb\tr\ta\n")
	zipped := filepath.Join(t.TempDir(), "test.txt.gz")
	f, err := os.Create(zipped)
	require.NoError(t, err)
	z := gzip.NewWriter(f)
	_, err = z.Write([]byte("a\ts\td\nb\tr\ta\n"))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	require.NoError(t, f.Close())

	d, ds, err := Read(Files{Train: train, Test: zipped})
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b", "c", "d"}, d.Entities)
	require.Equal(t, []string{"r", "s"}, d.Relations)
	require.Equal(t, []Triple{{0, 0, 2}, {1, 0, 0}}, d.Train)
	require.Equal(t, []Triple{{0, 1, 3}, {1, 0, 0}}, d.Test)
	require.Empty(t, d.Valid)
	var codes []string
	for _, x := range ds {
		codes = append(codes, x.Code+" "+x.Summary)
	}
	require.Equal(t, []string{"kge.leak 1 of 2 facts are in the training file too; scores will flatter", "kge.unseen 1 of 2 facts are about an entity without a training fact"}, codes)

	// Neither the order of lines nor a repetition changes what is learned.
	other, _, err := Read(Files{Train: write(t, "x", "a\tr\tc\nb\tr\ta\n"), Test: zipped})
	require.NoError(t, err)
	require.Equal(t, d.Digest(), other.Digest())
	other, _, err = Read(Files{Train: write(t, "x", "a\tr\tb\nb\tr\ta\n"), Test: zipped})
	require.NoError(t, err)
	require.NotEqual(t, d.Digest(), other.Digest())
}

func TestReadTellsAllProblems(t *testing.T) {
	path := write(t, "bad.txt", "a\tr\tb\na r b\na\t\tb\nx\xff\tr\tb\n\t \t\n")
	d, ds, err := Read(Files{Train: path})
	require.NoError(t, err)
	require.Nil(t, d)
	var got []string
	for _, x := range ds {
		require.Equal(t, sdk.Error, x.Severity)
		got = append(got, fmt.Sprintf("%d:%d %s", x.Line, x.Column, x.Summary))
	}
	require.Equal(t, []string{"2:0 the line has 1 fields, not 3", "3:3 the relation is empty", "4:0 the line is not UTF-8"}, got)

	_, ds, err = Read(Files{Train: write(t, "many", strings.Repeat("x\n", maxProblems+5))})
	require.NoError(t, err)
	require.Len(t, ds, maxProblems+1)
	require.Equal(t, "5 more lines have problems", ds[maxProblems].Summary)

	_, ds, err = Read(Files{Train: write(t, "none", "\n")})
	require.NoError(t, err)
	require.Equal(t, "kge.empty", ds[0].Code)
	_, _, err = Read(Files{Train: path + ".absent"})
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestCollectKeepsTheGivenOrder(t *testing.T) {
	d, err := Collect([]string{"z", "a", "m"}, []Named{{"a", "r", "z"}}, nil, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"z", "a", "m"}, d.Entities)
	require.Equal(t, []Triple{{1, 0, 0}}, d.Train)
	_, err = Collect([]string{"z"}, []Named{{"a", "r", "z"}}, nil, nil)
	require.ErrorContains(t, err, "not listed")
	require.NoError(t, d.check())
	d.Relations[0] = "r\ns"
	require.ErrorContains(t, d.check(), "line break", "names are written one a line")
	_, err = Collect([]string{"z", "z"}, nil, nil, nil)
	require.ErrorContains(t, err, "twice")
}

func TestSplit(t *testing.T) {
	build := func() *Data {
		var facts []Named
		for i := range 40 {
			facts = append(facts, Named{fmt.Sprint("e", i), "next", fmt.Sprint("e", (i+1)%40)}, Named{fmt.Sprint("e", i), "far", fmt.Sprint("e", (i+7)%40)})
		}
		facts = append(facts, Named{"leaf", "once", "e0"}, Named{"e1", "next", "e1"})
		d, err := Collect(nil, facts, nil, nil)
		require.NoError(t, err)
		return d
	}
	d := build()
	all := len(d.Train)
	d.Split(0.1, 0.2, 3)
	require.Len(t, d.Valid, 8)
	require.Len(t, d.Test, 16)
	require.Len(t, d.Train, all-24)
	entities, relations := map[int32]bool{}, map[int32]bool{}
	for _, f := range d.Train {
		entities[f.Head], entities[f.Tail], relations[f.Relation] = true, true, true
	}
	require.Len(t, entities, len(d.Entities), "every entity keeps a training fact")
	require.Len(t, relations, len(d.Relations))
	again := build()
	again.Split(0.1, 0.2, 3)
	require.Equal(t, d, again)
	other := build()
	other.Split(0.1, 0.2, 4)
	require.NotEqual(t, d.Test, other.Test)
}
