package corpus

import (
	"fmt"
	"slices"
	"strings"

	"github.com/islm-dev/islm/sdk"
)

// Schemes of tags in files.
const (
	schemeNone  = "none"
	schemeBIO   = "bio"
	schemeIOB1  = "iob1"
	schemeIOBES = "iobes" // also written BIOES or BILOU
)

// splitTag takes a tag apart; ok is false when it is not of the form O, B-TYPE,
// I-TYPE and so on.
func splitTag(tag string) (prefix byte, label string, ok bool) {
	if tag == "O" {
		return 'O', "", true
	}
	if len(tag) < 3 || tag[1] != '-' || !strings.ContainsRune("BIESLUM", rune(tag[0])) {
		return 0, "", false
	}
	return tag[0], tag[2:], true
}

// looksBIO reports whether most different tags have the form of entity tags.
func looksBIO(tags []string) bool {
	seen, good := map[string]bool{}, 0
	for _, t := range tags {
		if seen[t] {
			continue
		}
		seen[t] = true
		if _, _, ok := splitTag(t); ok {
			good++
		}
	}
	return seen["O"] && 2*good > len(seen) || good > 0 && good == len(seen)
}

// tagSequence is the tags of one sentence and its place.
type tagSequence struct {
	file string
	line int
	tags []string
}

// detectScheme finds how the tags of one file mark entities. entities counts
// the tags other than O; loose counts I- tags that begin an entity.
func detectScheme(sequences []tagSequence) (scheme string, loose int) {
	var all []string
	seen := map[string]bool{}
	adjacent, free := 0, 0 // B- tags directly after an entity of their type, other B- tags
	for _, s := range sequences {
		var prefix byte
		var label string
		for _, tag := range s.tags {
			if !seen[tag] {
				seen[tag] = true
				all = append(all, tag)
			}
			p, l, ok := splitTag(tag)
			if !ok {
				prefix, label = 'O', ""
				continue
			}
			inside := prefix != 'O' && prefix != 0 && prefix != 'E' && prefix != 'L' && prefix != 'S' && prefix != 'U' && l == label
			switch {
			case p == 'B' && inside:
				adjacent++
			case p == 'B':
				free++
			case p == 'I' && !inside:
				loose++
			}
			prefix, label = p, l
		}
	}
	if !looksBIO(all) {
		return schemeNone, 0
	}
	if slices.ContainsFunc(all, func(t string) bool {
		p, _, ok := splitTag(t)
		return ok && strings.IndexByte("ESLUM", p) >= 0
	}) {
		return schemeIOBES, loose
	}
	if loose > 0 && free == 0 {
		return schemeIOB1, loose
	}
	return schemeBIO, loose
}

// toBIO rewrites tags of any scheme as BIO. An I- tag that continues nothing
// begins an entity, as conlleval reads it.
func toBIO(tags []string) []string {
	out := make([]string, len(tags))
	open := "" // type of the entity that the token before belongs to and that may go on
	for i, tag := range tags {
		p, label, ok := splitTag(tag)
		switch {
		case !ok || p == 'O':
			out[i], open = tag, ""
			continue
		case p == 'B' || p == 'S' || p == 'U' || open != label:
			out[i] = "B-" + label
		default:
			out[i] = "I-" + label
		}
		open = label
		if strings.IndexByte("ESLU", p) >= 0 {
			open = ""
		}
	}
	return out
}

// toBILOU rewrites BIO as BILOU.
func toBILOU(tags []string) []string {
	out := slices.Clone(tags)
	for i, tag := range tags {
		p, label, ok := splitTag(tag)
		if !ok || p == 'O' {
			continue
		}
		last := i+1 == len(tags) || tags[i+1] != "I-"+label
		switch {
		case p == 'B' && last:
			out[i] = "U-" + label
		case p == 'I' && last:
			out[i] = "L-" + label
		}
	}
	return out
}

// convertTags brings the tags of one head into the scheme wanted, file by
// file, and says what it found. Malformed tags are errors. It returns the
// scheme that the tags now have: the one wanted, or none where the tags are
// not entity tags and nobody declared that they are.
func convertTags(head string, sequences []tagSequence, want string, declared bool, p *problems) string {
	if want == schemeNone {
		return want
	}
	files := map[string][]int{}
	var order []string
	for i, s := range sequences {
		if _, ok := files[s.file]; !ok {
			order = append(order, s.file)
		}
		files[s.file] = append(files[s.file], i)
	}
	if !declared {
		var all []string
		for _, s := range sequences {
			all = append(all, s.tags...)
		}
		if !looksBIO(all) && len(all) > 0 {
			p.add(sdk.Diagnostic{Severity: sdk.Info, Code: "data.scheme", File: order[0], Summary: "the tags do not mark entities (O, B-TYPE, I-TYPE): they are taken as they are",
				Remedy: "--set data.scheme=none says so and ends this notice"})
			return schemeNone
		}
	}
	for _, file := range order {
		var of []tagSequence
		for _, i := range files[file] {
			of = append(of, sequences[i])
		}
		scheme, loose := detectScheme(of)
		switch {
		case scheme == schemeIOB1:
			p.notice("data.scheme", file, "tags are IOB1, converted to BIO")
		case scheme == schemeIOBES:
			p.notice("data.scheme", file, "tags are IOBES, converted to BIO")
		case scheme == schemeBIO && loose > 0:
			p.notice("data.scheme", file, "%s with I- after another type or O: read as B-", plural(loose, "entity begins", "entities begin"))
		}
		for _, i := range files[file] {
			s := sequences[i]
			for k, tag := range s.tags {
				if _, _, ok := splitTag(tag); !ok {
					p.add(sdk.Diagnostic{Severity: sdk.Error, Code: "data.tag", File: file, Line: s.line + k,
						Summary: fmt.Sprintf("%q is not a tag of head %q: O, B-TYPE or I-TYPE is wanted", tag, head),
						Remedy:  "correct it, or use --set data.scheme=none if tags are free"})
				}
			}
			sequences[i].tags = toBIO(s.tags)
			if want == "bilou" {
				sequences[i].tags = toBILOU(sequences[i].tags)
			}
		}
	}
	return want
}

// entityTypes lists the types in entity tags, sorted.
func entityTypes(tags map[string]int) []string {
	var types []string
	for tag := range tags {
		if p, label, ok := splitTag(tag); ok && p != 'O' && !slices.Contains(types, label) {
			types = append(types, label)
		}
	}
	slices.Sort(types)
	return types
}
