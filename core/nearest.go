package core

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/islm-dev/islm/core/corpus"
	"github.com/islm-dev/islm/core/fewshot"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/report"
	"github.com/islm-dev/islm/sdk"
)

// nearTexts are the texts of a corpus that are nearest to those of a task.
type nearTexts struct {
	Stage
	chosen map[int]bool // by number, as corpus.PackRequest.Chosen counts
}

const (
	nearestMost  = 1000 // texts of the task that are compared
	nearestBatch = 1024 // texts of the corpus that are in memory
	nearestFile  = "chosen.json"
)

// nearestTexts picks for each text of pretrain.like its nearest neighbours among
// the texts of files, by the cosine of sentence vectors (Gururangan et al. 2020,
// "Don't Stop Pretraining", section 5.2), or finds what an earlier run picked. The
// corpus is streamed; memory holds the task's vectors and, for each of them, the
// numbers of the best texts so far. Of a larger task the nearestMost texts with the
// lowest hashes are taken.
func nearestTexts(ctx context.Context, req dataRequest, files []string) (*nearTexts, sdk.Diagnostics, error) {
	how := &req.plan.Pretrain
	likeFiles, err := corpus.TextFiles([]string{how.Like})
	if err != nil {
		return nil, nil, err
	}
	ds, err := corpus.Guesses(likeFiles, &req.plan.Data)
	if err != nil {
		return nil, nil, err
	}
	like, err := taskSample(ctx, likeFiles, &req.plan.Data)
	if err != nil {
		return nil, nil, err
	}
	if len(like) == 0 {
		return nil, sdk.Diagnostics{{Severity: sdk.Error, Code: "data.empty", File: how.Like, Path: "pretrain.like", Summary: "there is no text to look for neighbours of", Remedy: "name a task's training file"}}, nil
	}
	m, err := req.store.Get(ctx, how.Embedder)
	if err != nil {
		return nil, nil, err
	}
	weights, _, err := report.DigestTree(os.DirFS(m.Dir), modelFile)
	if err != nil {
		return nil, nil, fmt.Errorf("digest of the embedder: %w", err)
	}
	h := sha256.New()
	fmt.Fprintf(h, "nearest 1\nreader %d\n%s\n%d\n%q %q\n", corpus.TextReader, weights, how.Neighbours, req.plan.Data.Text, req.plan.Data.Encoding)
	for _, list := range [][]string{files, likeFiles} {
		inputs, err := corpus.DigestTexts(list)
		if err != nil {
			return nil, nil, err
		}
		for _, in := range inputs {
			fmt.Fprintf(h, "%s %s\n", filepath.Ext(in.Path), in.SHA256)
		}
		fmt.Fprintln(h)
	}
	n := &nearTexts{Stage: Stage{Kind: "nearest", Digest: "sha256:" + hex.EncodeToString(h.Sum(nil))}}
	dir := filepath.Join(req.home, "stages", "nearest", hex.EncodeToString(h.Sum(nil)))
	var found struct {
		Texts  int   `json:"texts"` // of the corpus
		Chosen []int `json:"chosen"`
	}
	file := filepath.Join(dir, nearestFile)
	if n.Reused = exists(file); n.Reused {
		raw, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(raw, &found)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("read the chosen texts: %w", err)
		}
	} else {
		rows, ok := req.engine.(recipe.RowEmbedder)
		if !ok {
			return nil, sdk.Diagnostics{{Severity: sdk.Error, Code: "pretrain.like", Path: "pretrain.like", Summary: "texts are compared by the tensor engine, which this command does without", Remedy: "start the training itself: islm pretrain"}}, nil
		}
		e, err := NewEmbedder(rows, m.Dir)
		if err != nil {
			return nil, nil, err
		}
		if found.Texts, found.Chosen, err = searchNearest(ctx, e, like, files, &req.plan.Data, how.Neighbours); err != nil {
			return nil, nil, err
		}
		raw, err := json.Marshal(found)
		if err != nil {
			return nil, nil, fmt.Errorf("write the chosen texts: %w", err)
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, nil, fmt.Errorf("write the chosen texts: %w", err)
		}
		if err := writeWhole(file, raw); err != nil {
			return nil, nil, err
		}
	}
	n.Text = fmt.Sprintf("%d of %d texts, the nearest to %d of %s", len(found.Chosen), found.Texts, len(like), how.Like)
	n.chosen = make(map[int]bool, len(found.Chosen))
	for _, i := range found.Chosen {
		n.chosen[i] = true
	}
	ds.Add(sdk.Diagnostic{Severity: sdk.Info, Code: "pretrain.like", Summary: n.Text})
	return n, ds, nil
}

// taskSample reads the texts of a task, each once.
func taskSample(ctx context.Context, files []string, plan *recipe.DataPlan) ([]string, error) {
	seen := map[string]bool{}
	var out []string
	for t, err := range corpus.Texts(ctx, files, plan) {
		if err != nil {
			return nil, err
		}
		if !seen[t.Text] {
			seen[t.Text] = true
			out = append(out, t.Text)
		}
	}
	slices.SortFunc(out, func(a, b string) int {
		return cmp.Or(cmp.Compare(corpus.Key(a), corpus.Key(b)), cmp.Compare(a, b))
	})
	return out[:min(len(out), nearestMost)], nil
}

// neighbour is a text of the corpus and how near it is.
type neighbour struct {
	score float64
	text  int
}

// nearer orders neighbours, the nearest first.
func nearer(a, b neighbour) int {
	return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.text, b.text))
}

// searchNearest streams the corpus past the task's vectors.
func searchNearest(ctx context.Context, e recipe.Embedder, like, files []string, plan *recipe.DataPlan, k int) (texts int, chosen []int, err error) {
	task, err := unit(ctx, e, like)
	if err != nil {
		return 0, nil, err
	}
	best := make([][]neighbour, len(task)) // sorted at most 2k long
	var batch []string
	compare := func() error {
		if len(batch) == 0 {
			return nil
		}
		vectors, err := unit(ctx, e, batch)
		if err != nil {
			return err
		}
		for t, v := range task {
			for i, x := range vectors {
				score := 0.0
				for d := range v {
					score += float64(v[d]) * float64(x[d])
				}
				if n := len(best[t]); n < k || score > best[t][k-1].score {
					best[t] = append(best[t], neighbour{score, texts - len(batch) + i})
				}
			}
			slices.SortFunc(best[t], nearer)
			best[t] = best[t][:min(len(best[t]), k)]
		}
		batch = batch[:0]
		return nil
	}
	for t, err := range corpus.Texts(ctx, files, plan) {
		if err != nil {
			return 0, nil, err
		}
		batch = append(batch, t.Text)
		if texts++; len(batch) == nearestBatch {
			if err := compare(); err != nil {
				return 0, nil, err
			}
		}
	}
	if err := compare(); err != nil {
		return 0, nil, err
	}
	all := map[int]bool{}
	for _, list := range best {
		for _, n := range list {
			if !all[n.text] {
				all[n.text] = true
				chosen = append(chosen, n.text)
			}
		}
	}
	slices.Sort(chosen)
	return texts, chosen, nil
}

// unit embeds texts as vectors of length 1.
func unit(ctx context.Context, e recipe.Embedder, texts []string) ([][]float32, error) {
	vectors, err := e.Embed(ctx, texts)
	if err != nil {
		return nil, fmt.Errorf("embed texts: %w", err)
	}
	fewshot.Unit(vectors)
	return vectors, nil
}
