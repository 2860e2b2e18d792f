package gazetteer

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var plural = Options{FoldCase: true, Words: true, Plurals: true}

// number gives names their place in the list as id.
func number(names ...string) iter.Seq2[string, uint32] {
	return func(yield func(string, uint32) bool) {
		for i, name := range names {
			if !yield(name, uint32(i)) {
				return
			}
		}
	}
}

var full = Options{FoldCase: true, FoldWidth: true, Words: true, FoldSpace: true}

func TestMatches(t *testing.T) {
	all := Options{FoldCase: true, FoldWidth: true, Words: true}
	for _, c := range []struct {
		title string
		opt   Options
		names []string
		text  string
		want  []string // texts of the matches
	}{
		{"the longest at the leftmost place", all, []string{"new", "new york", "york times", "new york city"}, "New York Times of new york city", []string{"New York", "new york city"}},
		{"goes back to the last name that ended", all, []string{"new york", "new york city hall"}, "New York City is new york", []string{"New York", "new york"}},
		{"case is as it is without folding", Options{Words: true}, []string{"IT", "us"}, "it IT US us", []string{"IT", "us"}},
		{"words are not cut", all, []string{"art", "12", "mg"}, "heart artful art. B12 12 5mg mg", []string{"art", "12", "mg"}},
		{"anywhere without Words", Options{}, []string{"art"}, "heart artful", []string{"art", "art"}},
		{"signs are boundaries", all, []string{"cancer", "alzheimer", "interest rate"}, "cancer-free, Alzheimer's; interest_rate interest rates", []string{"cancer", "Alzheimer"}},
		{"names with signs", all, []string{"$AAPL", "AAPL", "C++", "(r)-ibuprofen"}, "US$AAPL fell, aapl rose; C++17 (R)-Ibuprofen", []string{"$AAPL", "aapl", "C++", "(R)-Ibuprofen"}},
		{"Han has no boundaries", all, []string{"苹果", "苹果公司", "手机"}, "我用苹果手机,iPhone手机。苹果公司发布", []string{"苹果", "手机", "手机", "苹果公司"}},
		{"Latin beside Han", all, []string{"iphone", "5g"}, "我的iPhone手机有5G网络", []string{"iPhone", "5G"}},
		{"Kana anywhere, Hangul from a word's beginning", all, []string{"トヨタ", "삼성전자", "전자"}, "新トヨタ車 삼성전자는 한국전자", []string{"トヨタ", "삼성전자"}},
		{"width", all, []string{"AAPL 5", "ガス", "ポ", "한"}, "ＡＡＰＬ　５ ｶﾞｽ ﾎﾟ ガス ﾎ", []string{"ＡＡＰＬ　５", "ｶﾞｽ", "ﾎﾟ", "ガス"}},
		{"no end before a voice mark", all, []string{"カ"}, "ガ ｶﾞ カ゛ ｶ", []string{"カ", "ｶ"}},
		{"folded lengths differ", all, []string{"STRAẞE", "ſet", "5 K", "ⱥb"}, "Straße SET 5 \u212a Ⱥb", []string{"Straße", "SET", "5 \u212a", "Ⱥb"}},
		{"not expanded", all, []string{"strasse", "fire", "istanbul"}, "straße ﬁre İstanbul", nil},
		{"Greek sigma", all, []string{"ΣΊΣΥΦΟΣ"}, "Σίσυφος", []string{"Σίσυφος"}},
		{"marks end no word", all, []string{"cafe", "नम"}, "cafe\u0301 cafe नमस्ते", []string{"cafe"}},
		{"outside the basic plane", all, []string{"𐐀𐐁", "𠀀", "😀"}, "𐐨𐐩 𠀀字 😀", []string{"𐐨𐐩", "𠀀", "😀"}},
		{"broken text", all, []string{"ab", "a", "\xff"}, "a\xffb ab\xe4\xb8 \xff", []string{"a", "ab"}},
		{"NUL is a sign", all, []string{"a\x00b", "a"}, "a\x00b a", []string{"a\x00b", "a"}},
		{"space", full, []string{"X-linked", "Alzheimer's disease", "(als)", "type 2 diabetes"}, "x - linked alzheimer 's  \n disease ( ALS ) Type\t2\ndiabetes", []string{"x - linked", "alzheimer 's  \n disease", "( ALS )", "Type\t2\ndiabetes"}},
		{"space within Chinese", full, []string{"中国 石油"}, "中 国石油", []string{"中 国石油"}},
		{"words need the space that they have", full, []string{"type 2", "breast cancer"}, "type2 breastcancer", nil},
		{"a blank line", full, []string{"a b"}, "a\n\nb a\nb", []string{"a\nb"}},
		{"space as it is", all, []string{"a b"}, "a  b a b a\u00a0b", []string{"a b"}},
		{"plurals", plural, []string{"tumor", "virus", "IT", "gas", "breast cancer", "box", "股票", "genes"}, "Tumors, TUMORS tumorss viruses viruss ITs gass gases breast cancers boxes boxs 股票s genes geness tumor's",
			[]string{"Tumors", "TUMORS", "viruses", "gases", "breast cancers", "boxes", "boxs", "股票", "genes", "tumor"}},
		{"a name that is written as a plural comes first", plural, []string{"glass", "glasses", "new york", "new yorks team"}, "glasses new yorks", []string{"glasses", "new yorks"}},
		{"no name", all, nil, "text", nil},
		{"empty and broken names", all, []string{"", "a\xff", "b"}, "a b", []string{"b"}},
	} {
		t.Run(c.title, func(t *testing.T) {
			for _, m := range []*Matcher{Build(number(c.names...), c.opt), reopened(t, Build(number(c.names...), c.opt))} {
				var got []string
				for _, found := range m.Append(nil, c.text) {
					got = append(got, c.text[found.Start:found.End])
					assert.Equal(t, m.Lookup(c.text[found.Start:found.End]), found.IDs)
				}
				assert.Equal(t, c.want, got)
				assert.Equal(t, m.Append(nil, c.text), slices.Collect(m.All(c.text)))
			}
		})
	}
}

