package rdf

import (
	"cmp"
	"encoding/xml"
	"io"
	"slices"
	"strconv"
	"strings"
)

// maxEntity bounds what one entity stands for, in bytes.
const maxEntity = 1024

// tokenGuard bounds the bytes of one XML token, so that references to entities cannot
// blow a small document up.
type tokenGuard struct {
	r     io.Reader
	read  int // since the token began
	limit int
	err   error
}

func (g *tokenGuard) Read(b []byte) (int, error) {
	if g.err == nil && g.read > g.limit {
		g.err = &SyntaxError{Line: 1, Column: 1, Problem: "a tag or text is longer than " + strconv.Itoa(g.limit) + " bytes", Fatal: true}
	}
	if g.err != nil {
		return 0, g.err
	}
	n, err := g.r.Read(b)
	g.read += n
	if err != nil && err != io.EOF { //nolint:errorlint // io.Reader returns io.EOF itself
		g.err = err
	}
	return n, err
}

// doctype takes the entities from a document type declaration.
func (p *xmlReader) doctype(s string) {
	if !strings.HasPrefix(s, "DOCTYPE") {
		return
	}
	for {
		i := strings.Index(s, "<!ENTITY")
		if i < 0 {
			return
		}
		s = strings.TrimLeft(s[i+len("<!ENTITY"):], " \t\r\n")
		end := strings.IndexAny(s, " \t\r\n")
		if end < 0 {
			return
		}
		name, rest := s[:end], strings.TrimLeft(s[end:], " \t\r\n")
		if name == "%" || rest == "" || rest[0] != '"' && rest[0] != '\'' {
			s = rest // a parameter entity, or one in a file of its own
			continue
		}
		end = strings.IndexByte(rest[1:], rest[0])
		if end < 0 {
			return
		}
		value := p.expand(rest[1 : 1+end])
		if strings.Contains(value, "<") {
			p.fail("the entity %s holds markup, which is not read", name)
		}
		if len(value) > maxEntity {
			panic(&SyntaxError{Line: p.line, Column: p.column, Problem: "the entity " + name + " stands for more than " + strconv.Itoa(maxEntity) + " bytes", Fatal: true})
		}
		if _, known := p.d.Entity[name]; !known { // the first declaration binds
			p.d.Entity[name] = value
			// "&x;" is the shortest reference.
			p.guard.limit = min(p.guard.limit, (256<<20)/max(len(value), 1)*3)
		}
		s = rest[end+2:]
	}
}

// expand resolves references within an entity's value.
func (p *xmlReader) expand(s string) string {
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '&')
		end := strings.IndexByte(s[max(i, 0):], ';')
		if i < 0 || end < 0 || b.Len() > maxEntity {
			b.WriteString(s)
			return b.String()
		}
		b.WriteString(s[:i])
		ref := s[i+1 : i+end]
		s = s[i+end+1:]
		if number, ok := strings.CutPrefix(ref, "#"); ok {
			base := 10
			if hex, ok := strings.CutPrefix(number, "x"); ok {
				number, base = hex, 16
			}
			if v, err := strconv.ParseUint(number, base, 21); err == nil {
				b.WriteRune(rune(v))
				continue
			}
		}
		standard := map[string]string{"amp": "&", "lt": "<", "gt": ">", "quot": `"`, "apos": "'"}
		if v, ok := standard[ref]; ok {
			b.WriteString(v)
		} else if v, ok := p.d.Entity[ref]; ok {
			b.WriteString(v)
		} else {
			p.fail("the entity &%s; is not declared", ref)
		}
	}
}

// literalXML reads what an element holds, up to its end, as exclusive canonical XML
// (https://www.w3.org/TR/xml-exc-c14n/) without comments.
func (p *xmlReader) literalXML() string {
	var b strings.Builder
	var open []map[string]string // prefixes that the open elements have declared
	var names []string
	for {
		if b.Len() > maxToken {
			p.fail("the XML literal is longer than %d bytes", maxToken)
		}
		switch t := p.token().(type) {
		case nil:
			return b.String()
		case xml.CharData:
			b.WriteString(strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "\r", "&#xD;").Replace(string(t)))
		case xml.StartElement:
			declared := map[string]string{}
			name := p.qualify(t.Name, true, open, declared)
			var attrs []xml.Attr
			for _, a := range t.Attr {
				if a.Name.Space != "xmlns" && (a.Name.Space != "" || a.Name.Local != "xmlns") {
					attrs = append(attrs, a)
				}
			}
			slices.SortFunc(attrs, func(a, b xml.Attr) int {
				return cmp.Or(strings.Compare(a.Name.Space, b.Name.Space), strings.Compare(a.Name.Local, b.Name.Local))
			})
			var tail strings.Builder
			quote := strings.NewReplacer("&", "&amp;", "<", "&lt;", `"`, "&quot;", "\t", "&#x9;", "\n", "&#xA;", "\r", "&#xD;")
			for _, a := range attrs {
				tail.WriteString(" " + p.qualify(a.Name, false, open, declared) + `="` + quote.Replace(a.Value) + `"`)
			}
			b.WriteString("<" + name)
			prefixes := make([]string, 0, len(declared))
			for prefix := range declared {
				prefixes = append(prefixes, prefix)
			}
			slices.Sort(prefixes)
			for _, prefix := range prefixes {
				key := "xmlns:" + prefix
				if prefix == "" {
					key = "xmlns"
				}
				b.WriteString(" " + key + `="` + quote.Replace(declared[prefix]) + `"`)
			}
			b.WriteString(tail.String() + ">")
			open = append(open, declared)
			names = append(names, name)
		case xml.EndElement:
			if len(open) == 0 {
				return b.String()
			}
			b.WriteString("</" + names[len(names)-1] + ">")
			open, names = open[:len(open)-1], names[:len(names)-1]
		}
	}
}

// qualify gives a name with its prefix, which goes to declared unless an open element
// has declared it alike.
func (p *xmlReader) qualify(n xml.Name, element bool, open []map[string]string, declared map[string]string) string {
	if n.Space == xmlNS {
		return "xml:" + n.Local
	}
	prefix := ""
	if n.Space != "" {
		seen := map[string]bool{}
		found := false
		for _, a := range slices.Backward(p.spaces) {
			candidate := a.Name.Local
			if a.Name.Space == "" {
				candidate = ""
			}
			if !seen[candidate] && a.Value == n.Space && (element || candidate != "") {
				prefix, found = candidate, true
				break
			}
			seen[candidate] = true
		}
		if !found {
			p.fail("the prefix %q is not declared", n.Space+":")
		}
	} else if !element {
		return n.Local
	}
	current := ""
	for _, d := range append(slices.Clone(open), declared) {
		if v, ok := d[prefix]; ok {
			current = v
		}
	}
	if current != n.Space {
		declared[prefix] = n.Space
	}
	if prefix == "" {
		return n.Local
	}
	return prefix + ":" + n.Local
}
