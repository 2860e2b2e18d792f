package share

import (
	"fmt"
	"io/fs"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

const (
	maxPath  = 240
	maxDepth = 16
)

// device matches the names that Windows keeps for devices, with any extension.
var device = regexp.MustCompile(`(?i)^(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(\.|$)`)

// badPath says why a path may not be in an artifact, or "". A path that passes
// names one file below its folder on every system: relative, in Unicode's form C,
// without characters that some file system gives a meaning.
func badPath(p string) string {
	switch {
	case p == "":
		return "is empty"
	case len(p) > maxPath:
		return fmt.Sprintf("is longer than %d bytes", maxPath)
	case !utf8.ValidString(p):
		return "is not UTF-8"
	case strings.HasPrefix(p, "/"):
		return "is absolute"
	case !norm.NFC.IsNormalString(p):
		return "is not in Unicode's normal form C"
	}
	for _, r := range p {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || strings.ContainsRune(`\:<>"|?*`, r) || r == unicode.ReplacementChar {
			return fmt.Sprintf("holds the character %q", r)
		}
	}
	elements := strings.Split(p, "/")
	if len(elements) > maxDepth {
		return fmt.Sprintf("is deeper than %d folders", maxDepth)
	}
	for _, e := range elements {
		switch {
		case e == "..":
			return "leads out of its folder"
		case e == "" || e == ".":
			return "is not in its shortest form"
		case strings.HasPrefix(e, "."):
			return "is hidden"
		case strings.HasSuffix(e, ".") || strings.HasSuffix(e, " ") || strings.HasPrefix(e, " "):
			return "has a dot or space at the end of a name"
		case device.MatchString(e):
			return "is the name of a device on Windows"
		}
	}
	if !fs.ValidPath(p) {
		return "is no valid path"
	}
	return ""
}

// tree knows the paths of one artifact and finds those that some file system
// would take for the same.
type tree struct {
	fold  cases.Caser
	files map[string]string // folded path to path as written
	dirs  map[string]string
}

func newTree() *tree {
	return &tree{fold: cases.Fold(), files: map[string]string{}, dirs: map[string]string{}}
}

// add says why a path cannot stand beside those before it, or "".
func (t *tree) add(p string) string {
	key := func(s string) string { return norm.NFKC.String(t.fold.String(norm.NFKC.String(s))) }
	k := key(p)
	if old, ok := t.files[k]; ok {
		if old == p {
			return "is there twice"
		}
		return fmt.Sprintf("differs from %q in case or form only", old)
	}
	if old, ok := t.dirs[k]; ok {
		return fmt.Sprintf("is a file, and %q is a folder", old)
	}
	for i, c := range p {
		if c != '/' {
			continue
		}
		dir := p[:i]
		dk := key(dir)
		if old, ok := t.files[dk]; ok {
			return fmt.Sprintf("lies in %q, which is a file", old)
		}
		if old, ok := t.dirs[dk]; ok && old != dir {
			return fmt.Sprintf("lies in a folder that differs from %q in case or form only", old)
		}
		t.dirs[dk] = dir
	}
	t.files[k] = p
	return ""
}
