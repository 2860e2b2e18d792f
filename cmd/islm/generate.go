package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

// generateFlags are those of how text is written: keys of the recipe under shorter
// names.
type generateFlags struct {
	tokens, beams, topK                    int
	topP, temperature, repetition, lengths float64
	stop                                   []string
	seed                                   uint64
}

func (g *generateFlags) add(f *pflag.FlagSet) {
	f.IntVar(&g.tokens, "max-new-tokens", 0, "most tokens to write after the text")
	f.IntVar(&g.beams, "beams", 0, "beams of a search for the most probable text")
	f.Float64Var(&g.temperature, "temperature", 0, "draw tokens at this temperature")
	f.IntVar(&g.topK, "top-k", 0, "draw among the most probable tokens, so many (temperature 1 unless given)")
	f.Float64Var(&g.topP, "top-p", 0, "draw among the fewest tokens of this probability together (temperature 1 unless given)")
	f.Float64Var(&g.repetition, "repetition-penalty", 0, "divide the scores of tokens that are there already")
	f.Float64Var(&g.lengths, "length-penalty", 0, "beams: log-probability is divided by length to this power")
	f.StringArrayVar(&g.stop, "stop", nil, `end the text at this one, \n for a line break (repeatable)`)
	f.Uint64Var(&g.seed, "seed", 0, "seed of the draws")
}

// sets are the keys of the flags that were given, as --set takes them.
func (g *generateFlags) sets(f *pflag.FlagSet) (sets []string) {
	set := func(flag, key, value string) {
		if f.Changed(flag) {
			sets = append(sets, key+"="+value)
		}
	}
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	set("max-new-tokens", "generate.max_new_tokens", strconv.Itoa(g.tokens))
	set("beams", "generate.beams", strconv.Itoa(g.beams))
	set("temperature", "generate.temperature", number(g.temperature))
	if (f.Changed("top-k") || f.Changed("top-p")) && !f.Changed("temperature") {
		sets = append(sets, "generate.temperature=1")
	}
	set("top-k", "generate.top_k", strconv.Itoa(g.topK))
	set("top-p", "generate.top_p", number(g.topP))
	set("repetition-penalty", "generate.repetition_penalty", number(g.repetition))
	set("length-penalty", "generate.length_penalty", number(g.lengths))
	set("seed", "seed", strconv.FormatUint(g.seed, 10))
	if len(g.stop) > 0 {
		quoted := make([]string, len(g.stop))
		for i, s := range g.stop {
			quoted[i] = fmt.Sprintf("'%s'", strings.ReplaceAll(s, "'", "''"))
		}
		sets = append(sets, "generate.stop=["+strings.Join(quoted, ", ")+"]")
	}
	return sets
}
