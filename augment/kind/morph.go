package kind

import "strings"

// form is an inflected form of an English word.
type form uint8

const (
	base form = iota
	plural
	third // sells
	past
	participle
	gerund
	comparative
	superlative
)

// analysis is one reading of an English word.
type analysis struct {
	lemma string
	pos   string // noun, verb, adjective or "" for a word as it is
	form  form
}

// morphology knows the irregular words of English.
type morphology struct {
	verbs map[string]int // any form -> row of irregularVerbs
	nouns map[string]int
	withE map[string]bool
}

func newMorphology() *morphology {
	m := &morphology{verbs: map[string]int{}, nouns: map[string]int{}, withE: map[string]bool{}}
	for v := range strings.FieldsSeq(verbsWithE) {
		m.withE[v] = true
	}
	for i, v := range irregularVerbs {
		for _, f := range v {
			if _, ok := m.verbs[f]; !ok {
				m.verbs[f] = i
			}
		}
	}
	for i, n := range irregularNouns {
		for _, f := range n {
			m.nouns[f] = i
		}
	}
	return m
}

// analyses appends the readings of a lower-case word, the likeliest lemma of each
// form first: whether a lemma exists is for the caller to know.
func (m *morphology) analyses(dst []analysis, w string) []analysis {
	dst = append(dst, analysis{w, "", base})
	if i, ok := m.verbs[w]; ok {
		v := irregularVerbs[i]
		if v[1] == w && v[0] != w {
			dst = append(dst, analysis{v[0], "verb", past})
		}
		if v[2] == w && v[1] != w && v[0] != w {
			dst = append(dst, analysis{v[0], "verb", participle})
		}
	}
	if i, ok := m.nouns[w]; ok && irregularNouns[i][1] == w {
		dst = append(dst, analysis{irregularNouns[i][0], "noun", plural})
	}
	n := len(w)
	switch {
	case strings.HasSuffix(w, "ies") && n > 4:
		dst = append(dst, analysis{w[:n-3] + "y", "noun", plural}, analysis{w[:n-3] + "y", "verb", third})
	case strings.HasSuffix(w, "es") && n > 3:
		if hisses(w[:n-2]) || w[n-3] == 'o' {
			dst = append(dst, analysis{w[:n-2], "noun", plural}, analysis{w[:n-2], "verb", third})
		}
		dst = append(dst, analysis{w[:n-1], "noun", plural}, analysis{w[:n-1], "verb", third})
	case strings.HasSuffix(w, "s") && !strings.HasSuffix(w, "ss") && !strings.HasSuffix(w, "us") && !strings.HasSuffix(w, "is") && n > 3:
		dst = append(dst, analysis{w[:n-1], "noun", plural}, analysis{w[:n-1], "verb", third})
	case strings.HasSuffix(w, "ied") && n > 4:
		dst = append(dst, analysis{w[:n-3] + "y", "verb", past})
	case strings.HasSuffix(w, "ed") && n > 4:
		dst = stems(dst, w[:n-2], "verb", past)
	case strings.HasSuffix(w, "ing") && n > 5:
		dst = stems(dst, w[:n-3], "verb", gerund)
	case strings.HasSuffix(w, "ier") && n > 4:
		dst = append(dst, analysis{w[:n-3] + "y", "adjective", comparative})
	case strings.HasSuffix(w, "iest") && n > 5:
		dst = append(dst, analysis{w[:n-4] + "y", "adjective", superlative})
	case strings.HasSuffix(w, "er") && n > 4:
		dst = stems(dst, w[:n-2], "adjective", comparative)
	case strings.HasSuffix(w, "est") && n > 5:
		dst = stems(dst, w[:n-3], "adjective", superlative)
	}
	return dst
}

// stems appends what may stand before an ending that begins with a vowel.
func stems(dst []analysis, s, pos string, f form) []analysis {
	n := len(s)
	if n > 2 && s[n-1] == s[n-2] && strings.IndexByte("bdgklmnprtv", s[n-1]) >= 0 {
		dst = append(dst, analysis{s[:n-1], pos, f}, analysis{s, pos, f})
		return dst
	}
	return append(dst, analysis{s, pos, f}, analysis{s + "e", pos, f})
}

// verb reads a lower-case word as a form of a known verb. Words that are no verbs
// give some reading too: only the rule knows that it matched a verb.
func (m *morphology) verb(w string) (lemma string, f form) {
	var buf [8]analysis
	all := m.analyses(buf[:0], w)
	for _, a := range all {
		if _, known := m.verbs[a.lemma]; known && a.pos == "verb" {
			return a.lemma, a.form
		}
	}
	if _, known := m.verbs[w]; known {
		return w, base
	}
	n := len(w)
	for _, a := range all {
		if a.pos != "verb" {
			continue
		}
		if a.form == past || a.form == gerund {
			stem := w[:n-2]
			if a.form == gerund {
				stem = w[:n-3]
			}
			if a.lemma == stem && m.wantsE(stem) {
				continue
			}
		}
		return a.lemma, a.form
	}
	return w, base
}

