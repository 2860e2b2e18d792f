package token

import (
	"fmt"
	"iter"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// regex is a backtracking matcher for the expressions in tokenizer files, which
// use what Go's regexp has not: look-around, possessive and atomic groups, and
// classes over all of Unicode, here with the frozen tables.
type regex struct {
	t     *charTables
	prog  []inst
	slots int
	// first has the ASCII characters that a match can begin with; any other
	// character may begin one if firstWide is set. empty: a match may be empty.
	first     [2]uint64
	firstWide bool
	empty     bool
}

type opcode uint8

const (
	opMatch  opcode = iota
	opSet           // one character of set
	opRun           // x to y characters of set, mode
	opSplit         // x first, then y
	opJump          // to x
	opAssert        // a condition, kind in mode
	opLook          // the sub-program at pc+1 must match, or not (mode); then to x
	opAtomic        // the sub-program at pc+1 matches as a whole; then to x
	opMark          // remember the position in slot x
	opMoved         // fail if the position is that of slot x
)

const (
	greedy uint8 = iota
	lazy
	possessive
)

const (
	lookAhead uint8 = iota
	lookAheadNot
	lookBehind
	lookBehindNot
)

type inst struct {
	op   opcode
	mode uint8
	x, y int // y of opRun: -1 is no limit; y of opLook: characters back
	set  *runeSet
}

// runeSet is a class of characters.
type runeSet struct {
	ascii [2]uint64
	wide  func(r rune) bool
}

func (s *runeSet) has(r rune) bool {
	if r < utf8.RuneSelf {
		return s.ascii[r>>6]&(1<<(uint(r)&63)) != 0
	}
	return s.wide(r)
}

func newSet(has func(rune) bool) *runeSet {
	s := &runeSet{wide: has}
	for r := range rune(utf8.RuneSelf) {
		if has(r) {
			s.ascii[r>>6] |= 1 << (uint(r) & 63)
		}
	}
	return s
}

// Limits that keep a hostile expression from taking all memory or time.
const (
	maxProgram = 20000
	maxRepeat  = 1000
	maxSteps   = 5_000_000
)

// regexError says what in an expression cannot be used.
type regexError struct{ text string }

func (e *regexError) Error() string { return e.text }

// compileRegex reads an expression in the syntax of Oniguruma as far as files use
// it. Back-references, named groups' calls, \X, \K and conditions are errors.
func compileRegex(expr string) (*regex, error) {
	c := &regexCompiler{t: loadTables(), in: []rune(expr)}
	node, err := c.parse()
	if err != nil {
		return nil, fmt.Errorf("regular expression %q: %w", expr, err)
	}
	re := &regex{t: c.t}
	if err := re.emit(node); err != nil {
		return nil, fmt.Errorf("regular expression %q: %w", expr, err)
	}
	re.prog = append(re.prog, inst{op: opMatch})
	set := newSet(func(r rune) bool { return false })
	re.empty = !node.first(set, &re.firstWide)
	re.first = set.ascii
	return re, nil
}

type nodeKind uint8

const (
	nodeEmpty nodeKind = iota
	nodeSet
	nodeConcat
	nodeAlternate
	nodeRepeat
	nodeAssert
	nodeLook
	nodeAtomic
)

type node struct {
	kind     nodeKind
	set      *runeSet
	sub      []*node
	min, max int // max -1: no limit
	mode     uint8
}

// first adds the characters that a match of n can begin with. It reports false if
// n can match without a character.
func (n *node) first(set *runeSet, wide *bool) bool {
	switch n.kind {
	case nodeSet:
		set.ascii[0] |= n.set.ascii[0]
		set.ascii[1] |= n.set.ascii[1]
		*wide = true
		return true
	case nodeConcat:
		for _, s := range n.sub {
			if s.first(set, wide) {
				return true
			}
		}
		return false
	case nodeAlternate:
		all := true
		for _, s := range n.sub {
			all = s.first(set, wide) && all
		}
		return all
	case nodeRepeat:
		return n.sub[0].first(set, wide) && n.min > 0
	case nodeAtomic:
		return n.sub[0].first(set, wide)
	}
	return false
}

// width is the number of characters that n matches if that is fixed.
func (n *node) width() (int, bool) {
	switch n.kind {
	case nodeSet:
		return 1, true
	case nodeConcat:
		sum := 0
		for _, s := range n.sub {
			k, ok := s.width()
			if !ok {
				return 0, false
			}
			sum += k
		}
		return sum, true
	case nodeAlternate:
		k, ok := n.sub[0].width()
		for _, s := range n.sub[1:] {
			if other, good := s.width(); !good || other != k {
				return 0, false
			}
		}
		return k, ok
	case nodeRepeat:
		k, ok := n.sub[0].width()
		return k * n.min, ok && n.min == n.max && n.min <= maxRepeat
	case nodeAtomic:
		return n.sub[0].width()
	}
	return 0, true
}

func (re *regex) emit(n *node) error {
	if len(re.prog) > maxProgram {
		return &regexError{"the expression is too large"}
	}
	switch n.kind {
	case nodeSet:
		re.prog = append(re.prog, inst{op: opSet, set: n.set})
	case nodeConcat:
		for _, s := range n.sub {
			if err := re.emit(s); err != nil {
				return err
			}
		}
	case nodeAlternate:
		var jumps []int
		for i, s := range n.sub {
			split := len(re.prog)
			if i < len(n.sub)-1 {
				re.prog = append(re.prog, inst{op: opSplit, x: split + 1})
			}
			if err := re.emit(s); err != nil {
				return err
			}
			if i < len(n.sub)-1 {
				jumps = append(jumps, len(re.prog))
				re.prog = append(re.prog, inst{op: opJump})
				re.prog[split].y = len(re.prog)
			}
		}
		for _, j := range jumps {
			re.prog[j].x = len(re.prog)
		}
	case nodeRepeat:
		return re.emitRepeat(n)
	case nodeAssert:
		re.prog = append(re.prog, inst{op: opAssert, mode: n.mode})
	case nodeLook:
		if n.mode >= lookBehind && n.sub[0].kind == nodeAlternate {
			return re.emitBehind(n)
		}
		return re.emitLook(n.mode, n.sub[0])
	case nodeAtomic:
		at := len(re.prog)
		re.prog = append(re.prog, inst{op: opAtomic})
		if err := re.emit(n.sub[0]); err != nil {
			return err
		}
		re.prog = append(re.prog, inst{op: opMatch})
		re.prog[at].x = len(re.prog)
	}
	return nil
}

func (re *regex) emitLook(mode uint8, sub *node) error {
	back := 0
	if mode >= lookBehind {
		k, ok := sub.width()
		if !ok {
			return &regexError{"look-behind of variable length is not supported"}
		}
		back = k
	}
	at := len(re.prog)
	re.prog = append(re.prog, inst{op: opLook, mode: mode, y: back})
	if err := re.emit(sub); err != nil {
		return err
	}
	re.prog = append(re.prog, inst{op: opMatch})
	re.prog[at].x = len(re.prog)
	return nil
}

// emitBehind spreads a look-behind over alternatives, each of its own length.
func (re *regex) emitBehind(n *node) error {
	alternatives := make([]*node, len(n.sub[0].sub))
	for i, s := range n.sub[0].sub {
		alternatives[i] = &node{kind: nodeLook, mode: n.mode, sub: []*node{s}}
	}
	kind := nodeAlternate
	if n.mode == lookBehindNot {
		kind = nodeConcat
	}
	return re.emit(&node{kind: kind, sub: alternatives})
}

func (re *regex) emitRepeat(n *node) error {
	sub := n.sub[0]
	if sub.kind == nodeSet {
		re.prog = append(re.prog, inst{op: opRun, mode: n.mode, x: n.min, y: n.max, set: sub.set})
		return nil
	}
	if n.mode == possessive {
		inner := *n
		inner.mode = greedy
		return re.emit(&node{kind: nodeAtomic, sub: []*node{&inner}})
	}
	if n.min > maxRepeat || n.max > maxRepeat {
		return &regexError{"a group is repeated too often"}
	}
	for range n.min {
		if err := re.emit(sub); err != nil {
			return err
		}
	}
	split := func() int {
		re.prog = append(re.prog, inst{op: opSplit})
		return len(re.prog) - 1
	}
	fix := func(at, body, exit int) {
		if n.mode == lazy {
			body, exit = exit, body
		}
		re.prog[at].x, re.prog[at].y = body, exit
	}
	if n.max < 0 {
		slot := re.slots
		re.slots++
		at := split()
		re.prog = append(re.prog, inst{op: opMark, x: slot})
		if err := re.emit(sub); err != nil {
			return err
		}
		re.prog = append(re.prog, inst{op: opMoved, x: slot}, inst{op: opJump, x: at})
		fix(at, at+1, len(re.prog))
		return nil
	}
	var splits []int
	for range n.max - n.min {
		splits = append(splits, split())
		if err := re.emit(sub); err != nil {
			return err
		}
	}
	for _, at := range splits {
		fix(at, at+1, len(re.prog))
	}
	return nil
}

// regexWork is the memory of matching.
type regexWork struct {
	stack []retreat
	slots []int
	steps int
}

// retreat is a point to go back to: resume at pc with pos, or, for a run, give
// up one character as long as pos is above low; slot >= 0 restores a mark.
type retreat struct {
	pc, pos, low int
	slot         int
}

// find gives the matches from left to right.
func (re *regex) find(w *work, s string) iter.Seq2[int, int] {
	return func(yield func(int, int) bool) {
		m := &w.regex
		if len(m.slots) < re.slots {
			m.slots = make([]int, re.slots)
		}
		m.steps = 0
		for at := 0; at <= len(s); {
			if at < len(s) && !re.empty {
				c := s[at]
				if c < utf8.RuneSelf {
					if re.first[c>>6]&(1<<(c&63)) == 0 {
						at++
						continue
					}
				} else if !re.firstWide {
					at++
					continue
				}
			}
			end, ok := re.match(m, s, 0, at)
			if m.steps > maxSteps+len(s)*200 {
				return
			}
			if ok {
				if !yield(at, end) {
					return
				}
				if end > at {
					at = end
					continue
				}
			}
			if at == len(s) {
				return
			}
			_, size := utf8.DecodeRuneInString(s[at:])
			at += size
		}
	}
}

func (re *regex) match(m *regexWork, s string, pc, pos int) (int, bool) {
	bottom := len(m.stack)
	defer func() { m.stack = m.stack[:bottom] }()
	for {
		m.steps++
		ok := true
		in := &re.prog[pc]
		switch in.op {
		case opMatch:
			return pos, true
		case opSet:
			if pos >= len(s) {
				ok = false
				break
			}
			r, size := rune(s[pos]), 1
			if r >= utf8.RuneSelf {
				r, size = utf8.DecodeRuneInString(s[pos:])
			}
			if ok = in.set.has(r); ok {
				pos += size
				pc++
			}
		case opRun:
			low, end, n := pos, pos, 0
			limit := in.y
			if in.mode == lazy {
				limit = in.x
			}
			for (limit < 0 || n < limit) && end < len(s) {
				r, size := rune(s[end]), 1
				if r >= utf8.RuneSelf {
					r, size = utf8.DecodeRuneInString(s[end:])
				}
				if !in.set.has(r) {
					break
				}
				end += size
				if n++; n == in.x {
					low = end
				}
			}
			m.steps += n / 8
			if ok = n >= in.x; !ok {
				break
			}
			switch {
			case in.mode == greedy && end > low:
				m.stack = append(m.stack, retreat{pc, end, low, -1})
			case in.mode == lazy && (in.y < 0 || n < in.y):
				m.stack = append(m.stack, retreat{pc, end, n, -1})
			}
			pos = end
			pc++
		case opSplit:
			m.stack = append(m.stack, retreat{in.y, pos, -1, -1})
			pc = in.x
		case opJump:
			pc = in.x
		case opAssert:
			if ok = re.holds(in.mode, s, pos); ok {
				pc++
			}
		case opLook:
			from := pos
			if in.mode >= lookBehind {
				for k := in.y; k > 0 && from >= 0; k-- {
					if from == 0 {
						from = -1
						break
					}
					_, size := utf8.DecodeLastRuneInString(s[:from])
					from -= size
				}
			}
			found := false
			if from >= 0 {
				_, found = re.match(m, s, pc+1, from)
			}
			if ok = found == (in.mode == lookAhead || in.mode == lookBehind); ok {
				pc = in.x
			}
		case opAtomic:
			var end int
			if end, ok = re.match(m, s, pc+1, pos); ok {
				pos, pc = end, in.x
			}
		case opMark:
			m.stack = append(m.stack, retreat{slot: in.x, pos: m.slots[in.x]})
			m.slots[in.x] = pos
			pc++
		case opMoved:
			if ok = m.slots[in.x] != pos; ok {
				pc++
			}
		}
		if m.steps > maxSteps+len(s)*200 {
			return 0, false
		}
		if !ok {
			if pc, pos, ok = re.back(m, s, bottom); !ok {
				return 0, false
			}
		}
	}
}

// back takes the last point to retreat to.
func (re *regex) back(m *regexWork, s string, bottom int) (pc, pos int, ok bool) {
	for len(m.stack) > bottom {
		top := &m.stack[len(m.stack)-1]
		if top.slot >= 0 {
			m.slots[top.slot] = top.pos
			m.stack = m.stack[:len(m.stack)-1]
			continue
		}
		in := &re.prog[top.pc]
		if in.op != opRun || top.low < 0 {
			pc, pos = top.pc, top.pos
			m.stack = m.stack[:len(m.stack)-1]
			return pc, pos, true
		}
		m.steps++
		if in.mode == greedy {
			_, size := utf8.DecodeLastRuneInString(s[:top.pos])
			top.pos -= size
			pc, pos = top.pc+1, top.pos
			if top.pos <= top.low {
				m.stack = m.stack[:len(m.stack)-1]
			}
			return pc, pos, true
		}
		r, size := utf8.DecodeRuneInString(s[top.pos:])
		if size == 0 || !in.set.has(r) {
			m.stack = m.stack[:len(m.stack)-1]
			continue
		}
		top.pos += size
		top.low++
		pc, pos = top.pc+1, top.pos
		if in.y >= 0 && top.low >= in.y {
			m.stack = m.stack[:len(m.stack)-1]
		}
		return pc, pos, true
	}
	return 0, 0, false
}

// holds tells whether the condition ^ $ A z Z b B is true at pos.
func (re *regex) holds(kind uint8, s string, pos int) bool {
	switch kind {
	case '^':
		return pos == 0 || s[pos-1] == '\n'
	case '$':
		return pos == len(s) || s[pos] == '\n'
	case 'A':
		return pos == 0
	case 'z':
		return pos == len(s)
	case 'Z':
		return pos == len(s) || pos == len(s)-1 && s[pos] == '\n'
	}
	before, _ := utf8.DecodeLastRuneInString(s[:pos])
	after, _ := utf8.DecodeRuneInString(s[pos:])
	edge := (pos > 0 && re.t.is(before, isRegexWord)) != (pos < len(s) && re.t.is(after, isRegexWord))
	return edge == (kind == 'b')
}

// regexCompiler parses an expression.
type regexCompiler struct {
	t      *charTables
	in     []rune
	at     int
	depth  int
	fold   bool
	dotAll bool
	free   bool // white space and comments are skipped
}

func (c *regexCompiler) parse() (*node, error) {
	n, err := c.alternatives()
	if err != nil {
		return nil, err
	}
	if c.at < len(c.in) {
		return nil, &regexError{"unmatched )"}
	}
	return n, nil
}

func (c *regexCompiler) more() bool { return c.at < len(c.in) }

func (c *regexCompiler) accept(s string) bool {
	if strings.HasPrefix(string(c.in[c.at:min(len(c.in), c.at+len(s))]), s) {
		c.at += len([]rune(s))
		return true
	}
	return false
}

func (c *regexCompiler) alternatives() (*node, error) {
	if c.depth++; c.depth > 200 {
		return nil, &regexError{"too deeply nested"}
	}
	defer func() { c.depth-- }()
	n := &node{kind: nodeAlternate}
	for {
		s, err := c.concat()
		if err != nil {
			return nil, err
		}
		n.sub = append(n.sub, s)
		if !c.more() || c.in[c.at] != '|' {
			break
		}
		c.at++
	}
	if len(n.sub) == 1 {
		return n.sub[0], nil
	}
	return n, nil
}

func (c *regexCompiler) concat() (*node, error) {
	n := &node{kind: nodeConcat}
	for c.more() && c.in[c.at] != '|' && c.in[c.at] != ')' {
		if c.free && unicode.IsSpace(c.in[c.at]) {
			c.at++
			continue
		}
		if c.free && c.in[c.at] == '#' {
			for c.more() && c.in[c.at] != '\n' {
				c.at++
			}
			continue
		}
		s, err := c.atom()
		if err != nil {
			return nil, err
		}
		if s == nil {
			continue
		}
		if s, err = c.repeats(s); err != nil {
			return nil, err
		}
		n.sub = append(n.sub, s)
	}
	if len(n.sub) == 1 {
		return n.sub[0], nil
	}
	return n, nil
}

// repeats reads the quantifiers after an atom.
func (c *regexCompiler) repeats(n *node) (*node, error) {
	for count := 0; c.more(); count++ {
		if count > 20 {
			return nil, &regexError{"too many quantifiers"}
		}
		least, most, counted, exact := 0, -1, false, false
		switch c.in[c.at] {
		case '*':
		case '+':
			least = 1
		case '?':
			most = 1
		case '{':
			end := c.at
			for end < len(c.in) && c.in[end] != '}' {
				end++
			}
			if end == len(c.in) {
				return n, nil
			}
			a, b, isExact, ok := repetition(string(c.in[c.at+1 : end]))
			if !ok {
				return n, nil // a literal brace
			}
			if b >= 0 && a > b || a > 100000 || b > 100000 {
				return nil, &regexError{"bad repetition"}
			}
			least, most, counted, exact = a, b, true, isExact
			c.at = end
		default:
			return n, nil
		}
		c.at++
		mode := greedy
		if c.accept("?") {
			if mode = lazy; exact { // x{2}? is (?:x{2})? in Oniguruma
				n = &node{kind: nodeRepeat, sub: []*node{n}, min: least, max: most}
				least, most, mode = 0, 1, greedy
			}
		} else if !counted && c.accept("+") {
			mode = possessive
		}
		if n.kind == nodeAssert || n.kind == nodeLook {
			return nil, &regexError{"nothing to repeat"}
		}
		n = &node{kind: nodeRepeat, sub: []*node{n}, min: least, max: most, mode: mode}
	}
	return n, nil
}

// repetition reads n, n,m, n, or ,m; most is -1 for no limit.
func repetition(text string) (least, most int, exact, ok bool) {
	low, high, comma := strings.Cut(text, ",")
	if low == "" && !comma || low == "" && high == "" {
		return 0, 0, false, false
	}
	var err error
	if low != "" {
		if least, err = strconv.Atoi(low); err != nil || least < 0 {
			return 0, 0, false, false
		}
	}
	if !comma {
		return least, least, true, true
	}
	if high == "" {
		return least, -1, false, true
	}
	if most, err = strconv.Atoi(high); err != nil || most < 0 {
		return 0, 0, false, false
	}
	return least, most, false, true
}

// atom reads one item. nil: it stands for nothing, as (?#...) and {0}-like flags.
func (c *regexCompiler) atom() (*node, error) {
	r := c.in[c.at]
	c.at++
	switch r {
	case '(':
		return c.group()
	case '[':
		set, err := c.class()
		if err != nil {
			return nil, err
		}
		return &node{kind: nodeSet, set: newSet(set)}, nil
	case '.':
		all := c.dotAll
		return &node{kind: nodeSet, set: newSet(func(r rune) bool { return all || r != '\n' })}, nil
	case '^', '$':
		return &node{kind: nodeAssert, mode: uint8(r)}, nil
	case '*', '+', '?':
		return nil, &regexError{"nothing to repeat"}
	case '\\':
		if !c.more() {
			return nil, &regexError{`a \ at the end`}
		}
		switch e := c.in[c.at]; e {
		case 'A', 'z', 'Z', 'b', 'B':
			c.at++
			return &node{kind: nodeAssert, mode: uint8(e)}, nil
		case 'R':
			c.at++
			return c.newline(), nil
		}
		set, one, err := c.escape(false)
		if err != nil {
			return nil, err
		}
		if set != nil {
			return &node{kind: nodeSet, set: newSet(set)}, nil
		}
		return c.literal(one), nil
	}
	return c.literal(r), nil
}

func (c *regexCompiler) newline() *node {
	one := func(r rune) *node { return &node{kind: nodeSet, set: newSet(func(x rune) bool { return x == r })} }
	pair := &node{kind: nodeConcat, sub: []*node{one('\r'), one('\n')}}
	single := &node{kind: nodeSet, set: newSet(func(r rune) bool {
		return r >= '\n' && r <= '\r' || r == 0x85 || r == 0x2028 || r == 0x2029
	})}
	return &node{kind: nodeAtomic, sub: []*node{{kind: nodeAlternate, sub: []*node{pair, single}}}}
}

func (c *regexCompiler) literal(r rune) *node {
	has := func(x rune) bool { return x == r }
	if c.fold {
		has = folded(has)
	}
	return &node{kind: nodeSet, set: newSet(has)}
}

// folded is a set that does not tell upper from lower case.
func folded(has func(rune) bool) func(rune) bool {
	return func(r rune) bool {
		if has(r) {
			return true
		}
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			if has(f) {
				return true
			}
		}
		return false
	}
}