func reopened(t testing.TB, m *Matcher) *Matcher {
	b, err := m.AppendBinary(nil)
	require.NoError(t, err)
	again, err := Open(b)
	require.NoError(t, err)
	return again
}

func TestIDs(t *testing.T) {
	names := func(yield func(string, uint32) bool) {
		_ = yield("Mercury", 7) && yield("mercury", 3) && yield("MERCURY", 7) && yield("Hg", 7) && yield("mercury poisoning", 1)
	}
	m := reopened(t, Build(names, full))
	assert.Equal(t, 3, m.Names())
	assert.Equal(t, full, m.Options())
	assert.Equal(t, []uint32{3, 7}, m.Lookup("merCury"))
	assert.Equal(t, []uint32{7}, m.Lookup("HG"))
	assert.Nil(t, m.Lookup("mercur"))
	assert.Nil(t, m.Lookup("mercury p"))
	assert.Nil(t, m.Lookup(""))
	assert.Nil(t, m.Lookup("mercury\xff"))
	assert.Equal(t, []Match{{Start: 0, End: 7, IDs: []uint32{3, 7}}}, m.Append(nil, "mercury"))
	assert.Nil(t, Build(number(), full).Lookup("a"))
}

func TestIteratorStops(t *testing.T) {
	m := Build(number("a"), full)
	n := 0
	for range m.All("a a a") {
		if n++; n == 2 {
			break
		}
	}
	assert.Equal(t, 2, n)
}

