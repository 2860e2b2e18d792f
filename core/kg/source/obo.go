package source

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/islm-dev/islm/sdk"
)

// readOBO reads OBO 1.2 and 1.4 (http://owlcollab.github.io/oboformat/doc/obo-syntax.html).
func readOBO(in *input, s *sink) error {
	o := &obo{in: in, s: s}
	if err := eachLine(in, s, o.line); err != nil {
		return err
	}
	if s.ok() {
		o.end()
	}
	return nil
}

type obo struct {
	in        *input
	s         *sink
	namespace string // of the document

	stanza string // Term, Typedef, Instance; "" in the header
	begun  int    // its line
	part   part
	facts  []sdk.Fact
	bad    bool // it cannot be read
}

func (o *obo) fail(line, column int, format string, args ...any) {
	o.s.problem(o.in.file, line, column, "kg.syntax", "", format, args...)
	o.bad = true
}

func (o *obo) line(number int, raw []byte) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || raw[0] == '!' {
		return
	}
	text := string(raw)
	if text[0] == '[' {
		o.end()
		kind, ok := strings.CutSuffix(strings.TrimSpace(cutComment(text[1:])), "]")
		o.stanza, o.begun, o.part, o.facts, o.bad = kind, number, part{}, nil, false
		if !ok || kind == "" {
			o.fail(number, 1, "a stanza's name is closed by ]")
		}
		return
	}
	tag, value, ok := strings.Cut(text, ":")
	if !ok || tag == "" || strings.ContainsAny(tag, " \t") {
		o.fail(number, 1, "a line is TAG: VALUE")
		return
	}
	value = strings.TrimSpace(value)
	if o.stanza == "" {
		if tag == "default-namespace" {
			o.namespace = unescapeOBO(cutComment(value))
		}
		return
	}
	column := len(tag) + 3
	fact := func(relation, object, literal string) {
		if object == "" && literal == "" {
			o.fail(number, column, "%s has no value", tag)
			return
		}
		o.facts = append(o.facts, sdk.Fact{Relation: relation, Object: object, Literal: literal})
	}
	switch tag {
	case "id":
		if o.part.id != "" {
			o.fail(number, column, "the stanza has a second id")
		}
		if o.part.id = unescapeOBO(cutComment(value)); o.part.id == "" {
			o.fail(number, column, "the id is empty")
		}
	case "name":
		o.part.names = append(o.part.names, name{unescapeOBO(cutComment(value)), 1})
	case "namespace":
		o.part.typ = unescapeOBO(cutComment(value))
	case "synonym", "exact_synonym", "related_synonym", "broad_synonym", "narrow_synonym":
		text, rest, err := quoted(value)
		if err != nil {
			o.fail(number, column, "%v", err)
			return
		}
		scope := strings.ToUpper(strings.TrimSuffix(tag, "_synonym"))
		if tag == "synonym" {
			scope = strings.TrimSuffix(first(rest), "[")
		}
		rank, ok := map[string]byte{"EXACT": 2, "RELATED": 3, "BROAD": 4, "NARROW": 4, "": 3, "[]": 3}[scope]
		if !ok {
			o.fail(number, column, "the scope of a synonym is EXACT, RELATED, BROAD or NARROW, not %q", scope)
			return
		}
		o.part.names = append(o.part.names, name{text, rank})
	case "def", "comment":
		text, key := unescapeOBO(value), "comment"
		if tag == "def" {
			t, _, err := quoted(value)
			if err != nil {
				o.fail(number, column, "%v", err)
				return
			}
			text, key = t, "definition"
		}
		if text != "" {
			o.part.props = append(o.part.props, prop{key, text})
		}
	case "is_obsolete":
		if cutComment(value) == "true" {
			o.part.props = append(o.part.props, prop{"obsolete", "true"})
		}
	case "is_a", "replaced_by", "consider", "instance_of":
		fact(tag, unescapeOBO(cutComment(value)), "")
	case "alt_id", "subset":
		fact(tag, "", unescapeOBO(cutComment(value)))
	case "xref":
		x := cutComment(value)
		if i := strings.Index(x, ` "`); i >= 0 {
			x = x[:i]
		}
		fact(tag, "", unescapeOBO(x))
	case "relationship":
		relation, object, ok := strings.Cut(cutComment(value), " ")
		if object = strings.TrimSpace(object); !ok || object == "" {
			o.fail(number, column, "a relationship is RELATION ID")
			return
		}
		fact(unescapeOBO(relation), unescapeOBO(first(object)), "")
	}
}

// end hands a finished stanza over.
func (o *obo) end() {
	if o.stanza == "" || o.bad {
		return
	}
	if o.part.id == "" {
		o.fail(o.begun, 1, "the stanza has no id")
		return
	}
	if o.part.typ == "" {
		o.part.typ = o.namespace
	}
	if o.part.typ == "" {
		o.part.typ, _, _ = strings.Cut(o.part.id, ":")
	}
	if o.stanza == "Typedef" {
		o.part.typ = "Typedef"
	}
	o.s.part(o.part)
	for _, f := range o.facts {
		f.Subject = o.part.id
		o.s.fact(f)
	}
}

