package rdf

import "strings"

// parts of an IRI (RFC 3986, section 3); the flags tell an empty part from none.
type iri struct {
	scheme, authority, path, query, fragment string
	hasAuthority, hasQuery, hasFragment      bool
}

func splitIRI(s string) iri {
	var u iri
	if i := strings.IndexByte(s, '#'); i >= 0 {
		u.fragment, u.hasFragment, s = s[i+1:], true, s[:i]
	}
	if i := strings.IndexByte(s, '?'); i >= 0 {
		u.query, u.hasQuery, s = s[i+1:], true, s[:i]
	}
	if i := schemeEnd(s); i > 0 {
		u.scheme, s = s[:i], s[i+1:]
	}
	if rest, ok := strings.CutPrefix(s, "//"); ok {
		u.hasAuthority = true
		if i := strings.IndexByte(rest, '/'); i >= 0 {
			u.authority, s = rest[:i], rest[i:]
		} else {
			u.authority, s = rest, ""
		}
	}
	u.path = s
	return u
}

func (u iri) String() string {
	var b strings.Builder
	if u.scheme != "" {
		b.WriteString(u.scheme + ":")
	}
	if u.hasAuthority {
		b.WriteString("//" + u.authority)
	}
	b.WriteString(u.path)
	if u.hasQuery {
		b.WriteString("?" + u.query)
	}
	if u.hasFragment {
		b.WriteString("#" + u.fragment)
	}
	return b.String()
}

// schemeEnd is the place of the colon behind a scheme, -1 if s has none.
func schemeEnd(s string) int {
	for i, r := range s {
		switch {
		case isAlpha(r):
		case i > 0 && r == ':':
			return i
		case i > 0 && (isDigit(r) || r == '+' || r == '-' || r == '.'):
		default:
			return -1
		}
	}
	return -1
}

func isAbsolute(s string) bool { return schemeEnd(s) > 0 }

// resolve gives the IRI that a reference stands for (RFC 3986, section 5.2, strict; an
// absolute one stays as it is); ok is false if it is relative and there is no base.
func resolve(base, ref string) (string, bool) {
	if isAbsolute(ref) {
		return ref, true
	}
	if base == "" {
		return "", false
	}
	b, r := splitIRI(base), splitIRI(ref)
	u := iri{scheme: b.scheme, fragment: r.fragment, hasFragment: r.hasFragment}
	switch {
	case r.hasAuthority:
		u.authority, u.hasAuthority = r.authority, true
		u.path = removeDots(r.path)
		u.query, u.hasQuery = r.query, r.hasQuery
	case r.path == "":
		u.authority, u.hasAuthority, u.path = b.authority, b.hasAuthority, b.path
		u.query, u.hasQuery = b.query, b.hasQuery
		if r.hasQuery {
			u.query, u.hasQuery = r.query, true
		}
	default:
		u.authority, u.hasAuthority = b.authority, b.hasAuthority
		u.query, u.hasQuery = r.query, r.hasQuery
		switch {
		case strings.HasPrefix(r.path, "/"):
			u.path = removeDots(r.path)
		case b.hasAuthority && b.path == "":
			u.path = removeDots("/" + r.path)
		default:
			u.path = removeDots(b.path[:strings.LastIndexByte(b.path, '/')+1] + r.path)
		}
	}
	return u.String(), true
}

// removeDots takes . and .. out of a path (RFC 3986, section 5.2.4).
func removeDots(path string) string {
	if !strings.Contains(path, ".") {
		return path
	}
	var out []string
	rooted := strings.HasPrefix(path, "/")
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i, s := range segments {
		last := i == len(segments)-1
		switch s {
		case ".":
			if last {
				out = append(out, "")
			}
		case "..":
			if len(out) > 0 {
				out = out[:len(out)-1]
			}
			if last {
				out = append(out, "")
			}
		default:
			out = append(out, s)
		}
	}
	p := strings.Join(out, "/")
	if rooted {
		p = "/" + p
	}
	return p
}
