package tune

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func asynchronous(t *testing.T, trials, parallel int, file string, run func(ctx context.Context, x *Trial) error) *Study {
	t.Helper()
	return &Study{Space: space(t, "x: {uniform: [0, 1]}"), Method: ASHA, Trials: trials, Parallel: parallel, Budgets: []int{1, 3, 9}, Seed: 4, File: file, Run: run}
}

func scoreX(t *testing.T) func(context.Context, *Trial) error {
	return func(_ context.Context, x *Trial) error {
		x.Score = number(t, x.Values["x"])
		return nil
	}
}

// With one trial at a time the order is that of the paper's algorithm: after each
// three in a rung the best that was not promoted goes up, higher rungs first.
func TestASHAOneAtATime(t *testing.T) {
	type step struct{ rung, of int }
	var order []step
	s := asynchronous(t, 9, 1, "", func(_ context.Context, x *Trial) error {
		// Values 0-8 have the scores 0.0, 0.1, … in their order: later ones are better.
		x.Score = float64(x.ID/3) / 10
		if x.ID == 4*3 {
			x.Error = "no memory" // it never counts
		}
		order = append(order, step{x.Rung, x.ID / 3})
		return nil
	})
	all, err := s.Search(t.Context())
	require.NoError(t, err)
	want := []step{
		{0, 0}, {0, 1}, {0, 2}, // three are done: the best of them, number 2, goes up
		{1, 2}, {0, 3}, // a better one is now the best third of four
		{1, 3}, {0, 4}, {0, 5}, // number 4 failed: there are five, number 5 is the best
		{1, 5}, {2, 5}, // and the best of three in rung 1
		{0, 6}, {1, 6}, {2, 6}, {0, 7}, {1, 7}, {2, 7}, {0, 8}, {1, 8}, {2, 8}, // each is the best so far
	}
	require.Equal(t, want, order)
	require.Equal(t, 9, Ranked(all)[0].Budget)
	for _, x := range all {
		require.Equal(t, s.Space.Random(4, x.ID/3), x.Values, "the number stands for the values")
		require.Equal(t, []int{1, 3, 9}[x.ID%3], x.Budget)
		if x.Rung > 0 {
			require.Equal(t, x.ID-1, x.From)
		}
	}
}

func TestASHAResumes(t *testing.T) {
	whole, err := asynchronous(t, 20, 1, "", scoreX(t)).Search(t.Context())
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "trials.json")
	n := 0
	_, err = asynchronous(t, 20, 1, file, func(ctx context.Context, x *Trial) error {
		if n++; n > 11 {
			return errors.New("killed")
		}
		return scoreX(t)(ctx, x)
	}).Search(t.Context())
	require.ErrorContains(t, err, "killed")
	n = 0
	again, err := asynchronous(t, 20, 1, file, func(ctx context.Context, x *Trial) error { n++; return scoreX(t)(ctx, x) }).Search(t.Context())
	require.NoError(t, err)
	require.Equal(t, whole, again)
	require.Equal(t, len(whole)-11, n)

	more, err := asynchronous(t, 26, 1, file, scoreX(t)).Search(t.Context())
	require.NoError(t, err)
	require.Greater(t, len(more), len(again))
	other := asynchronous(t, 20, 1, file, scoreX(t))
	other.Seed = 5
	_, err = other.Search(t.Context())
	require.ErrorContains(t, err, "another space, method, budgets or seed")
}

// Several at once: none waits for a rung, no trial runs twice, and a canceled search
// ends.
func TestASHASeveralAtOnce(t *testing.T) {
	var mu sync.Mutex
	seen, now, most := map[int]int{}, 0, 0
	four := make(chan struct{}) // closed when four ran at once
	s := asynchronous(t, 27, 4, "", func(ctx context.Context, x *Trial) error {
		mu.Lock()
		seen[x.ID]++
		if now++; now > most {
			if most = now; most == 4 {
				close(four)
			}
		}
		mu.Unlock()
		<-four
		mu.Lock()
		defer mu.Unlock()
		now--
		return scoreX(t)(ctx, x)
	})
	all, err := s.Search(t.Context())
	require.NoError(t, err)
	require.Equal(t, 4, most)
	rungs := map[int]int{}
	for _, x := range all {
		require.Equal(t, 1, seen[x.ID])
		rungs[x.Rung]++
	}
	require.Equal(t, 27, rungs[0])
	require.GreaterOrEqual(t, rungs[1], 9)
	require.GreaterOrEqual(t, rungs[2], 3)

	ctx, cancel := context.WithCancel(t.Context())
	stuck := asynchronous(t, 9, 3, "", func(ctx context.Context, _ *Trial) error {
		cancel()
		<-ctx.Done()
		return ctx.Err()
	})
	_, err = stuck.Search(ctx)
	require.ErrorIs(t, err, context.Canceled)
}