// wantsE reports a stem that stands for a verb with a final e.
func (m *morphology) wantsE(s string) bool {
	for _, e := range [...]string{"iz", "yz", "uc", "rc", "nc", "dg", "rg", "lv", "rv", "iv", "ov", "av", "bl", "pl", "tl", "dl", "gl", "fl", "cl", "ns", "ps"} {
		if strings.HasSuffix(s, e) {
			return true
		}
	}
	n := len(s)
	return m.withE[s+"e"] || strings.HasSuffix(s, "at") && syllables(s) > 1 && !isVowel(s[n-3])
}

// inflect writes a lemma in a form. A phrase such as "go up" is inflected at its
// first word as a verb and at its last as a noun.
func (m *morphology) inflect(lemma string, pos string, f form) string {
	if f == base {
		return lemma
	}
	if i := strings.IndexByte(lemma, ' '); i > 0 {
		if pos == "noun" {
			j := strings.LastIndexByte(lemma, ' ') + 1
			return lemma[:j] + m.inflect(lemma[j:], pos, f)
		}
		if f == comparative || f == superlative {
			return lemma
		}
		return m.inflect(lemma[:i], pos, f) + lemma[i:]
	}
	switch f {
	case plural:
		if i, ok := m.nouns[lemma]; ok {
			return irregularNouns[i][1]
		}
		return sForm(lemma)
	case third:
		switch lemma {
		case "be":
			return "is"
		case "have":
			return "has"
		case "do", "go", "undergo", "outdo", "undo":
			return lemma + "es"
		}
		return sForm(lemma)
	case past, participle:
		if i, ok := m.verbs[lemma]; ok {
			return irregularVerbs[i][f-past+1]
		}
		switch {
		case strings.HasSuffix(lemma, "e"):
			return lemma + "d"
		case yAfterConsonant(lemma):
			return lemma[:len(lemma)-1] + "ied"
		case doubles(lemma):
			return lemma + lemma[len(lemma)-1:] + "ed"
		}
		return lemma + "ed"
	case gerund:
		switch {
		case strings.HasSuffix(lemma, "ie"):
			return lemma[:len(lemma)-2] + "ying"
		case strings.HasSuffix(lemma, "e") && !strings.HasSuffix(lemma, "ee") && !strings.HasSuffix(lemma, "ye") && lemma != "be":
			return lemma[:len(lemma)-1] + "ing"
		case doubles(lemma):
			return lemma + lemma[len(lemma)-1:] + "ing"
		}
		return lemma + "ing"
	case comparative, superlative:
		return compare(lemma, f)
	}
	return lemma
}

func compare(lemma string, f form) string {
	ending, long := "er", "more "
	if f == superlative {
		ending, long = "est", "most "
	}
	for _, a := range irregularAdjectives {
		if a[0] == lemma {
			return a[1+f-comparative]
		}
	}
	switch {
	case syllables(lemma) > 2 || syllables(lemma) == 2 && !strings.HasSuffix(lemma, "y") && !strings.HasSuffix(lemma, "le") && !strings.HasSuffix(lemma, "ow"):
		return long + lemma
	case strings.HasSuffix(lemma, "e"):
		return lemma + ending[1:]
	case yAfterConsonant(lemma):
		return lemma[:len(lemma)-1] + "i" + ending
	case doubles(lemma):
		return lemma + lemma[len(lemma)-1:] + ending
	}
	return lemma + ending
}

func sForm(w string) string {
	switch {
	case hisses(w):
		return w + "es"
	case yAfterConsonant(w):
		return w[:len(w)-1] + "ies"
	}
	return w + "s"
}

func hisses(w string) bool {
	for _, e := range [...]string{"s", "x", "z", "ch", "sh"} {
		if strings.HasSuffix(w, e) {
			return true
		}
	}
	return false
}

func yAfterConsonant(w string) bool {
	n := len(w)
	return n > 1 && w[n-1] == 'y' && !isVowel(w[n-2])
}

func isVowel(b byte) bool { return strings.IndexByte("aeiou", b) >= 0 }

// doubles reports that the last consonant is written twice before a vowel.
func doubles(w string) bool {
	n := len(w)
	if n < 3 || isVowel(w[n-1]) || !isVowel(w[n-2]) || isVowel(w[n-3]) || strings.IndexByte("wxyh", w[n-1]) >= 0 {
		return false
	}
	if syllables(w) == 1 {
		return true
	}
	for v := range strings.FieldsSeq(doublingVerbs) {
		if v == w {
			return true
		}
	}
	return false
}

