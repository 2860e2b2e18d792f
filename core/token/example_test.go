package token_test

import (
	"fmt"

	"github.com/islm-dev/islm/core/token"
	"github.com/islm-dev/islm/sdk"
)

const vocab = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\npump\n##s\nvibrate\n电\n机\n"

func ExampleTokenizer_Encode() {
	tok, err := token.FromVocab([]byte(vocab), true)
	if err != nil {
		fmt.Println(err)
		return
	}
	text := "The pumps vibrate"
	e := tok.Encode(text, token.Options{Max: 512})
	for i, piece := range tok.Pieces(e.IDs) {
		fmt.Printf("%s %d %q\n", piece, e.IDs[i], text[e.Offsets[i].Start:e.Offsets[i].End])
	}
	// Output:
	// [CLS] 2 ""
	// the 5 "The"
	// pump 6 "pump"
	// ##s 7 "s"
	// vibrate 8 "vibrate"
	// [SEP] 3 ""
}

func ExampleTokenizer_AddTokens() {
	tok, err := token.FromVocab([]byte(vocab), true)
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := tok.AddTokens(token.AddedToken{Content: "电机", Normalized: true}, token.AddedToken{Content: "VFD", Normalized: true, SingleWord: true}); err != nil {
		fmt.Println(err)
		return
	}
	e := tok.Encode("电机 vfd", token.Options{Bare: true})
	fmt.Println(tok.Pieces(e.IDs), tok.VocabSize())
	// Output: [电机 VFD] 13
}

func ExampleTokenizer_EncodeTokens() {
	tok, err := token.FromVocab([]byte(vocab), true)
	if err != nil {
		fmt.Println(err)
		return
	}
	ids, starts := tok.EncodeTokens("the pumps vibrate", []sdk.Token{{Start: 0, End: 3}, {Start: 4, End: 9}, {Start: 10, End: 17}}, 5)
	fmt.Println(tok.Pieces(ids), starts) // the third token was cut
	// Output: [[CLS] the pump ##s [SEP]] [1 2 -1]
}
