package corpus

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

// row is an example whose labels are not yet sorted to heads.
type row struct {
	sdk.Example
	labels []rawLabel
	// Mentions of a text and what they have to do with each other, until relate
	// makes rows of pairs; relations nil = the file says nothing of them.
	mentions  []sdk.Span
	relations []related
	signature signature // of a pair: types of mentions that are related somewhere
}

// form is how a label was written.
type form int

const (
	formSingle form = iota // one text
	formMulti              // a list of texts
	formNumber
	formTags
	formSpans
	formAnswers  // spans of a passage, and their texts
	formRelation // one text, and spans of two mentions
	formText     // a text to be written, or several that are as good
)

// rawLabel is a label as it was written. An empty head is a bare label.
type rawLabel struct {
	head   string
	form   form
	values []string // single, multi; of a number its text
	number float64
	tags   []string
	spans  []sdk.Span
}

// record is one row of a file with named fields. Values are nil, string, bool,
// json.Number, []any or map[string]any.
type record struct {
	line   int
	names  []string // in the order of the file
	fields map[string]any
}

// completion is the name of the field whose texts shall be written after a prompt.
const completion = "completion"

// ourFields are the names that data.fields can rename besides heads.
func ourFields() []string {
	return []string{"id", "text", "text_b", "label", "labels", "tokens", "tags", "spans", "answers", "entities", "relations"}
}

// columns says which field of a file is which of ours. Empty means none.
type columns struct {
	id, text, textB, label, labels, tokens, tags, spans string
	answers, entities, relations                        string
	heads                                               map[string]string // head -> field
}

// textNames and labelNames are the names that columns have in the data that
// people bring, likeliest first.
func textNames() []string {
	return []string{"text", "prompt", "sentence", "content", "review", "comment", "message", "tweet", "utterance", "question", "query", "headline", "title", "document", "body", "description",
		"sentence1", "text_a", "question1", "premise", "a", "文本", "内容", "句子", "正文", "评论", "标题"}
}

func pairName(text string) string {
	return map[string]string{"sentence1": "sentence2", "text_a": "text_b", "question1": "question2", "premise": "hypothesis", "a": "b"}[text]
}

func labelNames() []string {
	return []string{"label", "class", "category", "sentiment", "target", "topic", "intent", "tag", "polarity", "score", completion, "标签", "类别", "分类", "情感"}
}

// mapColumns finds the columns of a file whose fields have these names. What
// it guesses it says.
func mapColumns(file string, names []string, d *recipe.DataPlan, sample []record, p *problems) columns {
	has := func(name string) bool { return slices.Contains(names, name) }
	missing := func(key, name string) {
		diag := sdk.Diagnostic{Severity: sdk.Error, Code: "data.field", File: file,
			Summary: fmt.Sprintf("there is no column or field %q, which %s names", name, key), Remedy: "there are: " + strings.Join(names, ", ")}
		if near := sdk.Nearest(name, names); near != "" {
			diag.Remedy = fmt.Sprintf("did you mean %q? (%s)", near, diag.Remedy)
		}
		p.add(diag)
	}
	var c columns
	pick := func(field, plan string) string {
		if name, ok := d.Fields[field]; ok {
			if !has(name) {
				missing("data.fields."+field, name)
			}
			return name
		}
		if plan != "" {
			if !has(plan) {
				missing("data."+field, plan)
			}
			return plan
		}
		if has(field) {
			return field
		}
		return ""
	}
	c.id, c.labels = pick("id", ""), pick("labels", "")
	c.tokens, c.tags, c.spans = pick("tokens", ""), pick("tags", ""), pick("spans", "")
	c.text, c.textB, c.label = pick("text", d.Text), pick("text_b", d.TextB), pick("label", d.Label)
	c.answers = pick("answers", "")
	// Entities alone are no labels, and who reads them as spans wants no more.
	if d.Fields["relations"] != "" || has("relations") && d.Fields["spans"] != "entities" {
		c.entities, c.relations = pick("entities", ""), pick("relations", "")
	}
	if c.text == "" && c.textB == "" && has("context") && has("question") { // as in SQuAD
		c.text, c.textB = "context", "question"
	}
	for head, name := range d.Fields {
		if slices.Contains(ourFields(), head) {
			continue
		}
		if !has(name) {
			missing("data.fields."+head, name)
		}
		if c.heads == nil {
			c.heads = map[string]string{}
		}
		c.heads[head] = name
	}
	var guesses []string
	taken := func(name string) bool {
		return slices.Contains([]string{c.id, c.text, c.textB, c.label, c.labels, c.tokens, c.tags, c.spans, c.answers, c.entities, c.relations}, name)
	}
	if c.text == "" && c.tokens == "" {
		c.text = guessName(names, textNames(), taken)
		if c.text == "" {
			c.text = longestColumn(names, sample, taken)
		}
		if c.text != "" {
			guesses = append(guesses, fmt.Sprintf("text from %q", c.text))
			if b := pairName(c.text); c.textB == "" && b != "" && has(b) {
				c.textB = b
				guesses = append(guesses, fmt.Sprintf("text_b from %q", b))
			}
		}
	}
	if c.label == "" && c.labels == "" && c.tags == "" && c.spans == "" && c.answers == "" && c.relations == "" && c.heads == nil {
		if c.label = guessName(names, labelNames(), taken); c.label != "" {
			guesses = append(guesses, fmt.Sprintf("label from %q", c.label))
		}
	}
	if len(guesses) > 0 {
		p.add(sdk.Diagnostic{Severity: sdk.Info, Code: "data.guess", File: file, Summary: "guessed: " + strings.Join(guesses, ", "),
			Remedy: "data.text, data.text_b, data.label and data.fields choose others"})
	}
	return c
}

