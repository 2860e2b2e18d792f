package token

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestTrieFindsLongestKeys(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	want := map[string]int32{}
	var entries []trieEntry
	for i := range 20000 {
		key := make([]byte, 1+rng.IntN(6))
		for k := range key {
			key[k] = byte(rng.IntN(256))
			if i%2 == 0 {
				key[k] = byte(rng.IntN(4)) * 85
			}
		}
		entries = append(entries, trieEntry{string(key), int32(i)})
		want[string(key)] = int32(i)
	}
	trie := newTrie(entries)
	for key, value := range want {
		if v, n := trie.longest(key); n != len(key) || v != value {
			t.Fatalf("longest(%q) = %d, %d", key, v, n)
		}
	}
	for range 20000 {
		text := make([]byte, rng.IntN(12))
		for k := range text {
			text[k] = byte(rng.IntN(4)) * 85
		}
		best := 0
		for n := range text {
			if _, ok := want[string(text[:n+1])]; ok {
				best = n + 1
			}
		}
		if _, n := trie.longest(string(text)); n != best {
			t.Fatalf("longest(%q) has length %d, want %d", text, n, best)
		}
	}
}

func TestEmptyTrie(t *testing.T) {
	if _, n := newTrie([]trieEntry{{"", 3}}).longest("abc"); n != 0 {
		t.Fatalf("length %d", n)
	}
}

func BenchmarkTrieBuild(b *testing.B) {
	var keys []string
	for i := range 30000 {
		keys = append(keys, fmt.Sprintf("%x%s", i*7919, strings.Repeat("二", i%3)), string(rune(0x4e00+i%20000)), string(rune(0x4e00+i%20000))+string(rune(0x4e00+i*7%20000)))
	}
	for b.Loop() {
		entries := make([]trieEntry, len(keys))
		for i, k := range keys {
			entries[i] = trieEntry{k, int32(i)}
		}
		newTrie(entries)
	}
}
