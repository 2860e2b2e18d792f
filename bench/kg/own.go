package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"time"

	"github.com/islm-dev/islm/core/kg"
	"github.com/islm-dev/islm/core/kg/source"
	"github.com/islm-dev/islm/sdk"
)

// importChild builds a store of files and says how long it took.
func importChild(ctx context.Context, args []string, profile string) error {
	if profile != "" {
		f, err := os.Create(profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	// As the command does.
	debug.SetGCPercent(50)
	start := time.Now()
	items, err := source.Open(ctx, args[1:], source.Options{})
	if err != nil {
		return err
	}
	info, err := kg.Build(ctx, args[0], "", items, kg.BuildOptions{Complete: true})
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"import_s": time.Since(start).Seconds(), "rss_mb": rssMB("VmHWM"), "stored": info.Facts})
}

// lookupChild times lookups.
func lookupChild(store, questions string) (err error) {
	raw, err := os.ReadFile(questions)
	if err != nil {
		return err
	}
	var q Questions
	if err := json.Unmarshal(raw, &q); err != nil {
		return err
	}
	start := time.Now()
	s, err := kg.Open(store)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	var out struct {
		OpenS     float64 `json:"open_s"`
		Found     int     `json:"found"`
		ByName    *Times  `json:"by_name,omitempty"`
		BySubject Times   `json:"by_subject"`
		RSS       float64 `json:"lookup_rss_mb"`
	}
	out.OpenS = time.Since(start).Seconds()
	for _, f := range q.Facts {
		facts, err := s.BySubject(f[0])
		if err != nil {
			return err
		}
		if slices.Contains(facts, sdk.Fact{Subject: f[0], Relation: f[1], Object: f[2]}) {
			out.Found++
		}
	}
	if s.Stats().Names > 0 {
		times, err := timed(q.Names, func(name string) error {
			ids, err := s.ByName(name)
			if err == nil && len(ids) != 1 {
				err = fmt.Errorf("%q has %d entities", name, len(ids))
			}
			return err
		})
		if err != nil {
			return err
		}
		out.ByName = &times
	}
	if out.BySubject, err = timed(q.Subjects, func(id string) error {
		facts, err := s.BySubject(id)
		if err == nil && len(facts) == 0 {
			err = fmt.Errorf("%q has no facts", id)
		}
		return err
	}); err != nil {
		return err
	}
	out.RSS = rssMB("VmRSS")
	return json.NewEncoder(os.Stdout).Encode(out)
}

// timed looks each question up to warm up, then once more by the clock.
func timed(list []string, look func(string) error) (t Times, err error) {
	for _, x := range list {
		if err := look(x); err != nil {
			return t, err
		}
	}
	runtime.GC()
	took := make([]float64, 0, len(list))
	for _, x := range list {
		start := time.Now()
		if err := look(x); err != nil {
			return t, err
		}
		took = append(took, float64(time.Since(start).Nanoseconds())/1e3)
	}
	slices.Sort(took)
	n := len(took)
	return Times{P50: took[n/2], P99: took[n*99/100], Max: took[n-1]}, nil
}
