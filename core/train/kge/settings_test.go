package kge

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/sdk"
)

func TestPresets(t *testing.T) {
	found := false
	for _, p := range Presets() {
		s, ds := FindPreset(p.Name)
		require.Empty(t, ds, p.Name)
		require.Empty(t, s.Check(), p.Name)
		require.NotEmpty(t, p.Summary)
		found = found || p.Name == DefaultPreset
		if strings.HasSuffix(p.Name, "-gpu") {
			require.Contains(t, p.Summary, "not measured here")
		}
	}
	require.True(t, found)
	_, ds := FindPreset("complx")
	require.Equal(t, `did you mean "complex"?`, ds[0].Remedy)
}

func TestSettings(t *testing.T) {
	s, ds := ParseSettings("x.yaml", []byte("schema: islm/kge.v0\nmodel: rotate\nlss: negative\n"))
	require.Equal(t, "rotate", s.Model)
	require.Len(t, ds, 1)
	require.Equal(t, "yaml.unknown-key", ds[0].Code)
	_, ds = ParseSettings("x.yaml", []byte("model: rotate\n"))
	require.True(t, ds.HasErrors(), "the schema is missing")

	require.Empty(t, s.Set("lr=0.05"))
	require.Equal(t, 0.05, s.LR)
	require.True(t, s.Set("lr=fast").HasErrors())
	require.True(t, s.Set("dims=3").HasErrors())
	require.True(t, s.Set("dim").HasErrors())
}

func TestCheckTellsAllProblems(t *testing.T) {
	base, ds := FindPreset(DefaultPreset)
	require.Empty(t, ds)
	cases := map[string]func(*Settings){
		"model":       func(s *Settings) { s.Model = "transr" },
		"dim":         func(s *Settings) { s.Dim = 31 },
		"loss":        func(s *Settings) { s.Model, s.N3 = TransE, 0 },
		"n3":          func(s *Settings) { s.Model, s.Loss, s.Answers, s.Negatives = RotatE, Negative, 1, 5 },
		"answers":     func(s *Settings) { s.Loss, s.Negatives = Negative, 5 },
		"negatives":   func(s *Settings) { s.Loss, s.Answers = Negative, 1 },
		"temperature": func(s *Settings) { s.Loss, s.Answers, s.Negatives, s.Temperature = Negative, 1, 5, -1 },
		"optimizer":   func(s *Settings) { s.Optimizer = "sgd" },
		"lr":          func(s *Settings) { s.LR = 0 },
		"lr_drop":     func(s *Settings) { s.LRDrop = 2 },
		"init":        func(s *Settings) { s.Init = 0 },
		"epochs":      func(s *Settings) { s.Epochs = 0 },
		"patience":    func(s *Settings) { s.EvalEvery = 0 },
	}
	for key, change := range cases {
		s := base
		change(&s)
		ds := s.Check()
		require.Len(t, ds, 1, key)
		require.Equal(t, key, ds[0].Path)
		require.Equal(t, sdk.Error, ds[0].Severity)
	}
	require.Greater(t, len(Settings{}.Check()), 5)
}
