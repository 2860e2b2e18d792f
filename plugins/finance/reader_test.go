package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/sdk"
)

func write(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, data, 0o600))
	return path
}

type sentence struct{ ID, Text, Label string }

func sentences(rows []sdk.Example) (out []sentence) {
	for _, ex := range rows {
		s := sentence{ID: ex.ID, Text: ex.Text}
		if l, ok := ex.Labels["sentiment"]; ok {
			s.Label = strings.Join(l.Values, "|")
		}
		out = append(out, s)
	}
	return out
}

func TestPhraseBank(t *testing.T) {
	for _, tc := range []struct {
		name, data string
		want       []sentence
		problems   []string // line and a part of the summary
	}{
		{"plain", "Sales grew .@positive\nNothing new .@neutral\n",
			[]sentence{{"phrasebank:1", "Sales grew .", "positive"}, {"phrasebank:2", "Nothing new .", "neutral"}}, nil},
		{"last @ separates", "Write to ir@example.com .@neutral",
			[]sentence{{"phrasebank:1", "Write to ir@example.com .", "neutral"}}, nil},
		{"Latin-1", "M\xe4kel\xe4 lost 5 \xa3 .@negative\r\n", []sentence{{"phrasebank:1", "Mäkelä lost 5 £ .", "negative"}}, nil},
		{"saved again as UTF-8", "\ufeffMäkelä lost .@negative\n", []sentence{{"phrasebank:1", "Mäkelä lost .", "negative"}}, nil},
		{"decomposed characters", "Ma\u0308kela\u0308 lost .@negative\n", []sentence{{"phrasebank:1", "Mäkelä lost .", "negative"}}, nil},
		{"spaces, capitals, blank lines", "\n Up . @ Positive \n\n", []sentence{{"phrasebank:2", "Up .", "positive"}}, nil},
		{"faulty lines", "no label here\nfine@neutral\n@positive\nodd@happy\nend@",
			[]sentence{{"phrasebank:2", "fine", "neutral"}}, []string{"1 no @", "3 no sentence", `4 "happy"`, `5 ""`}},
		{"empty file", "", nil, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := write(t, "Sentences_50Agree.txt", []byte(tc.data))
			rows, ds, err := sdk.Collect(readPhraseBank(context.Background(), sdk.ReadRequest{Dataset: "phrasebank", Path: path}))
			require.NoError(t, err)
			if diff := cmp.Diff(tc.want, sentences(rows)); diff != "" {
				t.Error(diff)
			}
			require.Len(t, ds, len(tc.problems), ds.String())
			for i, p := range tc.problems {
				line, part, _ := strings.Cut(p, " ")
				assert.Equal(t, path+":"+line, ds[i].Place())
				assert.Contains(t, ds[i].Summary, part)
			}
		})
	}
}

func TestPhraseBankFolderAndOptions(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"50Agree": "a", "66Agree": "b", "75Agree": "c", "AllAgree": "d"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "Sentences_"+name+".txt"), []byte(text+"@neutral\n"), 0o600))
	}
	for agreement, want := range map[string]string{"": "a", "50": "a", "66": "b", "75": "c", "all": "d"} {
		ctx := sdk.WithEnv(context.Background(), sdk.Env{Options: map[string]string{"phrasebank": dir, "agreement": agreement}})
		rows, _, err := sdk.Collect(readPhraseBank(ctx, sdk.ReadRequest{Dataset: "phrasebank", Split: "all"}))
		require.NoError(t, err)
		require.Len(t, rows, 1)
		assert.Equal(t, want, rows[0].Text)
	}
}

func TestLines(t *testing.T) {
	path := write(t, "posts.txt", []byte("股价大涨🚀\n\nbad \xff byte\n$ABCDE to the moon"))
	rows, ds, err := sdk.Collect(readLines(context.Background(), sdk.ReadRequest{Dataset: "lines", Path: path}))
	require.NoError(t, err)
	want := []sentence{{"lines:1", "股价大涨🚀", ""}, {"lines:4", "$ABCDE to the moon", ""}}
	if diff := cmp.Diff(want, sentences(rows)); diff != "" {
		t.Error(diff)
	}
	require.Len(t, ds, 1)
	assert.Equal(t, path+":3", ds[0].Place())
}

func TestReadersAtTheirLimits(t *testing.T) {
	path := write(t, "long.txt", []byte("one\n"+strings.Repeat("x", maxLine+1)+"\nthree\nfour"))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	rows, ds, err := sdk.Collect(readLines(ctx, sdk.ReadRequest{Dataset: "lines", Path: path}))
	require.NoError(t, err)
	assert.Len(t, rows, 3)
	require.Len(t, ds, 1)
	assert.Equal(t, path+":2", ds[0].Place())

	rows, _, err = sdk.Collect(readLines(ctx, sdk.ReadRequest{Dataset: "lines", Path: path, Limit: 1}))
	require.NoError(t, err)
	assert.Len(t, rows, 1)

	_, _, err = sdk.Collect(readLines(ctx, sdk.ReadRequest{Dataset: "lines", Path: path + ".absent"}))
	require.ErrorIs(t, err, os.ErrNotExist)

	_, _, err = sdk.Collect(readPhraseBank(ctx, sdk.ReadRequest{Dataset: "phrasebank"}))
	problems, fatal, ok := sdk.DiagnosticsOf(err)
	require.True(t, ok && fatal)
	assert.Contains(t, problems[0].Remedy, "domain.options.phrasebank")

	cancel()
	_, _, err = sdk.Collect(readLines(ctx, sdk.ReadRequest{Dataset: "lines", Path: path}))
	require.ErrorIs(t, err, context.Canceled)
}

func FuzzPhraseBank(f *testing.F) {
	f.Add([]byte("Sales grew .@positive\n"))
	f.Add([]byte("M\xe4 .@neutral\r\n@\n\xff@negative"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := write(t, "f.txt", data)
		rows, _, err := sdk.Collect(readPhraseBank(context.Background(), sdk.ReadRequest{Dataset: "phrasebank", Path: path}))
		require.NoError(t, err)
		for _, ex := range rows {
			require.Empty(t, ex.Check())
			require.NotEmpty(t, ex.Text)
		}
	})
}
