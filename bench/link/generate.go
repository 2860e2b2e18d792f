package main

import (
	"math/rand/v2"
	"strings"
	"unicode/utf8"
)

const (
	onsets = "b br c ch cl d dr f fl g gr h j k l m n p pl pr qu r s sh sl st t th tr v w"
	nuclei = "a ai au e ea i ia o oo ou u y"
	codas  = "n r s t l m ck nd st ng x th p"
)

// makeNames gives n different names in small letters, two thirds English-like,
// one third Chinese.
func makeNames(n int) []string {
	rng := rand.New(rand.NewPCG(4, 50_000))
	vocabulary := make([]string, 20_000)
	for i := range vocabulary {
		vocabulary[i] = syllableWord(rng)
	}
	set := map[string]bool{}
	for len(set) < n {
		if len(set)%3 == 2 {
			set[hanzi(rng, 2+rng.IntN(5))] = true
			continue
		}
		words := make([]string, 1+rng.IntN(4))
		for i := range words {
			words[i] = vocabulary[zipf(rng, len(vocabulary))]
		}
		if len(words) == 1 {
			words[0] = syllableWord(rng)
		}
		set[strings.Join(words, " ")] = true
	}
	return sortedKeys(set)
}

// makeText gives lines of prose of both kinds with names in it.
func makeText(names []string, size int) string {
	rng := rand.New(rand.NewPCG(4, 8))
	vocabulary := make([]string, 30_000)
	for i := range vocabulary {
		vocabulary[i] = syllableWord(rng)
	}
	var english, chinese []string
	for _, name := range names {
		if name[0] < utf8.RuneSelf {
			english = append(english, name)
		} else {
			chinese = append(chinese, name)
		}
	}
	var b strings.Builder
	for b.Len() < size {
		if rng.IntN(3) == 0 { // a Chinese line
			for range 6 + rng.IntN(20) {
				if rng.IntN(8) == 0 {
					b.WriteString(chinese[rng.IntN(len(chinese))])
				} else {
					b.WriteString(hanzi(rng, 2+rng.IntN(3)))
				}
				if rng.IntN(6) == 0 {
					b.WriteString("，")
				}
			}
			b.WriteString("。\n")
			continue
		}
		for i := range 8 + rng.IntN(25) {
			word := vocabulary[zipf(rng, len(vocabulary))]
			if rng.IntN(15) == 0 {
				word = english[rng.IntN(len(english))]
			}
			if i == 0 || rng.IntN(12) == 0 {
				word = strings.ToUpper(word[:1]) + word[1:]
			}
			if i > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(word)
			if rng.IntN(11) == 0 {
				b.WriteByte(',')
			}
		}
		b.WriteString(".\n")
	}
	return b.String()
}

func syllableWord(rng *rand.Rand) string {
	var b strings.Builder
	for range 1 + rng.IntN(2) + rng.IntN(3) {
		b.WriteString(pick(rng, onsets))
		b.WriteString(pick(rng, nuclei))
		if rng.IntN(3) == 0 {
			b.WriteString(pick(rng, codas))
		}
	}
	return b.String()
}

func pick(rng *rand.Rand, list string) string {
	fields := strings.Fields(list)
	return fields[rng.IntN(len(fields))]
}

// hanzi gives n of 3,000 common characters, as if by frequency.
func hanzi(rng *rand.Rand, n int) string {
	var b strings.Builder
	for range n {
		b.WriteRune(rune(0x4E00 + zipf(rng, 3000)*7))
	}
	return b.String()
}

// zipf draws from [0, n), small numbers more often.
func zipf(rng *rand.Rand, n int) int {
	x := rng.Float64()
	return int(x * x * float64(n))
}