func (c *regexCompiler) group() (*node, error) {
	fold, dotAll, free := c.fold, c.dotAll, c.free
	kind, mode := nodeConcat, uint8(0)
	switch {
	case c.accept("?:"):
	case c.accept("?>"):
		kind = nodeAtomic
	case c.accept("?="):
		kind, mode = nodeLook, lookAhead
	case c.accept("?!"):
		kind, mode = nodeLook, lookAheadNot
	case c.accept("?<="):
		kind, mode = nodeLook, lookBehind
	case c.accept("?<!"):
		kind, mode = nodeLook, lookBehindNot
	case c.accept("?#"):
		for c.more() && c.in[c.at] != ')' {
			c.at++
		}
		if !c.accept(")") {
			return nil, &regexError{"missing )"}
		}
		return nil, nil
	case c.accept("?<"), c.accept("?P<"):
		for c.more() && c.in[c.at] != '>' {
			c.at++
		}
		if !c.accept(">") {
			return nil, &regexError{"missing >"}
		}
	case c.accept("?"):
		on := true
	flags:
		for {
			if !c.more() {
				return nil, &regexError{"missing )"}
			}
			f := c.in[c.at]
			c.at++
			switch f {
			case '-':
				on = false
			case 'i':
				c.fold = on
			case 'm', 's':
				c.dotAll = on
			case 'x':
				c.free = on
			case 'u', 'U', 'a':
			case ':':
				break flags
			case ')':
				// Flags for the rest of the enclosing group.
				rest, err := c.alternatives()
				if err != nil {
					return nil, err
				}
				c.fold, c.dotAll, c.free = fold, dotAll, free
				return &node{kind: nodeConcat, sub: []*node{rest}}, nil
			default:
				return nil, &regexError{fmt.Sprintf("group (?%c is not supported", f)}
			}
		}
	}
	n, err := c.alternatives()
	if err != nil {
		return nil, err
	}
	if !c.accept(")") {
		return nil, &regexError{"missing )"}
	}
	c.fold, c.dotAll, c.free = fold, dotAll, free
	return &node{kind: kind, mode: mode, sub: []*node{n}}, nil
}

