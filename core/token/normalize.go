package token

import (
	"slices"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// normalizer changes the text of a stretch and keeps the places.
type normalizer interface {
	normalize(w *work, v stretch) stretch
}

type normalizers []normalizer

func (n normalizers) normalize(w *work, v stretch) stretch {
	for _, one := range n {
		v = one.normalize(w, v)
	}
	return v
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// bertNormalizer is the clean-up of the original BERT: control characters, spaces
// around Chinese characters, accents, case.
type bertNormalizer struct {
	t                              *charTables
	clean, chinese, accents, lower bool
}

func (n *bertNormalizer) normalize(w *work, v stretch) stretch {
	if v.al == nil {
		if out, ok := n.ascii(w, v); ok {
			return out
		}
	}
	// One pass is enough where no combining character survives: each starter then
	// keeps its place and their order never changes.
	var drop, watch uint32
	if n.clean {
		drop = isOther
	}
	if n.accents {
		watch = reorders
	}
	startBytes, startPlaces := len(w.bytes), len(w.places)
	for i := 0; i < len(v.s); {
		r, size := rune(v.s[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRuneInString(v.s[i:])
		}
		f := n.t.flags(r)
		p := v.at(i)
		i += size
		if n.clean {
			if r == 0 || r == 0xFFFD {
				continue
			}
			if f&drop != 0 && r != '\t' && r != '\n' && r != '\r' {
				continue
			}
			if f&isSpace != 0 {
				w.put(' ', p)
				continue
			}
		}
		if n.chinese && f&isChinese != 0 {
			w.put(' ', p)
			n.one(w, r, f, p)
			w.put(' ', p)
			continue
		}
		if f&watch != 0 && f&isNonspacing == 0 {
			w.bytes, w.places = w.bytes[:startBytes], w.places[:startPlaces]
			return n.slow(w, v)
		}
		n.one(w, r, f, p)
	}
	v.s, v.al = w.text(startBytes), w.places[startPlaces:]
	return v
}

// one puts what remains of one character after accents and case.
func (n *bertNormalizer) one(w *work, r rune, f uint32, p place) {
	if n.accents {
		if f&isNonspacing != 0 && f&decomposes == 0 {
			return
		}
		if r >= hangulBase && r < hangulEnd {
			s := r - hangulBase
			w.put(jamoL+s/jamoVTCount, p)
			w.put(jamoV+s%jamoVTCount/jamoTCount, p)
			if s%jamoTCount != 0 {
				w.put(jamoT+s%jamoTCount, p)
			}
			return
		}
		if f&decomposes != 0 {
			if d := n.t.decomp[r].canonical; len(d) > 0 {
				for _, c := range d {
					if f := n.t.flags(c); f&isNonspacing == 0 {
						n.cased(w, c, f, p)
					}
				}
				return
			}
		}
	}
	n.cased(w, r, f, p)
}

func (n *bertNormalizer) cased(w *work, r rune, f uint32, p place) {
	if n.lower && f&hasLower != 0 {
		w.put(n.t.toLower(r), p)
		if r == 0x130 {
			w.put(0x307, p)
		}
		return
	}
	w.put(r, p)
}

// ascii handles text of ASCII characters none of which is dropped. ok is false
// for other text.
func (n *bertNormalizer) ascii(w *work, v stretch) (out stretch, ok bool) {
	start := len(w.bytes)
	buf := slices.Grow(w.bytes, len(v.s))
	for i := range len(v.s) {
		c := v.s[i]
		if c >= utf8.RuneSelf {
			return v, false
		}
		if n.clean && (c < ' ' || c == 0x7F) {
			if c < '\t' || c > '\r' || c == '\v' || c == '\f' {
				return v, false
			}
			c = ' '
		} else if n.lower && c-'A' < 26 {
			c += 'a' - 'A'
		}
		buf = append(buf, c)
	}
	w.bytes = buf
	v.s = w.text(start)
	return v, true
}

// slow goes step by step, for text in which marks that are not stripped may
// change their order.
func (n *bertNormalizer) slow(w *work, v stretch) stretch {
	if n.clean || n.chinese {
		step := &bertNormalizer{t: n.t, clean: n.clean, chinese: n.chinese}
		v = step.normalize(w, v)
	}
	v = (&unicodeForm{t: n.t}).normalize(w, v)
	v = filter(w, v, func(r rune) bool { return !n.t.is(r, isNonspacing) })
	if n.lower {
		v = (&lowercase{n.t}).normalize(w, v)
	}
	return v
}

// filter keeps some of the characters, at their places.
func filter(w *work, v stretch, keep func(rune) bool) stretch {
	startBytes, startPlaces := len(w.bytes), len(w.places)
	for i, r := range v.s {
		if keep(r) {
			w.put(r, v.at(i))
		}
	}
	if len(w.bytes)-startBytes == len(v.s) {
		return v
	}
	v.s, v.al = w.text(startBytes), w.places[startPlaces:]
	return v
}

// replaceEach puts another character, or several, for each, at its place.
func replaceEach(w *work, v stretch, to func(r rune, put func(rune))) stretch {
	startBytes, startPlaces := len(w.bytes), len(w.places)
	var p place
	put := func(r rune) { w.put(r, p) }
	for i, r := range v.s {
		p = v.at(i)
		to(r, put)
	}
	v.s, v.al = w.text(startBytes), w.places[startPlaces:]
	return v
}

type lowercase struct{ t *charTables }

func (n *lowercase) normalize(w *work, v stretch) stretch {
	if v.al == nil && isASCII(v.s) {
		start := len(w.bytes)
		for i := range len(v.s) {
			c := v.s[i]
			if c-'A' < 26 {
				c += 'a' - 'A'
			}
			w.bytes = append(w.bytes, c)
		}
		v.s = w.text(start)
		return v
	}
	return replaceEach(w, v, func(r rune, put func(rune)) {
		put(n.t.toLower(r))
		if r == 0x130 {
			put(0x307)
		}
	})
}

type stripAccents struct{ t *charTables }

func (n *stripAccents) normalize(w *work, v stretch) stretch {
	if isASCII(v.s) {
		return v
	}
	return filter(w, v, func(r rune) bool { return !n.t.is(r, isMark) })
}

type nmt struct{ t *charTables }

func (n *nmt) normalize(w *work, v stretch) stretch {
	v = filter(w, v, func(r rune) bool { return !n.t.is(r, nmtRemoved) })
	return replaceEach(w, v, func(r rune, put func(rune)) {
		if n.t.is(r, nmtSpace) {
			r = ' '
		}
		put(r)
	})
}

// strip removes white space from the ends.
type strip struct {
	t           *charTables
	left, right bool
}

func (n *strip) normalize(w *work, v stretch) stretch {
	a, b := 0, len(v.s)
	for n.left && a < b {
		r, size := utf8.DecodeRuneInString(v.s[a:])
		if !n.t.is(r, isSpace) {
			break
		}
		a += size
	}
	for n.right && a < b {
		r, size := utf8.DecodeLastRuneInString(v.s[:b])
		if !n.t.is(r, isSpace) {
			break
		}
		b -= size
	}
	if a == 0 && b == len(v.s) {
		return v
	}
	return w.cut(v, a, b)
}

// cut keeps bytes a to b of the text, but the whole range of the source.
func (w *work) cut(v stretch, a, b int) stretch {
	if v.al == nil {
		start := len(w.places)
		for i := a; i < b; i++ {
			w.places = append(w.places, v.at(i))
		}
		v.al = w.places[start:]
	} else {
		v.al = v.al[a:b:b]
	}
	v.s = v.s[a:b]
	return v
}

// prepend puts a text before a text that is not empty.
type prepend struct{ text string }

func (n *prepend) normalize(w *work, v stretch) stretch { return w.prepend(v, n.text) }

func (w *work) prepend(v stretch, text string) stretch {
	if v.s == "" || text == "" {
		return v
	}
	startBytes, startPlaces := len(w.bytes), len(w.places)
	first := v.at(0)
	w.bytes = append(append(w.bytes, text...), v.s...)
	for range len(text) {
		w.places = append(w.places, first)
	}
	w.appendPlaces(v, 0, len(v.s))
	v.s, v.al = w.text(startBytes), w.places[startPlaces:]
	return v
}

func (w *work) appendPlaces(v stretch, a, b int) {
	if v.al != nil {
		w.places = append(w.places, v.al[a:b]...)
		return
	}
	for i := a; i < b; {
		p := v.at(i)
		w.places = append(w.places, p)
		for i++; i < b && int32(i) < p.end-v.base; i++ {
			w.places = append(w.places, p)
		}
	}
}

// replace puts content for each match of a pattern.
type replace struct {
	pattern pattern
	content string
}

func (n *replace) normalize(w *work, v stretch) stretch {
	var matches [][2]int
	for a, b := range n.pattern.find(w, v.s) {
		matches = append(matches, [2]int{a, b})
	}
	if len(matches) == 0 {
		return v
	}
	startBytes, startPlaces := len(w.bytes), len(w.places)
	last := 0
	for _, m := range matches {
		w.bytes = append(w.bytes, v.s[last:m[0]]...)
		w.appendPlaces(v, last, m[0])
		p := place{v.base, v.base}
		if m[1] > 0 {
			p = v.at(m[1] - 1)
		}
		w.bytes = append(w.bytes, n.content...)
		for range len(n.content) {
			w.places = append(w.places, p)
		}
		last = m[1]
	}
	w.bytes = append(w.bytes, v.s[last:]...)
	w.appendPlaces(v, last, len(v.s))
	v.s, v.al = w.text(startBytes), w.places[startPlaces:]
	return v
}

// byteChars is the normalizer ByteLevel: each byte as a printable character.
type byteChars struct{}

func (byteChars) normalize(w *work, v stretch) stretch {
	startBytes, startPlaces := len(w.bytes), len(w.places)
	for i := range len(v.s) {
		w.put(byteToRune(v.s[i]), v.at(i))
	}
	v.s, v.al = w.text(startBytes), w.places[startPlaces:]
	return v
}

// unicodeForm is NFD, NFC, NFKD or NFKC.
type unicodeForm struct {
	t                   *charTables
	compatible, compose bool
}

type classed struct {
	change
	ccc uint8
}

func (n *unicodeForm) normalize(w *work, v stretch) stretch {
	if isASCII(v.s) || n.form().IsNormalString(v.s) {
		return v
	}
	all := make([]classed, 0, len(v.s))
	ready := 0
	order := func() {
		if len(all)-ready > 1 {
			slices.SortStableFunc(all[ready:], func(a, b classed) int { return int(a.ccc) - int(b.ccc) })
		}
		ready = len(all)
	}
	add := func(r rune, delta int32) {
		ccc := n.t.ccc(r)
		if ccc == 0 {
			order()
		}
		all = append(all, classed{change{r, delta}, ccc})
		if ccc == 0 {
			ready = len(all)
		}
	}
	for _, r := range v.s {
		if r >= hangulBase && r < hangulEnd {
			s := r - hangulBase
			add(jamoL+s/jamoVTCount, 0)
			add(jamoV+s%jamoVTCount/jamoTCount, 1)
			if s%jamoTCount != 0 {
				add(jamoT+s%jamoTCount, 1)
			}
			continue
		}
		var d []rune
		if n.t.is(r, decomposes) {
			if d = n.t.decomp[r].canonical; n.compatible {
				d = n.t.decomp[r].compatible
			}
		}
		if len(d) == 0 {
			add(r, 0)
			continue
		}
		for i, c := range d {
			add(c, int32(min(i, 1)))
		}
	}
	order()
	if n.compose {
		all = n.composeAll(all)
	}
	changes := w.changes[:0]
	for _, c := range all {
		changes = append(changes, c.change)
	}
	w.changes = changes
	return w.transform(v, changes, 0)
}

func (n *unicodeForm) form() norm.Form {
	switch {
	case n.compatible && n.compose:
		return norm.NFKC
	case n.compatible:
		return norm.NFKD
	case n.compose:
		return norm.NFC
	}
	return norm.NFD
}

// composeAll joins starters with the unblocked characters after them. A joined
// character counts for the characters it came from.
func (n *unicodeForm) composeAll(in []classed) []classed {
	out := in[:0]
	starter := -1 // index in out
	var last int  // combining class of the last character after the starter, -1 for none
	for _, c := range in {
		if starter >= 0 && (last < 0 || last < int(c.ccc)) {
			if r, ok := n.t.composed(out[starter].r, c.r); ok {
				out[starter].r = r
				out[starter].delta += c.delta - 1
				continue
			}
		}
		if c.ccc == 0 {
			starter, last = len(out), -1
		} else {
			last = int(c.ccc)
		}
		out = append(out, c)
	}
	return out
}