// cutComment takes a final comment (! …) and qualifiers ({…}) off a value.
func cutComment(v string) string {
	for i := 0; i < len(v); i++ {
		switch {
		case v[i] == '\\':
			i++
		case (v[i] == '!' || v[i] == '{') && (i == 0 || v[i-1] == ' ' || v[i-1] == '\t'):
			return strings.TrimSpace(v[:i])
		}
	}
	return strings.TrimSpace(v)
}

func first(s string) string {
	if f := strings.Fields(s); len(f) > 0 {
		return f[0]
	}
	return ""
}

// quoted reads the text between quotes at the beginning of a value.
func quoted(v string) (text, rest string, err error) {
	if !strings.HasPrefix(v, `"`) {
		return "", "", fmt.Errorf("a text in quotes expected")
	}
	for i := 1; i < len(v); i++ {
		switch v[i] {
		case '\\':
			i++
		case '"':
			return unescapeOBO(v[1:i]), v[i+1:], nil
		}
	}
	return "", "", fmt.Errorf("the text has no closing quote")
}

func unescapeOBO(v string) string {
	if !strings.Contains(v, `\`) {
		return v
	}
	var b strings.Builder
	for i := 0; i < len(v); i++ {
		if v[i] != '\\' || i+1 == len(v) {
			b.WriteByte(v[i])
			continue
		}
		i++
		switch v[i] {
		case 'n':
			b.WriteByte('\n')
		case 't':
			b.WriteByte('\t')
		case 'W':
			b.WriteByte(' ')
		default:
			b.WriteByte(v[i])
		}
	}
	return b.String()
}

// frequencies are the weights of HPO's frequency terms: the middle of the share of
// patients that each stands for.
var frequencies = map[string]float64{
	"HP:0040280": 1, "HP:0040281": 0.895, "HP:0040282": 0.545, "HP:0040283": 0.17, "HP:0040284": 0.025, "HP:0040285": 0,
}

// aspects are the relations that the aspect of an annotation stands for.
var aspects = map[string]string{"P": "has_phenotype", "I": "has_inheritance", "C": "has_clinical_course", "M": "has_modifier", "H": "has_past_history"}

// readHPOA reads the annotations of diseases that HPO publishes as phenotype.hpoa
// (https://obophenotype.github.io/human-phenotype-ontology/annotations/phenotype_hpoa/).
func readHPOA(in *input, s *sink) error {
	columns := map[string]int{}
	refused := false
	return eachLine(in, s, func(number int, line []byte) {
		if refused || len(bytes.TrimSpace(line)) == 0 || line[0] == '#' && len(columns) == 0 && !bytes.HasPrefix(line, []byte("#DatabaseID")) && !bytes.HasPrefix(line, []byte("#database_id")) {
			return
		}
		cells := strings.Split(string(line), "\t")
		bad := func(format string, args ...any) { s.problem(in.file, number, 0, "kg.row", "", format, args...) }
		if len(columns) == 0 {
			for i, c := range cells {
				c = strings.ToLower(strings.TrimPrefix(c, "#"))
				columns[map[string]string{"databaseid": "database_id", "diseasename": "disease_name"}[c]] = i
				columns[c] = i
			}
			for _, c := range []string{"database_id", "disease_name", "hpo_id", "aspect"} {
				if _, ok := columns[c]; !ok {
					bad("the header has no column %s", c)
					refused = true
				}
			}
			return
		}
		get := func(c string) string {
			if i, ok := columns[c]; ok && i < len(cells) {
				return strings.TrimSpace(cells[i])
			}
			return ""
		}
		f := sdk.Fact{Subject: get("database_id"), Object: get("hpo_id"), Source: get("reference")}
		relation, ok := aspects[get("aspect")]
		weight, okFrequency := frequency(get("frequency"))
		switch {
		case f.Subject == "" || f.Object == "":
			bad("the annotation has no disease or no term")
			return
		case !ok:
			bad("the aspect is P, I, C, M or H, not %q", get("aspect"))
			return
		case !okFrequency:
			bad("the frequency %q is no term, no share and no percentage", get("frequency"))
			return
		case get("qualifier") != "" && get("qualifier") != "NOT":
			bad("the qualifier is NOT or nothing, not %q", get("qualifier"))
			return
		}
		f.Relation, f.Weight = relation, weight
		if get("qualifier") == "NOT" || get("frequency") != "" && weight == 0 {
			f.Relation, f.Weight = "not_"+relation, 0
		}
		s.part(part{id: f.Subject, typ: "Disease", names: []name{{text: get("disease_name")}}})
		s.fact(f)
	})
}

// frequency gives the share that a frequency stands for: a term of HPO, n/m or n%; 0
// for none.
func frequency(v string) (float64, bool) {
	if v == "" {
		return 0, true
	}
	if w, ok := frequencies[v]; ok {
		return w, true
	}
	if n, ok := strings.CutSuffix(v, "%"); ok {
		w, err := strconv.ParseFloat(strings.TrimSpace(n), 64)
		return w / 100, err == nil && w >= 0 && w <= 100
	}
	n, m, ok := strings.Cut(v, "/")
	a, err1 := strconv.ParseUint(strings.TrimSpace(n), 10, 32)
	b, err2 := strconv.ParseUint(strings.TrimSpace(m), 10, 32)
	if !ok || err1 != nil || err2 != nil || b == 0 || a > b {
		return 0, false
	}
	return float64(a) / float64(b), true
}
