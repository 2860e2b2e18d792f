package token

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// With many tokens that are found anywhere, the search looks at their first bytes
// before it walks: it finds what a search for each of them does, the leftmost first
// and of these the longest.
func TestManyAddedTokens(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	letters := []rune("公司净利润率棉纱ab é𠀀 ")
	word := func(longest int) string {
		var b strings.Builder
		for range 1 + rng.IntN(longest) {
			b.WriteRune(letters[rng.IntN(len(letters))])
		}
		return b.String()
	}
	for _, many := range []int{3, manyTokens, 400} {
		base := fromSet(t, "bpe_bytes")
		known := map[string]bool{}
		var tokens []AddedToken
		for len(tokens) < many {
			// Few of one character, which would leave nothing to look for.
			if w := word(4); !known[w] && (len([]rune(w)) > 1 || rng.IntN(20) == 0) {
				known[w] = true
				tokens = append(tokens, AddedToken{Content: w})
			}
		}
		_, err := base.AddTokens(tokens...)
		require.NoError(t, err)
		added := base.added.Load()
		require.Equal(t, many >= manyTokens, added.plain.prefixes != nil)
		found := 0
		for range 2000 {
			text := word(30)
			var want []Span
			for at := 0; at < len(text); {
				n := 0
				for w := range known {
					if len(w) > n && strings.HasPrefix(text[at:], w) {
						n = len(w)
					}
				}
				if n > 0 {
					want = append(want, Span{at, at + n})
				}
				at += max(n, 1)
			}
			var got []Span
			for _, part := range added.extract(added.plain, stretch{s: text, end: int32(len(text)), id: -1}, nil) {
				if part.id >= 0 {
					require.Equal(t, part.s, base.Piece(part.id))
					got = append(got, Span{int(part.base), int(part.end)})
				}
			}
			require.Equal(t, want, got, "%q", text)
			found += len(got)
		}
		require.Greater(t, found, 10)
	}
}

// The places of added tokens leave out the white space that belongs to them, also
// where the text's begin was cut off.
func TestAddedTokensAreTrimmed(t *testing.T) {
	tok := fromSet(t, "bpe_bytes")
	_, err := tok.AddTokens(AddedToken{Content: "[A]", LeftStrip: true, RightStrip: true}, AddedToken{Content: "  b "})
	require.NoError(t, err)
	text := "xy  [A]  xy  b xy"
	a, _ := tok.ID("[A]")
	b, _ := tok.ID("  b ")
	whole := tok.Encode(text, Options{Bare: true})
	for max := 1; max <= whole.Len(); max++ {
		e := tok.Encode(text, Options{Bare: true, Max: max, KeepEnd: true})
		require.Equal(t, whole.Offsets[whole.Len()-max:], e.Offsets)
		for i, id := range e.IDs {
			switch id {
			case a:
				require.Equal(t, Span{4, 7}, e.Offsets[i])
			case b:
				require.Equal(t, Span{13, 14}, e.Offsets[i])
			}
		}
	}
}