func guessName(names, known []string, taken func(string) bool) string {
	for _, k := range known {
		for _, n := range names {
			if strings.EqualFold(strings.TrimSpace(n), k) && !taken(n) {
				return n
			}
		}
	}
	return ""
}

// longestColumn is the column with the longest texts on average.
func longestColumn(names []string, sample []record, taken func(string) bool) string {
	best, bestLen := "", 0
	for _, n := range names {
		total := 0
		for _, rec := range sample {
			if s, ok := rec.fields[n].(string); ok {
				total += len(s)
			}
		}
		if total > bestLen && !taken(n) {
			best, bestLen = n, total
		}
	}
	return best
}

// fieldReader turns the records of one file into rows.
type fieldReader struct {
	file  string
	c     columns
	chars bool // spans count characters
	table bool // all values are texts: CSV, TSV
	p     *problems
	lone  bool // tags without tokens were reported
}

func (f *fieldReader) errorf(rec record, code, format string, args ...any) {
	f.p.errorf(code, f.file, rec.line, format, args...)
}

// row reads one record; ok is false when it cannot be used, which is reported.
func (f *fieldReader) row(rec record) (row, bool) {
	r := row{Example: sdk.Example{File: f.file, Line: rec.line}}
	c := f.c
	if c.id != "" {
		r.ID, _ = scalarText(rec.fields[c.id])
	}
	ok := true
	var words []string
	if c.tokens != "" && rec.fields[c.tokens] != nil {
		var good bool
		if words, good = texts(rec.fields[c.tokens], f.table); !good {
			f.errorf(rec, "data.tokens", "%s is not a list of texts", c.tokens)
			return r, false
		}
	}
	switch text := rec.fields[c.text].(type) {
	case string:
		r.Text = text
	case nil:
		if words == nil {
			d := sdk.Diagnostic{Severity: sdk.Error, Code: "data.text", File: f.file, Line: rec.line,
				Summary: "there is no text", Remedy: "each row wants a text; data.text names the column or field, here are: " + strings.Join(rec.names, ", ")}
			if c.text != "" {
				d.Summary = fmt.Sprintf("the field %q is missing", c.text)
			}
			f.p.add(d)
			return r, false
		}
	case json.Number, bool:
		r.Text, _ = scalarText(text)
	default:
		f.errorf(rec, "data.text", "%s is not a text", c.text)
		return r, false
	}
	if c.textB != "" {
		r.TextB, _ = scalarText(rec.fields[c.textB])
	}
	if words != nil {
		if r.Text == "" {
			r.Text, r.Tokens = joinTokens(words)
		} else if r.Tokens, ok = alignTokens(r.Text, words); !ok {
			f.errorf(rec, "data.tokens", "the tokens do not follow one another in the text")
			return r, false
		}
	}
	used := []string{c.id, c.text, c.textB, c.label, c.labels, c.tokens, c.spans, c.answers, c.entities, c.relations}
	for _, name := range c.heads {
		used = append(used, name)
	}
	if c.tags != "" && rec.fields[c.tags] != nil {
		if words != nil {
			used = append(used, c.tags)
			ok = f.label(&r, rec, "", "tags", rec.fields[c.tags], c.tags) && ok
		} else if !f.lone {
			f.lone = true
			f.p.notice("data.tags", f.file, "%q is kept as a plain field: tags want tokens", c.tags)
		}
	}
	if c.spans != "" && rec.fields[c.spans] != nil {
		ok = f.label(&r, rec, "", "spans", rec.fields[c.spans], c.spans) && ok
	}
	if c.answers != "" && rec.fields[c.answers] != nil {
		ok = f.answersOf(&r, rec, rec.fields[c.answers], c.answers) && ok
	}
	if c.entities != "" && rec.fields[c.entities] != nil {
		ok = f.mentionsOf(&r, rec) && ok
	}
	if c.label != "" && rec.fields[c.label] != nil {
		ok = f.label(&r, rec, "", "", rec.fields[c.label], c.label) && ok
	}
	for head, name := range c.heads {
		if rec.fields[name] != nil {
			ok = f.label(&r, rec, head, "", rec.fields[name], name) && ok
		}
	}
	if c.labels != "" && rec.fields[c.labels] != nil {
		switch heads := rec.fields[c.labels].(type) {
		case map[string]any:
			for _, head := range sortedKeys(heads) {
				ok = f.headLabels(&r, rec, head, heads[head], c.labels+"."+head) && ok
			}
		default: // a column of bare labels that is called labels
			ok = f.label(&r, rec, "", "", heads, c.labels) && ok
		}
	}
	slices.SortStableFunc(r.labels, func(a, b rawLabel) int { return strings.Compare(a.head, b.head) })
	for _, name := range rec.names {
		v := rec.fields[name]
		if v == nil || slices.Contains(used, name) {
			continue
		}
		if r.Meta == nil {
			r.Meta = map[string]string{}
		}
		if text, ok := scalarText(v); ok {
			r.Meta[name] = text
		} else if data, err := json.Marshal(v); err == nil {
			r.Meta[name] = string(data)
		}
	}
	return r, ok
}

