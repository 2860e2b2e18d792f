package source

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/islm-dev/islm/sdk"
)

// icdPrefix begins the ids of ICD codes.
const icdPrefix = "ICD10CM:"

var icdWide = regexp.MustCompile(`^(?:[0-9]{5} )?([A-Z][0-9][0-9A-Z]{1,5}) +(?:([01]) )?(.+)$`)

// readICD reads ICD tables: CODE, TITLE and OTHER TITLES, or CODE, is_a, PARENT,
// separated by tabs; or the files that CMS publishes for ICD-10-CM, the list of codes
// (code, spaces, title) and the order file (number, code, whether it can be billed,
// short and long title at fixed columns). In the latter two the longest code before that a
// code begins with is its parent.
func readICD(in *input, s *sink) error {
	var open []string // codes above the last one, by length
	return eachLine(in, s, func(number int, line []byte) {
		if len(bytes.TrimSpace(line)) == 0 || line[0] == '#' {
			return
		}
		text := string(line)
		bad := func(format string, args ...any) {
			s.problem(in.file, number, 0, "kg.row", "CODE, TITLE and further titles separated by |, or CODE, is_a, PARENT, between tabs; or a file of CMS", format, args...)
		}
		if cells := strings.Split(text, "\t"); len(cells) > 1 {
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			switch {
			case cells[0] == "" || cells[1] == "":
				bad("the line is neither a code with its title nor a code with its parent")
			case cells[1] == "is_a" && len(cells) == 3:
				if cells[2] == "" {
					bad("the code has no parent")
					return
				}
				s.fact(sdk.Fact{Subject: icdPrefix + cells[0], Relation: "is_a", Object: icdPrefix + cells[2]})
			default:
				p := part{id: icdPrefix + cells[0], typ: "Diagnosis", names: []name{{title(cells[0], cells[1]), 1}}}
				for _, more := range cells[2:] {
					for _, n := range listNames(more) {
						p.names = append(p.names, name{n.text, 2})
					}
				}
				s.part(p)
			}
			return
		}
		match := icdWide.FindStringSubmatch(strings.TrimRight(text, " "))
		if match == nil {
			bad("the line is neither a code with its title nor a code with its parent")
			return
		}
		code, name1 := match[1], strings.TrimSpace(match[3])
		p := part{typ: "Diagnosis"}
		if match[2] != "" && len(text) > 77 { // order file: the long title begins at column 78
			p.names = append(p.names, name{strings.TrimSpace(text[77:]), 1})
			if short := strings.TrimSpace(text[16:77]); short != strings.TrimSpace(text[77:]) {
				p.names = append(p.names, name{short, 3})
			}
		} else {
			p.names = []name{{name1, 1}}
		}
		p.id = icdPrefix + dotted(code)
		s.part(p)
		for len(open) > 0 && !strings.HasPrefix(code, open[len(open)-1]) {
			open = open[:len(open)-1]
		}
		if len(open) > 0 && open[len(open)-1] != code {
			s.fact(sdk.Fact{Subject: p.id, Relation: "is_a", Object: icdPrefix + dotted(open[len(open)-1])})
		}
		open = append(open, code)
	})
}

// title leaves out the range that titles of blocks repeat: "… (A00-A09)".
func title(code, text string) string {
	return strings.TrimSpace(strings.TrimSuffix(text, "("+code+")"))
}

// dotted writes A001 as A00.1.
func dotted(code string) string {
	if len(code) > 3 {
		return code[:3] + "." + code[3:]
	}
	return code
}