// class reads what follows a [ up to its ].
func (c *regexCompiler) class() (func(rune) bool, error) {
	if c.depth++; c.depth > 200 {
		return nil, &regexError{"too deeply nested"}
	}
	defer func() { c.depth-- }()
	not := c.accept("^")
	var parts []func(rune) bool
	var both func(rune) bool // what stands before &&
	type span struct{ low, high rune }
	var spans []span
	union := func() func(rune) bool {
		ps, ss := parts, spans
		return func(r rune) bool {
			for _, s := range ss {
				if s.low <= r && r <= s.high {
					return true
				}
			}
			for _, p := range ps {
				if p(r) {
					return true
				}
			}
			return false
		}
	}
	intersect := func(a, b func(rune) bool) func(rune) bool {
		if a == nil {
			return b
		}
		return func(r rune) bool { return a(r) && b(r) }
	}
	for start := true; ; start = false {
		if !c.more() {
			return nil, &regexError{"missing ]"}
		}
		r := c.in[c.at]
		if r == ']' && !start {
			c.at++
			break
		}
		if c.accept("&&") {
			both = intersect(both, union())
			parts, spans = nil, nil
			continue
		}
		if c.accept("[:") {
			end := c.at
			for end < len(c.in) && c.in[end] != ':' {
				end++
			}
			if end+1 >= len(c.in) || c.in[end+1] != ']' {
				return nil, &regexError{"missing :]"}
			}
			name := string(c.in[c.at:end])
			c.at = end + 2
			set, err := c.posix(name)
			if err != nil {
				return nil, err
			}
			parts = append(parts, set)
			continue
		}
		c.at++
		var set func(rune) bool
		var err error
		switch r {
		case '[':
			set, err = c.class()
		case '\\':
			set, r, err = c.escape(true)
		}
		if err != nil {
			return nil, err
		}
		if set != nil {
			parts = append(parts, set)
			continue
		}
		high := r
		if c.at+1 < len(c.in) && c.in[c.at] == '-' && c.in[c.at+1] != ']' {
			c.at++
			high = c.in[c.at]
			c.at++
			if high == '\\' {
				var other func(rune) bool
				if other, high, err = c.escape(true); err != nil {
					return nil, err
				}
				if other != nil { // a class after the dash: the dash is literal
					parts = append(parts, other)
					spans = append(spans, span{'-', '-'})
					high = r
				}
			}
			if high < r {
				return nil, &regexError{"a range in a class runs backwards"}
			}
		}
		spans = append(spans, span{r, high})
	}
	has := intersect(both, union())
	if c.fold {
		has = folded(has)
	}
	if not {
		inner := has
		has = func(r rune) bool { return !inner(r) }
	}
	return has, nil
}