// headLabels reads what labels say of one head: a label, or an object that holds
// tags or spans.
func (f *fieldReader) headLabels(r *row, rec record, head string, v any, name string) bool {
	object, several := v.(map[string]any)
	if !several {
		return v == nil || f.label(r, rec, head, "", v, name)
	}
	ok := true
	for _, key := range sortedKeys(object) {
		switch {
		case key != "tags" && key != "spans":
			f.errorf(rec, "data.label", "%s has the key %q; an object may hold tags or spans", name, clip(key))
			ok = false
		case object[key] != nil:
			ok = f.label(r, rec, head, key, object[key], name+"."+key) && ok
		}
	}
	return ok
}

// label reads one label value. want is tags or spans where the field says so.
func (f *fieldReader) label(r *row, rec record, head, want string, v any, name string) bool {
	l := rawLabel{head: head}
	switch v := v.(type) {
	case string:
		if f.table && strings.TrimSpace(v) == "" {
			return true // an empty cell: no label
		}
		if want == "tags" && f.table {
			l.form, l.tags = formTags, strings.Fields(v)
			break
		}
		if want != "" {
			f.errorf(rec, "data."+want, "%s is not a list", name)
			return false
		}
		if f.table {
			v = strings.TrimSpace(v)
		}
		l.form, l.values = formSingle, []string{v}
		if name == completion {
			l.form = formText
		}
	case bool:
		l.form, l.values = formSingle, []string{strconv.FormatBool(v)}
	case json.Number:
		n, err := v.Float64()
		if err != nil || math.IsInf(n, 0) || math.IsNaN(n) {
			f.errorf(rec, "data.label", "%s: the number %s is out of range", name, v)
			return false
		}
		l.form, l.number, l.values = formNumber, n, []string{numberText(n)}
	case []any:
		if want == "spans" || len(v) > 0 && isObject(v[0]) {
			spans, ok := f.spans(r, rec, v, name)
			if !ok {
				return false
			}
			l.form, l.spans = formSpans, spans
			break
		}
		list, ok := texts(v, false)
		if !ok {
			f.errorf(rec, "data.label", "%s is not a list of texts", name)
			return false
		}
		if want == "tags" || r.Tokens != nil && head != "" && len(list) == len(r.Tokens) && len(list) > 0 && looksBIO(list) {
			l.form, l.tags = formTags, list
			break
		}
		if list == nil {
			list = []string{}
		}
		l.form, l.values = formMulti, list
		if name == completion {
			l.form = formText
		}
	default:
		f.errorf(rec, "data.label", "%s is neither a text nor a number nor a list", name)
		return false
	}
	if l.form == formTags && len(l.tags) != len(r.Tokens) {
		f.errorf(rec, "data.tags", "%s for %s", plural(len(l.tags), "tag", "tags"), plural(len(r.Tokens), "token", "tokens"))
		return false
	}
	r.labels = append(r.labels, l)
	return true
}