// syllables counts groups of vowels; a final e is silent.
func syllables(w string) int {
	n, in := 0, false
	for i := range len(w) {
		v := isVowel(w[i]) || w[i] == 'y' && i > 0
		if v && !in {
			n++
		}
		in = v
	}
	if n > 1 && strings.HasSuffix(w, "e") && !strings.HasSuffix(w, "le") {
		n--
	}
	return n
}

// irregularVerbs are base form, past and participle.
var irregularVerbs = [][3]string{
	{"be", "was", "been"}, {"have", "had", "had"}, {"do", "did", "done"}, {"go", "went", "gone"}, {"make", "made", "made"}, {"take", "took", "taken"},
	{"come", "came", "come"}, {"see", "saw", "seen"}, {"know", "knew", "known"}, {"get", "got", "got"}, {"give", "gave", "given"}, {"find", "found", "found"},
	{"think", "thought", "thought"}, {"tell", "told", "told"}, {"become", "became", "become"}, {"show", "showed", "shown"}, {"leave", "left", "left"}, {"feel", "felt", "felt"},
	{"put", "put", "put"}, {"bring", "brought", "brought"}, {"begin", "began", "begun"}, {"keep", "kept", "kept"}, {"hold", "held", "held"}, {"write", "wrote", "written"},
	{"stand", "stood", "stood"}, {"hear", "heard", "heard"}, {"let", "let", "let"}, {"mean", "meant", "meant"}, {"set", "set", "set"}, {"meet", "met", "met"},
	{"run", "ran", "run"}, {"pay", "paid", "paid"}, {"sit", "sat", "sat"}, {"speak", "spoke", "spoken"}, {"lie", "lay", "lain"}, {"lead", "led", "led"},
	{"read", "read", "read"}, {"grow", "grew", "grown"}, {"lose", "lost", "lost"}, {"fall", "fell", "fallen"}, {"send", "sent", "sent"}, {"build", "built", "built"},
	{"understand", "understood", "understood"}, {"draw", "drew", "drawn"}, {"break", "broke", "broken"}, {"spend", "spent", "spent"}, {"cut", "cut", "cut"}, {"rise", "rose", "risen"},
	{"drive", "drove", "driven"}, {"buy", "bought", "bought"}, {"wear", "wore", "worn"}, {"choose", "chose", "chosen"}, {"seek", "sought", "sought"}, {"throw", "threw", "thrown"},
	{"catch", "caught", "caught"}, {"deal", "dealt", "dealt"}, {"win", "won", "won"}, {"forget", "forgot", "forgotten"}, {"sell", "sold", "sold"}, {"fight", "fought", "fought"},
	{"teach", "taught", "taught"}, {"eat", "ate", "eaten"}, {"sing", "sang", "sung"}, {"strike", "struck", "struck"}, {"hang", "hung", "hung"}, {"shake", "shook", "shaken"},
	{"ride", "rode", "ridden"}, {"feed", "fed", "fed"}, {"shoot", "shot", "shot"}, {"drink", "drank", "drunk"}, {"hit", "hit", "hit"}, {"arise", "arose", "arisen"},
	{"fly", "flew", "flown"}, {"spread", "spread", "spread"}, {"sleep", "slept", "slept"}, {"cost", "cost", "cost"}, {"beat", "beat", "beaten"}, {"light", "lit", "lit"},
	{"bind", "bound", "bound"}, {"hide", "hid", "hidden"}, {"swing", "swung", "swung"}, {"shrink", "shrank", "shrunk"}, {"sink", "sank", "sunk"}, {"bear", "bore", "borne"},
	{"bet", "bet", "bet"}, {"bid", "bid", "bid"}, {"bite", "bit", "bitten"}, {"bleed", "bled", "bled"}, {"blow", "blew", "blown"}, {"burst", "burst", "burst"},
	{"cling", "clung", "clung"}, {"creep", "crept", "crept"}, {"dig", "dug", "dug"}, {"flee", "fled", "fled"}, {"forbid", "forbade", "forbidden"}, {"forecast", "forecast", "forecast"},
	{"foresee", "foresaw", "foreseen"}, {"forgive", "forgave", "forgiven"}, {"freeze", "froze", "frozen"}, {"grind", "ground", "ground"}, {"hurt", "hurt", "hurt"}, {"lay", "laid", "laid"},
	{"lend", "lent", "lent"}, {"overcome", "overcame", "overcome"}, {"override", "overrode", "overridden"}, {"quit", "quit", "quit"}, {"ring", "rang", "rung"}, {"shed", "shed", "shed"},
	{"shine", "shone", "shone"}, {"shut", "shut", "shut"}, {"slide", "slid", "slid"}, {"spin", "spun", "spun"}, {"split", "split", "split"}, {"spring", "sprang", "sprung"},
	{"steal", "stole", "stolen"}, {"stick", "stuck", "stuck"}, {"swear", "swore", "sworn"}, {"sweep", "swept", "swept"}, {"swell", "swelled", "swollen"}, {"swim", "swam", "swum"},
	{"tear", "tore", "torn"}, {"thrust", "thrust", "thrust"}, {"undergo", "underwent", "undergone"}, {"undertake", "undertook", "undertaken"}, {"upset", "upset", "upset"}, {"wake", "woke", "woken"},
	{"weave", "wove", "woven"}, {"wind", "wound", "wound"}, {"withdraw", "withdrew", "withdrawn"}, {"withhold", "withheld", "withheld"}, {"withstand", "withstood", "withstood"}, {"outdo", "outdid", "outdone"},
	{"slip", "slipped", "slipped"}, {"stop", "stopped", "stopped"}, {"drop", "dropped", "dropped"}, {"jump", "jumped", "jumped"}, {"climb", "climbed", "climbed"},
	{"say", "said", "said"}, {"outgrow", "outgrew", "outgrown"}, {"rebuild", "rebuilt", "rebuilt"}, {"repay", "repaid", "repaid"}, {"resell", "resold", "resold"}, {"undo", "undid", "undone"},
}

