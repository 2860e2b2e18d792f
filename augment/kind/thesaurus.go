package kind

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/islm-dev/islm/augment/edit"
)

// wordNet answers from the files of a WordNet, read into memory as they are.
type wordNet struct {
	senses map[string][]sense // lemma with _ for blanks, lower case
	data   [4]string
}

type sense struct {
	pos    uint8
	offset uint32
}

var wordNetFiles = [4]string{"noun", "verb", "adj", "adv"}

// OpenWordNet reads the dict folder of a Princeton WordNet 3.x: index.noun,
// data.noun and so on, as Debian's wordnet-base puts them in /usr/share/wordnet.
// Synonyms come in the order of senses, which WordNet sorts by how often they
// were met in text (Miller 1995, WordNet: A Lexical Database for English).
func OpenWordNet(dir string) (edit.Thesaurus, error) {
	w := &wordNet{senses: map[string][]sense{}}
	for i, name := range wordNetFiles {
		data, err := os.ReadFile(filepath.Join(dir, "data."+name))
		if err != nil {
			return nil, fmt.Errorf("open WordNet: %w", err)
		}
		w.data[i] = string(data)
		index, err := os.ReadFile(filepath.Join(dir, "index."+name))
		if err != nil {
			return nil, fmt.Errorf("open WordNet: %w", err)
		}
		n := 0
		for line := range strings.Lines(string(index)) {
			n++
			if strings.HasPrefix(line, " ") { // the licence
				continue
			}
			if err := w.index(uint8(i), line); err != nil {
				return nil, fmt.Errorf("open WordNet: index.%s:%d: %w", name, n, err)
			}
		}
	}
	return w, nil
}

// index reads lemma, pos, synset_cnt, p_cnt, p_cnt symbols, sense_cnt,
// tagsense_cnt and the offsets, see wndb(5WN).
func (w *wordNet) index(pos uint8, line string) error {
	f := strings.Fields(line)
	if len(f) == 0 {
		return nil
	}
	if len(f) < 6 {
		return fmt.Errorf("%d fields are too few", len(f))
	}
	count, err := strconv.Atoi(f[2])
	if err != nil || count < 1 || len(f) < count {
		return fmt.Errorf("%q is no number of senses", f[2])
	}
	for _, s := range f[len(f)-count:] {
		at, err := strconv.ParseUint(s, 10, 32)
		if err != nil || int(at) >= len(w.data[pos]) {
			return fmt.Errorf("%q is no place in the data", s)
		}
		w.senses[f[0]] = append(w.senses[f[0]], sense{pos, uint32(at)})
	}
	return nil
}

// Synonyms returns the other words of the word's senses.
func (w *wordNet) Synonyms(word, pos string) []string {
	key := strings.ReplaceAll(strings.ToLower(word), " ", "_")
	want := -1
	switch pos {
	case "":
	case "noun", "verb":
		want = slices.Index(wordNetFiles[:], pos)
	case "adjective":
		want = 2
	case "adverb":
		want = 3
	default:
		return nil
	}
	var out []string
	for _, s := range w.senses[key] {
		if want >= 0 && int(s.pos) != want {
			continue
		}
		line, _, _ := strings.Cut(w.data[s.pos][s.offset:], "\n")
		f := strings.Fields(line)
		if len(f) < 4 {
			continue
		}
		n, err := strconv.ParseUint(f[3], 16, 8)
		if err != nil {
			continue
		}
		for i := range int(n) {
			if 4+2*i >= len(f) {
				break
			}
			lemma, _, _ := strings.Cut(f[4+2*i], "(") // (a), (p) and (ip) say where an adjective stands
			if strings.EqualFold(lemma, key) {
				continue
			}
			if lemma = strings.ReplaceAll(lemma, "_", " "); !slices.Contains(out, lemma) {
				out = append(out, lemma)
			}
		}
	}
	return out
}