// spans reads [{start, end, label}].
func (f *fieldReader) spans(r *row, rec record, list []any, name string) ([]sdk.Span, bool) {
	spans, ok := []sdk.Span{}, true
	var offsets []int
	if f.chars {
		offsets = runeOffsets(r.Text)
	}
	for i, item := range list {
		object, isMap := item.(map[string]any)
		if !isMap {
			f.errorf(rec, "data.span", "%s[%d] is not {start, end, label}", name, i)
			ok = false
			continue
		}
		start, okStart := wholeNumber(object["start"])
		end, okEnd := wholeNumber(object["end"])
		label, okLabel := scalarText(object["label"])
		if !okLabel {
			label, okLabel = scalarText(object["type"])
		}
		if !okStart || !okEnd || !okLabel || label == "" {
			f.errorf(rec, "data.span", "%s[%d] wants whole numbers start and end and a text label", name, i)
			ok = false
			continue
		}
		unit, length := "bytes", len(r.Text)
		if f.chars {
			unit, length = "characters", len(offsets)-1
		}
		if start < 0 || end > length || start >= end {
			why, remedy := "lies outside the text of", offsetsRemedy(f.chars)
			if start >= end {
				why, remedy = "is empty or runs backwards in the text of", "end is the offset after the last one of the span: start < end"
			}
			f.p.add(sdk.Diagnostic{Severity: sdk.Error, Code: "data.span", File: f.file, Line: rec.line,
				Summary: fmt.Sprintf("span %q [%d, %d) %s %d %s", label, start, end, why, length, unit), Remedy: remedy})
			ok = false
			continue
		}
		if f.chars {
			start, end = offsets[start], offsets[end]
		} else if !boundary(r.Text, start) || !boundary(r.Text, end) {
			f.p.add(sdk.Diagnostic{Severity: sdk.Error, Code: "data.span", File: f.file, Line: rec.line,
				Summary: fmt.Sprintf("span %q [%d, %d) cuts a character", label, start, end),
				Remedy:  offsetsRemedy(f.chars)})
			ok = false
			continue
		}
		if want, has := object["text"].(string); has && want != r.Text[start:end] {
			f.p.add(sdk.Diagnostic{Severity: sdk.Error, Code: "data.span", File: f.file, Line: rec.line,
				Summary: fmt.Sprintf("span %q [%d, %d) is %q in the text, the file says %q", label, start, end, clip(r.Text[start:end]), clip(want)),
				Remedy:  offsetsRemedy(f.chars)})
			ok = false
			continue
		}
		entity, _ := scalarText(object["entity_id"])
		spans = append(spans, sdk.Span{Start: start, End: end, Label: label, EntityID: entity})
	}
	return spans, ok
}

func offsetsRemedy(chars bool) string {
	if chars {
		return "start and end count characters here (data.offsets=chars); leave that away where they count bytes of UTF-8"
	}
	return "start and end count bytes of UTF-8; use --set data.offsets=chars where they count characters"
}

func boundary(s string, i int) bool { return i == len(s) || utf8.RuneStart(s[i]) }

// runeOffsets gives the byte where each character starts, and the length.
func runeOffsets(s string) []int {
	offsets := make([]int, 0, len(s)+1)
	for i := range s {
		offsets = append(offsets, i)
	}
	return append(offsets, len(s))
}

// alignTokens finds the words one after the other in text.
func alignTokens(text string, words []string) ([]sdk.Token, bool) {
	tokens := make([]sdk.Token, len(words))
	at := 0
	for i, w := range words {
		j := strings.Index(text[at:], w)
		if w == "" || j < 0 || strings.TrimSpace(text[at:at+j]) != "" {
			return nil, false
		}
		tokens[i] = sdk.Token{Start: at + j, End: at + j + len(w)}
		at = tokens[i].End
	}
	return tokens, true
}

// scalarText gives a text, number or boolean as text.
func scalarText(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}

// texts gives a list of scalars as texts; in tables a text split at spaces.
func texts(v any, table bool) ([]string, bool) {
	switch v := v.(type) {
	case []any:
		list := make([]string, len(v))
		for i, e := range v {
			var ok bool
			if list[i], ok = scalarText(e); !ok {
				return nil, false
			}
		}
		return list, true
	case string:
		if table {
			return strings.Fields(v), true
		}
	}
	return nil, false
}

func isObject(v any) bool {
	_, ok := v.(map[string]any)
	return ok
}

func wholeNumber(v any) (int, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, false
	}
	f, err := n.Float64()
	if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<40 {
		return 0, false
	}
	return int(f), true
}

// numberText writes a number so that 1 and 1.0 are the same class.
func numberText(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
