package tune

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

func space(t *testing.T, text string) Space {
	t.Helper()
	s, ds := ParseSpace("space", []byte(text))
	require.Empty(t, ds)
	return s
}

func number(t *testing.T, text string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(text, 64)
	require.NoError(t, err)
	return v
}

func TestSpace(t *testing.T) {
	s := space(t, "{train.lr: {log: [1e-6, 1e-3]}, train.batch_size: [8, 16], train.epochs: {int: [2, 4]}, train.dropout: {uniform: [0, 0.3]}}")
	require.Len(t, s, 4)
	require.Len(t, s.Grid(3), 2*3*3*3)
	counts := map[string]int{}
	for id := range 300 {
		v := s.Random(1, id)
		require.Equal(t, v, s.Random(1, id))
		counts[v["train.epochs"]]++
		lr := number(t, v["train.lr"])
		require.True(t, lr >= 1e-6 && lr <= 1e-3, lr)
		counts[strconv.FormatBool(lr < math.Sqrt(1e-6*1e-3))]++
	}
	for _, k := range []string{"2", "3", "4"} {
		require.InDelta(t, 100, counts[k], 35, k)
	}
	require.InDelta(t, 150, counts["true"], 35)
	for _, d := range s {
		for _, u := range []float64{0.1, 0.5, 0.9} {
			require.Equal(t, d.at(u), d.at(d.position(d.at(u))), d.Key)
		}
	}
}

// Values that are lists or maps stand in one line, as --set takes them.
func TestSpaceOfLists(t *testing.T) {
	s := space(t, `{augment.packs: [[], [aeda], [aeda, "general-en"]], train.freeze: [[all but top 2], encoder], data.labels: [["7", 7, "on", "a, b", "say \"x\""]], fewshot.verbalizer: [{up: good, down: "bad|poor"}], train.lr: {log: [1e-5, 1e-3]}}`)
	want := map[string][]string{
		"augment.packs":      {"[]", "[aeda]", "[aeda, general-en]"},
		"train.freeze":       {"[all but top 2]", "encoder"},
		"data.labels":        {`["7", 7, "on", "a, b", "say \"x\""]`},
		"fewshot.verbalizer": {`{up: good, down: "bad|poor"}`},
	}
	for i := range s {
		if choices, ok := want[s[i].Key]; ok {
			require.Equal(t, choices, s[i].Choices)
			for _, c := range choices { // the text says the same again
				again := space(t, fmt.Sprintf("k: [%s]", c))
				require.Equal(t, []string{c}, again[0].Choices)
			}
		} else {
			require.True(t, s[i].Log)
		}
	}
}

func TestSpaceProblems(t *testing.T) {
	for text, want := range map[string]string{
		"train.lr: {log: [0, 1]}":       "begins above 0",
		"train.lr: {log: [2, 1]}":       "the lower one first",
		"train.lr: {exp: [1, 2]}":       "unknown form",
		"train.epochs: {int: [1, 2.5]}": "whole numbers",
		"train.lr: 3":                   "neither a list nor a range",
		"[1, 2]":                        "a search space is a map",
	} {
		_, ds := ParseSpace("space", []byte(text))
		require.True(t, ds.HasErrors(), text)
		require.Contains(t, ds.Err().Error(), want, text)
	}
}

// On known functions TPE comes nearer to the best value than random search with
// as many trials, in most of 20 seeds.
func TestTPEBeatsRandomSearch(t *testing.T) {
	for name, f := range map[string]struct {
		space string
		score func(v map[string]string) float64
	}{
		"bowl": {"{x: {uniform: [-5, 5]}, y: {uniform: [-5, 5]}}", func(v map[string]string) float64 {
			x, y := number(t, v["x"]), number(t, v["y"])
			return -(x-1)*(x-1) - (y+2)*(y+2)
		}},
		"learning rate": {"{lr: {log: [1e-6, 1]}, batch: [8, 16, 32, 64], depth: {int: [1, 12]}}", func(v map[string]string) float64 {
			lr := math.Log10(number(t, v["lr"])) + 3
			depth := number(t, v["depth"]) - 6
			score := -lr*lr - depth*depth/20
			if v["batch"] != "16" {
				score--
			}
			return score
		}},
	} {
		t.Run(name, func(t *testing.T) {
			wins, gain := 0, 0.0
			for seed := range uint64(20) {
				best := map[string]float64{}
				for _, method := range []string{Random, TPE} {
					s := Study{Space: space(t, f.space), Method: method, Trials: 60, Seed: seed, Run: func(_ context.Context, x *Trial) error {
						x.Score = f.score(x.Values)
						return nil
					}}
					all, err := s.Search(t.Context())
					require.NoError(t, err)
					require.Len(t, all, 60)
					best[method] = Ranked(all)[0].Score
				}
				if best[TPE] > best[Random] {
					wins++
				}
				gain += best[TPE] - best[Random]
			}
			require.GreaterOrEqual(t, wins, 14, "of 20 seeds")
			require.Positive(t, gain)
		})
	}
}

