// Package gazetteer finds a large set of names in text: leftmost-longest, in one
// pass, with case and width folded, and with places in bytes of the text as it
// was given.
//
// A Matcher is built once from names with ids and never changes; any number of
// goroutines may use it. Its binary form is flat: Open works on memory-mapped
// bytes without copying them, and checks them, so that no damaged file makes a
// search fail or run on.
//
// # What equals what
//
// Names and text are compared rune by rune after folding, as Options say:
//
//   - case: Unicode's simple case folding (CaseFolding.txt, C and S). 'ẞ' equals
//     'ß', the Kelvin sign equals 'k', final 'ς' equals 'σ'. Nothing is expanded:
//     'ß' is not "ss", 'ﬁ' is not "fi", and 'İ' equals only itself.
//   - width: full-width forms equal the plain ones, half-width Katakana and Hangul
//     the full ones, with a voice mark of its own or not ("ｶﾞ" is "ガ").
//   - space: see Options.FoldSpace.
//   - plurals: see Options.Plurals; a name is not equal to its plural, but found in it.
//
// Not folded are accents and other compatibility forms. A name that is
// not UTF-8 is left out, and what is not UTF-8 in a text matches nothing.
//
// # Where a name may begin and end
//
// With Options.Words a match neither begins nor ends within a word of a script
// that writes spaces: letters and digits join ("B12" holds neither "B" nor "12"),
// so does the underscore; hyphen, apostrophe and other signs do not ("cancer" is
// found in "cancer-free", "Alzheimer" in "Alzheimer's"). A sign may be part of a
// name ("$AAPL", "C++") and needs no boundary beside it. Han, Kana, Thai, Lao,
// Khmer and Myanmar have no boundaries: names match anywhere. Hangul words carry
// endings, so there a name begins where a word begins and may end anywhere. No
// match ends before a combining mark that belongs to its last letter.
//
// The structure is a double-array trie over the folded bytes (Aoe 1989, "An
// efficient digital search algorithm by using a double-array structure") whose
// unbranched ends are kept as strings (Yata et al. 2007, "A compact static
// double-array keeping character codes"); 50,000 names take one or two megabytes.
// Time is that of one walk from each place where a match may begin: linear in
// the text for names as they occur, at worst text times the longest name.
package gazetteer
