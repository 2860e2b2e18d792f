package main

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
)

// generator draws facts; the same settings give the same file.
type generator struct{ s Settings }

// A fact packed in 64 bits: 26 of subject, 12 of relation, 26 of object.
func (g generator) draw(rng *rand.Rand) uint64 {
	return uint64(rng.IntN(g.s.Entities))<<38 | uint64(rng.IntN(g.s.Relations))<<26 | uint64(rng.IntN(g.s.Entities))
}

func (g generator) entity(n uint64) string {
	if g.s.Format == "nt" {
		return fmt.Sprintf("http://kg.example/entity/%d", n)
	}
	return fmt.Sprintf("entity %d", n)
}

func (g generator) relation(n uint64) string {
	if g.s.Format == "nt" {
		return fmt.Sprintf("http://kg.example/relation/%d", n)
	}
	return fmt.Sprintf("relation %d", n)
}

func (g generator) words(f uint64) [3]string {
	return [3]string{g.entity(f >> 38), g.relation(f >> 26 & 0xfff), g.entity(f & (1<<26 - 1))}
}

// Questions are what is looked up.
type Questions struct {
	Names    []string    `json:"names"`
	Subjects []string    `json:"subjects"`
	Facts    [][3]string `json:"facts"` // 100 that are there
}

func (g generator) write(file, questions string) (in Input, err error) {
	if g.s.Entities > 1<<26 || g.s.Relations > 1<<12 {
		return in, errors.New("at most 67,108,864 entities and 4,096 relations")
	}
	f, err := os.Create(file)
	if err != nil {
		return in, err
	}
	zip := gzip.NewWriter(f)
	w := bufio.NewWriterSize(zip, 1<<20)
	rng := rand.New(rand.NewPCG(4, 1))
	facts := make([]uint64, g.s.Facts)
	for i := range facts {
		facts[i] = g.draw(rng)
		x := g.words(facts[i])
		if g.s.Format == "nt" {
			fmt.Fprintf(w, "<%s> <%s> <%s> .\n", x[0], x[1], x[2])
		} else {
			fmt.Fprintf(w, "%s\t%s\t%s\n", x[0], x[1], x[2])
		}
	}
	if err := errors.Join(w.Flush(), zip.Close(), f.Close()); err != nil {
		return in, err
	}
	info, err := os.Stat(file)
	if err != nil {
		return in, err
	}
	in.GzipMB = float64(info.Size()) / 1e6
	slices.Sort(facts)
	facts = slices.Compact(facts)
	in.Distinct = len(facts)
	var q Questions
	pick := func() uint64 { return facts[rng.IntN(len(facts))] }
	for range g.s.Lookups {
		q.Subjects = append(q.Subjects, g.entity(pick()>>38))
		q.Names = append(q.Names, g.entity(pick()>>38))
	}
	for range 100 {
		q.Facts = append(q.Facts, g.words(pick()))
	}
	raw, err := json.Marshal(q)
	if err != nil {
		return in, err
	}
	return in, os.WriteFile(questions, raw, 0o644)
}