// A study that is interrupted goes on with the same trials, in any number at once.
func TestStudyResumes(t *testing.T) {
	score := func(x *Trial) { x.Score = -math.Abs(number(t, x.Values["x"]) - 0.3) }
	study := func(file string, parallel int, run func(ctx context.Context, x *Trial) error) *Study {
		return &Study{Space: space(t, "{x: {uniform: [0, 1]}, k: [a, b]}"), Method: TPE, Trials: 24, Round: 3, Parallel: parallel, Seed: 5, File: file, Run: run}
	}
	whole, err := study("", 1, func(_ context.Context, x *Trial) error { score(x); return nil }).Search(t.Context())
	require.NoError(t, err)

	file := filepath.Join(t.TempDir(), "study.json")
	var n atomic.Int32
	_, err = study(file, 3, func(_ context.Context, x *Trial) error {
		if n.Add(1) > 14 {
			return errors.New("killed")
		}
		score(x)
		return nil
	}).Search(t.Context())
	require.Error(t, err)
	before := n.Load()
	again, err := study(file, 2, func(_ context.Context, x *Trial) error { n.Add(1); score(x); return nil }).Search(t.Context())
	require.NoError(t, err)
	require.Equal(t, whole, again)
	require.Equal(t, int32(24-14), n.Load()-before)

	other := study(file, 1, func(context.Context, *Trial) error { return nil })
	other.Seed = 6
	_, err = other.Search(t.Context())
	require.ErrorContains(t, err, "another space, method or seed")
}

func TestHalving(t *testing.T) {
	s := Study{Space: space(t, "x: {uniform: [0, 1]}"), Method: Halving, Trials: 9, Budgets: []int{1, 3, 9}, Run: func(_ context.Context, x *Trial) error {
		x.Score = number(t, x.Values["x"]) * float64(x.Budget)
		if x.ID == 2 {
			x.Error = "it ran out of memory"
		}
		return nil
	}}
	all, err := s.Search(t.Context())
	require.NoError(t, err)
	var budgets []int
	for _, x := range all {
		budgets = append(budgets, x.Budget)
	}
	require.Equal(t, append(slices.Repeat([]int{1}, 9), 3, 3, 9), budgets)
	first := Ranked(all[:9])
	require.Equal(t, first[0].Values, all[11].Values)
	require.Equal(t, all[11].ID, Ranked(all)[0].ID)
	require.Len(t, first, 8)
}

// Scores that were made with other inputs are refused, by every method; those of files
// without inputs are taken as they are.
// Where all trials of a rung fail there is nothing that could go on.
func TestHalvingOfFailures(t *testing.T) {
	s := Study{Space: space(t, "x: {uniform: [0, 1]}"), Method: Halving, Trials: 4, Budgets: []int{1, 3}, Run: func(_ context.Context, x *Trial) error {
		require.NotEmpty(t, x.Values)
		x.Error = "no memory"
		return nil
	}}
	all, err := s.Search(t.Context())
	require.NoError(t, err)
	require.Len(t, all, 4)
	require.Empty(t, Ranked(all))
}

// What is wrong with every trial ends a search; what may be the fault of a value does not.
func TestStudyOfTrialsThatFailAlike(t *testing.T) {
	for _, method := range Methods() {
		for _, parallel := range []int{1, 3} {
			t.Run(fmt.Sprint(method, parallel), func(t *testing.T) {
				file := filepath.Join(t.TempDir(), "study.json")
				broken, runs := true, atomic.Int32{}
				s := &Study{Space: space(t, "{x: {uniform: [0, 1]}, k: [a, b]}"), Method: method, Trials: 20, Round: 4, Parallel: parallel, Points: 10, Budgets: []int{1, 3}, Seed: 3, Alike: 3, File: file, Run: func(_ context.Context, x *Trial) error {
					if runs.Add(1); broken {
						x.Error = "the base is not there"
					}
					x.Score = number(t, x.Values["x"])
					return nil
				}}
				_, err := s.Search(t.Context())
				var over *AllFailed
				require.ErrorAs(t, err, &over)
				require.NotErrorIs(t, err, context.Canceled)
				require.Equal(t, "the base is not there", over.Reason)
				require.GreaterOrEqual(t, over.Trials, 3)
				require.Less(t, int(runs.Load()), 16)
				require.NoFileExists(t, file)

				broken = false // and the same command tries all of them
				all, err := s.Search(t.Context())
				require.NoError(t, err)
				require.Len(t, Ranked(all), len(all))
			})
		}
	}
	// A grid begins with the first value of its first key, whose fault it may be.
	s := &Study{Space: space(t, "{a: [bad, good], x: {uniform: [0, 1]}}"), Method: Grid, Points: 5, Alike: 3, Run: func(_ context.Context, x *Trial) error {
		if x.Values["a"] == "bad" {
			x.Error = "no memory"
		}
		return nil
	}}
	all, err := s.Search(t.Context())
	require.NoError(t, err)
	require.Len(t, all, 10)
	require.Len(t, Ranked(all), 5)
}

func TestStudyInputs(t *testing.T) {
	for _, method := range Methods() {
		t.Run(method, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "study.json")
			runs := 0
			search := func(inputs map[string]string) ([]Trial, error) {
				s := Study{Space: space(t, "{x: {uniform: [0, 1]}}"), Method: method, Trials: 3, Budgets: []int{1, 3}, File: file, Inputs: inputs, Run: func(_ context.Context, x *Trial) error {
					runs++
					x.Score = number(t, x.Values["x"])
					return nil
				}}
				return s.Search(t.Context())
			}
			old, err := search(nil)
			require.NoError(t, err)
			n := runs
			mine := map[string]string{"data": "a", "recipe": "b"}
			again, err := search(mine)
			require.NoError(t, err)
			require.Equal(t, old, again)
			require.Equal(t, n, runs)

			require.NoError(t, os.Remove(file))
			first, err := search(mine)
			require.NoError(t, err)
			n = runs
			again, err = search(map[string]string{"data": "a", "recipe": "b"})
			require.NoError(t, err)
			require.Equal(t, first, again)
			_, err = search(map[string]string{"data": "c", "recipe": "b"})
			var other *OtherInputs
			require.ErrorAs(t, err, &other)
			require.Equal(t, []string{"data"}, other.Names)
			require.Equal(t, file, other.File)
			require.Equal(t, n, runs)
		})
	}
}