// Relations of WordNet by the symbol of their pointer (wninput(5WN)).
var pointers = map[string]string{
	"!": "antonym", "@": "hypernym", "@i": "instance_hypernym", "~": "hyponym", "~i": "instance_hyponym", "#m": "member_holonym", "#s": "substance_holonym",
	"#p": "part_holonym", "%m": "member_meronym", "%s": "substance_meronym", "%p": "part_meronym", "=": "attribute", "+": "derivation", ";c": "domain_topic",
	"-c": "member_of_topic", ";r": "domain_region", "-r": "member_of_region", ";u": "domain_usage", "-u": "member_of_usage", "*": "entailment", ">": "cause",
	"^": "also_see", "$": "verb_group", "&": "similar_to", "<": "participle", `\`: "pertainym",
}

// inverses are the pointers that WordNet writes at their other end as well: of the two
// the one that leads upward is kept.
var inverses = map[string]bool{"~": true, "~i": true, "%m": true, "%s": true, "%p": true, "-c": true, "-r": true, "-u": true}

var synsetID = regexp.MustCompile(`^[0-9]{8}-[nvasr]$`)

var wordClasses = map[byte]string{'n': "noun", 'v': "verb", 'a': "adjective", 's': "adjective", 'r': "adverb"}

// readWordNet reads the data files of WordNet (wndb(5WN)), or tables of synset, words
// separated by | and gloss, and of synset, relation, synset. A synset's id is its offset
// and its class, as 00001740-n; its type is the class. Relations between words are taken as relations
// of their synsets, and of a relation and its inverse only the one that leads to the more general is kept.
func readWordNet(in *input, s *sink) error {
	return eachLine(in, s, func(number int, line []byte) {
		if len(line) == 0 || bytes.HasPrefix(line, []byte("  ")) || line[0] == '#' { // the licence is indented
			return
		}
		bad := func(format string, args ...any) {
			s.problem(in.file, number, 0, "kg.row", "", format, args...)
		}
		text := string(line)
		if cells := strings.Split(text, "\t"); len(cells) > 1 {
			switch {
			case len(cells) != 3 || !synsetID.MatchString(cells[0]) || cells[1] == "":
				bad("a line is SYNSET, WORDS and GLOSS, or SYNSET, RELATION and SYNSET, between tabs")
			case synsetID.MatchString(cells[2]):
				s.fact(sdk.Fact{Subject: cells[0], Relation: cells[1], Object: cells[2]})
			default:
				p := part{id: cells[0], typ: wordClasses[cells[0][9]], names: listNames(cells[1])}
				if cells[2] != "" {
					p.props = []prop{{"gloss", cells[2]}}
				}
				s.part(p)
			}
			return
		}
		p, facts, err := synset(text)
		if err != nil {
			bad("%v", err)
			return
		}
		s.part(p)
		for _, f := range facts {
			s.fact(f)
		}
	})
}

// synset reads a line of a data file.
func synset(line string) (part, []sdk.Fact, error) {
	data, gloss, _ := strings.Cut(line, " | ")
	fields := strings.Fields(data)
	next := func() string {
		if len(fields) == 0 {
			return ""
		}
		f := fields[0]
		fields = fields[1:]
		return f
	}
	offset := next()
	next() // number of the lexicographer's file
	class := next()
	if len(offset) != 8 || len(class) != 1 || wordClasses[class[0]] == "" {
		return part{}, nil, fmt.Errorf("the line does not begin with offset, file and class of a synset")
	}
	p := part{typ: wordClasses[class[0]]}
	if class == "s" { // pointers name satellites by the class of their file
		class = "a"
	}
	p.id = offset + "-" + class
	words, err := strconv.ParseUint(next(), 16, 16)
	if err != nil || words == 0 || int(words)*2 > len(fields) {
		return part{}, nil, fmt.Errorf("the number of words is wrong")
	}
	for range words {
		word := next()
		next() // its number among words spelled alike
		if i := strings.IndexByte(word, '('); i > 0 && class == "a" {
			word = word[:i] // where an adjective stands: (p), (a), (ip)
		}
		p.names = append(p.names, name{text: strings.ReplaceAll(word, "_", " ")})
	}
	if gloss = strings.TrimSpace(gloss); gloss != "" {
		p.props = []prop{{"gloss", gloss}}
	}
	count, err := strconv.ParseUint(next(), 10, 16)
	if err != nil || int(count)*4 > len(fields) {
		return part{}, nil, fmt.Errorf("the number of pointers is wrong")
	}
	var facts []sdk.Fact
	seen := map[string]bool{}
	for range count {
		symbol, to, class := next(), next(), next()
		next() // which words it joins
		relation, ok := pointers[symbol]
		if !ok || len(to) != 8 || len(class) != 1 {
			return part{}, nil, fmt.Errorf("the pointer %s %s %s is none of WordNet's", symbol, to, class)
		}
		if inverses[symbol] || seen[relation+to+class] {
			continue
		}
		seen[relation+to+class] = true
		facts = append(facts, sdk.Fact{Subject: p.id, Relation: relation, Object: to + "-" + class})
	}
	return p, facts, nil
}