func (c *regexCompiler) flagSet(flag uint32, not bool) func(rune) bool {
	t := c.t
	return func(r rune) bool { return t.is(r, flag) != not }
}

// escape reads what follows a backslash: a set, or else one character.
func (c *regexCompiler) escape(inClass bool) (func(rune) bool, rune, error) {
	if !c.more() {
		return nil, 0, &regexError{`a \ at the end`}
	}
	r := c.in[c.at]
	c.at++
	switch r {
	case 's':
		return c.flagSet(isRegexSpace, false), 0, nil
	case 'S':
		return c.flagSet(isRegexSpace, true), 0, nil
	case 'w':
		return c.flagSet(isRegexWord, false), 0, nil
	case 'W':
		return c.flagSet(isRegexWord, true), 0, nil
	case 'd', 'D':
		t, bit, not := c.t, c.t.catNames["Nd"], r == 'D'
		return func(r rune) bool { return (t.category(r)&bit != 0) != not }, 0, nil
	case 'h', 'H':
		not := r == 'H'
		return func(r rune) bool {
			hex := r >= '0' && r <= '9' || r >= 'a' && r <= 'f' || r >= 'A' && r <= 'F'
			return hex != not
		}, 0, nil
	case 'p', 'P':
		set, err := c.property(r == 'P')
		return set, 0, err
	case 'n':
		return nil, '\n', nil
	case 't':
		return nil, '\t', nil
	case 'r':
		return nil, '\r', nil
	case 'f':
		return nil, '\f', nil
	case 'v':
		return nil, '\v', nil
	case 'a':
		return nil, 7, nil
	case 'e':
		return nil, 0x1B, nil
	case 'b':
		if inClass {
			return nil, 8, nil
		}
	case 'x', 'u':
		digits := 2
		if r == 'u' {
			digits = 4
		}
		end := c.at + digits
		if r == 'x' && c.accept("{") {
			for end = c.at; end < len(c.in) && c.in[end] != '}'; end++ {
			}
		}
		if end > len(c.in) {
			return nil, 0, &regexError{`bad \` + string(r)}
		}
		n, err := strconv.ParseUint(string(c.in[c.at:end]), 16, 32)
		if err != nil || n > utf8.MaxRune {
			return nil, 0, &regexError{`bad \` + string(r)}
		}
		braces := c.in[c.at-1] == '{'
		c.at = end
		if braces && !c.accept("}") {
			return nil, 0, &regexError{`bad \x{`}
		}
		return nil, rune(n), nil
	case '0':
		return nil, 0, nil
	}
	if r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r)) {
		return nil, 0, &regexError{`\` + string(r) + " is not supported"}
	}
	return nil, r, nil
}

// property reads the name after \p.
func (c *regexCompiler) property(not bool) (func(rune) bool, error) {
	if !c.more() {
		return nil, &regexError{`bad \p`}
	}
	name := string(c.in[c.at])
	c.at++
	if name == "{" {
		start := c.at
		for c.more() && c.in[c.at] != '}' {
			c.at++
		}
		if !c.more() {
			return nil, &regexError{`bad \p`}
		}
		name = string(c.in[start:c.at])
		c.at++
	}
	if rest, ok := strings.CutPrefix(name, "^"); ok {
		name, not = rest, !not
	}
	t := c.t
	plain := strings.NewReplacer("_", "", " ", "", "-", "").Replace(strings.ToLower(name))
	for category, bits := range t.catNames {
		if strings.ToLower(category) == plain {
			return func(r rune) bool { return (t.category(r)&bits != 0) != not }, nil
		}
	}
	if long, ok := longCategories[plain]; ok {
		bits := t.catNames[long]
		return func(r rune) bool { return (t.category(r)&bits != 0) != not }, nil
	}
	for _, tables := range []map[string]*unicode.RangeTable{unicode.Scripts, unicode.Properties} {
		for script, table := range tables {
			if strings.ReplaceAll(strings.ToLower(script), "_", "") == plain {
				return func(r rune) bool { return unicode.Is(table, r) != not }, nil
			}
		}
	}
	set, err := c.posix(plain)
	if err != nil {
		return nil, &regexError{`\p{` + name + "} is not known"}
	}
	return func(r rune) bool { return set(r) != not }, nil
}

var longCategories = map[string]string{
	"letter": "L", "mark": "M", "number": "N", "punctuation": "P", "symbol": "S", "separator": "Z", "other": "C",
	"uppercaseletter": "Lu", "lowercaseletter": "Ll", "titlecaseletter": "Lt", "modifierletter": "Lm", "otherletter": "Lo",
	"nonspacingmark": "Mn", "spacingmark": "Mc", "enclosingmark": "Me", "decimalnumber": "Nd", "letternumber": "Nl",
	"othernumber": "No", "connectorpunctuation": "Pc", "dashpunctuation": "Pd", "openpunctuation": "Ps",
	"closepunctuation": "Pe", "initialpunctuation": "Pi", "finalpunctuation": "Pf", "otherpunctuation": "Po",
	"mathsymbol": "Sm", "currencysymbol": "Sc", "modifiersymbol": "Sk", "othersymbol": "So", "spaceseparator": "Zs",
	"lineseparator": "Zl", "paragraphseparator": "Zp", "control": "Cc", "format": "Cf", "privateuse": "Co", "unassigned": "Cn",
}

// posix is a class such as alpha in [[:alpha:]].
func (c *regexCompiler) posix(name string) (func(rune) bool, error) {
	inner, not := strings.CutPrefix(name, "^")
	t := c.t
	cats := func(names ...string) func(rune) bool {
		var bits uint32
		for _, n := range names {
			bits |= t.catNames[n]
		}
		return func(r rune) bool { return t.category(r)&bits != 0 }
	}
	var has func(rune) bool
	switch inner {
	case "alpha", "alphabetic":
		has = c.flagSet(posixAlpha, false)
	case "digit":
		has = cats("Nd")
	case "alnum":
		digit := cats("Nd")
		has = func(r rune) bool { return digit(r) || t.is(r, posixAlpha) }
	case "upper", "uppercase":
		has = c.flagSet(posixUpper, false)
	case "lower", "lowercase":
		has = c.flagSet(posixLower, false)
	case "space", "whitespace":
		has = c.flagSet(isRegexSpace, false)
	case "word":
		has = c.flagSet(isRegexWord, false)
	case "punct":
		has = c.flagSet(posixPunct, false)
	case "graph":
		has = c.flagSet(posixGraph, false)
	case "print":
		zs := cats("Zs")
		has = func(r rune) bool { return zs(r) || t.is(r, posixGraph) }
	case "ascii":
		has = func(r rune) bool { return r < utf8.RuneSelf }
	case "cntrl":
		has = cats("Cc")
	case "blank":
		zs := cats("Zs")
		has = func(r rune) bool { return r == '\t' || zs(r) }
	case "xdigit":
		has = func(r rune) bool { return r >= '0' && r <= '9' || r >= 'a' && r <= 'f' || r >= 'A' && r <= 'F' }
	case "any":
		has = func(rune) bool { return true }
	default:
		return nil, &regexError{"class " + name + " is not known"}
	}
	if not {
		in := has
		has = func(r rune) bool { return !in(r) }
	}
	return has, nil
}