// A refused match gives way to a shorter one, or to one that begins later.
func TestAppendIf(t *testing.T) {
	m := Build(number("new york", "new york city", "york", "city hall"), full)
	text := "New York City Hall"
	find := func(refused ...uint32) (found []string) {
		for _, f := range m.AppendIf(nil, text, func(match string, ids []uint32) bool {
			assert.Equal(t, ids, m.Lookup(match))
			return !slices.Contains(refused, ids[0])
		}) {
			found = append(found, text[f.Start:f.End])
		}
		return found
	}
	assert.Equal(t, []string{"New York City"}, find())
	assert.Equal(t, []string{"New York", "City Hall"}, find(1))
	assert.Equal(t, []string{"York", "City Hall"}, find(0, 1))
	assert.Empty(t, find(0, 1, 2, 3))
}

func TestEqual(t *testing.T) {
	m := Build(number(), full)
	assert.True(t, m.Equal("X-Linked", "x - linked"))
	assert.True(t, m.Equal("\xff", "\xff"))
	assert.False(t, m.Equal("\xff", "\xfe"))
	assert.False(t, m.Equal("a", "b"))
}

// The order in which names come leaves no trace.
func TestOrderIsOfNoConsequence(t *testing.T) {
	names := syllables(3000)
	index := map[string]uint32{}
	for i, name := range names {
		index[name] = uint32(i)
	}
	a, err := Build(maps.All(index), full).AppendBinary(nil)
	require.NoError(t, err)
	b, err := Build(number(names...), full).AppendBinary(nil)
	require.NoError(t, err)
	assert.Equal(t, a, b)
}

// syllables gives n different names.
func syllables(n int) []string {
	parts := []string{"ba", "co", "du", "fi", "lor", "men", "ta", "rix", "病", "公司", "股", "é", "Ｘ"}
	names := make([]string, n)
	for i := range names {
		var b strings.Builder
		for k := i + 1; k > 0; k /= len(parts) {
			b.WriteString(parts[k%len(parts)])
			if k%7 == 0 {
				b.WriteByte(' ')
			}
		}
		names[i] = strings.TrimSpace(b.String())
	}
	return names
}

// naive finds matches as the documentation defines them.
func naive(m *Matcher, names []string, text string) []string {
	opt := m.opt
	set := map[string]bool{}
	for _, name := range names {
		if f, ok := m.fold(name); ok && len(f) > 0 {
			set[string(f)] = true
		}
	}
	type place struct {
		at    int
		class class
		bad   bool
	}
	var places []place
	for i, r := range text {
		p := place{at: i, class: m.table.of(r, opt.FoldCase).class}
		if r == utf8.RuneError && !strings.HasPrefix(text[i:], "\uFFFD") {
			p.class, p.bad = sign, true
		}
		places = append(places, p)
	}
	places = append(places, place{at: len(text)})
	var found []string
	for i := 0; i < len(places)-1; i++ {
		before := sign
		if i > 0 {
			before = places[i-1].class
		}
		if opt.Words && !begins(before, places[i].class) || opt.FoldSpace && places[i].class == space {
			continue
		}
		for j := len(places) - 1; j > i; j-- {
			if opt.Words && !ends(places[j-1].class, places[j].class) || opt.FoldSpace && places[j-1].class == space {
				continue
			}
			part := text[places[i].at:places[j].at]
			if slices.ContainsFunc(places[i:j], func(p place) bool { return p.bad }) || opt.FoldSpace && blankLine(part) {
				continue
			}
			f, ok := m.fold(part)
			named := ok && set[string(f)]
			if opt.Plurals && opt.Words && !named {
				for _, suffix := range []string{"s", "es"} {
					base := part[:max(len(part)-len(suffix), 0)]
					// The part of the plural is cut between letters.
					if len(base) >= 3 && strings.EqualFold(part[len(base):], suffix) && !strings.HasSuffix(part, "ſ") {
						f, _ := m.fold(base)
						last := rune(f[len(f)-1]) | 0x20
						hiss := strings.ContainsRune("sxzh", last)
						named = named || 'a' <= last && last <= 'z' && set[string(f)] && (suffix == "s" && last != 's' || suffix == "es" && hiss)
					}
				}
			}
			if named {
				found = append(found, fmt.Sprintf("%d-%d", places[i].at, places[j].at))
				i = j - 1
				break
			}
		}
	}
	return found
}