// verbsWithE are verbs whose final e cannot be told from the letters before it.
const verbsWithE = "accrue acquire admire advertise advise agree amuse appease arise arrange assume bake base behave blame bore cause cease challenge change close compare compete complete compose " +
	"compromise compute conclude confuse consume contribute create debate decide declare decline decrease define delete deplete describe desire determine devote die dilute dispose dispute disclose " +
	"divide dominate dose dose encourage engage ensure erase erode escape examine exceed exclude execute exercise expire explode explore expose fade file fire force freeze guide hire hope ignore " +
	"imagine impose improve include increase infuse inquire inspire institute insure intrude invade invite invoke joke lease leave like line live lose lure make manage mature measure merge mine name note " +
	"oppose owe phrase place please pledge prepare presume prescribe price probe produce promise promote propose provide purchase pursue quote raise range rate realise recognise reconcile recompute refuse " +
	"relate release rename require rescue reside resume retire retrieve reuse revise ride rise rule save scale score secure seize separate share shape shave side smile smoke state store strike suppose " +
	"surprise survive suspense time trade tie tire tune type undermine unite update use utilise value vote wake waste wipe write deteriorate hike leverage damage average package"

// doublingVerbs are verbs of several syllables that double their last letter.
const doublingVerbs = "admit begin commit compel confer control deter emit equip expel forget incur infer occur omit outbid patrol permit prefer propel rebut recur refer regret repel submit transfer transmit upset offset forgot"

// irregularNouns are singular and plural.
var irregularNouns = [][2]string{
	{"man", "men"}, {"woman", "women"}, {"child", "children"}, {"person", "people"}, {"foot", "feet"}, {"tooth", "teeth"}, {"mouse", "mice"},
	{"analysis", "analyses"}, {"crisis", "crises"}, {"basis", "bases"}, {"thesis", "theses"}, {"diagnosis", "diagnoses"}, {"hypothesis", "hypotheses"}, {"criterion", "criteria"},
	{"phenomenon", "phenomena"}, {"medium", "media"}, {"life", "lives"}, {"wife", "wives"}, {"half", "halves"}, {"shelf", "shelves"}, {"leaf", "leaves"}, {"knife", "knives"},
	{"loaf", "loaves"}, {"thief", "thieves"}, {"index", "indices"}, {"appendix", "appendices"}, {"series", "series"}, {"species", "species"}, {"aircraft", "aircraft"},
	{"sheep", "sheep"}, {"fish", "fish"}, {"stimulus", "stimuli"}, {"nucleus", "nuclei"}, {"bacterium", "bacteria"}, {"vertebra", "vertebrae"}, {"metastasis", "metastases"},
	{"hero", "heroes"}, {"potato", "potatoes"}, {"tomato", "tomatoes"}, {"echo", "echoes"}, {"veto", "vetoes"}, {"datum", "data"},
}

// irregularAdjectives are positive, comparative and superlative.
var irregularAdjectives = [][3]string{
	{"good", "better", "best"}, {"bad", "worse", "worst"}, {"far", "further", "furthest"}, {"little", "less", "least"}, {"many", "more", "most"},
}