func blankLine(s string) bool {
	for _, run := range strings.FieldsFunc(s, func(r rune) bool { return !strings.ContainsRune(" \n\t\u00a0\u3000", r) }) {
		if strings.Count(run, "\n") > 1 {
			return true
		}
	}
	return false
}

var letters = []rune("aabAＡbB -$'_1 \n\t\u00a0\u3000中国苹カｶガﾞﾟ゙삼성ßẞſsKİi\u0301ना\u200d😀𐐀𐐨\x00\uFFFD")

func TestEqualsNaiveMatcher(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		piece := rapid.OneOf(rapid.StringOfN(rapid.RuneFrom(letters), 0, 5, -1), rapid.StringOfN(rapid.RuneFrom([]rune("ab ")), 1, 6, -1), rapid.StringMatching("[abs]{2,3}[axhs](s|es|S)?"),
			rapid.SampledFrom([]string{"\xff", "\xe4\xb8"}))
		names := rapid.SliceOfN(piece, 0, 30).Draw(t, "names")
		text := strings.Join(rapid.SliceOfN(rapid.OneOf(piece, rapid.SampledFrom(append([]string{"a"}, names...))), 0, 12).Draw(t, "text"), "")
		opt := Options{FoldCase: rapid.Bool().Draw(t, "case"), FoldWidth: rapid.Bool().Draw(t, "width"),
			Words: rapid.Bool().Draw(t, "words"), FoldSpace: rapid.Bool().Draw(t, "space"), Plurals: rapid.Bool().Draw(t, "plurals")}
		m := Build(number(names...), opt)
		b, err := m.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		if m, err = Open(b); err != nil {
			t.Fatal(err)
		}
		var got []string
		for f := range m.All(text) {
			got = append(got, fmt.Sprintf("%d-%d", f.Start, f.End))
			if want := m.Lookup(text[f.Start:f.End]); !slices.Equal(f.IDs, want) || len(want) == 0 {
				t.Fatalf("%q at %d has ids %v, Lookup %v", text[f.Start:f.End], f.Start, f.IDs, want)
			}
		}
		if want := naive(m, names, text); !slices.Equal(got, want) {
			t.Fatalf("names %q, text %q, %+v: %v, want %v", names, text, opt, got, want)
		}
		for i, name := range names {
			if f, ok := m.fold(name); ok && len(f) > 0 && !slices.Contains(m.Lookup(name), uint32(i)) {
				t.Fatalf("name %q is not found", name)
			}
		}
	})
}

func TestManyNames(t *testing.T) {
	names := syllables(20_000)
	m := reopened(t, Build(number(names...), full))
	for i, name := range names {
		if !slices.Contains(m.Lookup(name), uint32(i)) {
			t.Fatalf("%q is lost", name)
		}
	}
}

func TestManyGoroutines(t *testing.T) {
	names := syllables(2000)
	m := Build(number(names...), full)
	text := strings.Join(names, ", ")
	want := m.Append(nil, text)
	require.NotEmpty(t, want)
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			assert.Equal(t, want, m.Append(nil, text))
			assert.Equal(t, want, slices.Collect(m.All(text)))
		})
	}
	group.Wait()
}

func TestAppendDoesNotAllocate(t *testing.T) {
	names := syllables(2000)
	m := Build(number(names...), full)
	text := strings.Join(names[:200], " ")
	buf := m.Append(nil, text)
	assert.Zero(t, testing.AllocsPerRun(10, func() { buf = m.Append(buf[:0], text) }))
}
