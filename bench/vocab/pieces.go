package main

import (
	"context"
	"slices"

	"github.com/islm-dev/islm/core/vocab"
)

type piecesRow struct {
	row
	Train    int        `json:"train"` // texts that terms are chosen on
	MinCount int        `json:"min_count"`
	Terms    int        `json:"terms"`
	HeldOut  int        `json:"held_out"` // texts
	PerWord  [2]float64 `json:"pieces_per_word"`
	Change   float64    `json:"change"` // of pieces per word, a share
}

// domain is what terms are chosen of, and the texts that they are measured on.
type domain struct {
	name        string
	train, held []string
	lexicon     []string // names of things, whose words may be chosen too
}

func (b *bench) domains(ctx context.Context) ([]domain, error) {
	var err error
	read := func(names ...string) []string {
		texts, e := b.texts(ctx, names...)
		if err == nil {
			err = e
		}
		return texts
	}
	table := func(name string, at ...int) []string {
		cells, e := b.columns(name, at...)
		if err == nil {
			err = e
		}
		return cells
	}
	out := []domain{
		{"medical", read("medical/ner-ncbi-disease/train.conll"), read("medical/ner-ncbi-disease/test.conll"),
			slices.Concat(table("medical/kg-hpo/terms.tsv", 1, 2), table("medical/icd10cm/codes.tsv", 1))},
		{"finance", read("finance/phrasebank-50agree/train.jsonl"), read("finance/phrasebank-50agree/test.jsonl"), table("finance/kg-fibo/terms.tsv", 1, 2)},
	}
	return out, err
}

// pieces measures words of the training texts seen three times, twice, once, those with
// a lexicon of the domain beside them, and those with phrases of the texts.
func (b *bench) pieces(ctx context.Context) error {
	base, err := b.tokenizer("bert_uncased")
	if err != nil {
		return err
	}
	domains, err := b.domains(ctx)
	if err != nil {
		return err
	}
	for _, d := range domains {
		for _, arm := range []struct {
			name    string
			least   int
			lexicon bool
			phrases bool
		}{
			{"words seen 3 times", 3, false, false}, {"words seen twice", 2, false, false}, {"all words", 1, false, false},
			{"words seen 3 times, lexicon too", 3, true, false}, {"words seen twice, lexicon too", 2, true, false}, {"all words, lexicon too", 1, true, false},
			{"words and phrases seen 3 times", 3, false, true}, {"words and phrases seen twice", 2, false, true}, {"all words, phrases", 1, false, true},
		} {
			r := piecesRow{MinCount: arm.least, HeldOut: len(d.held)}
			var missing bool
			if r.row, missing = b.missing("pieces", d.name+", "+arm.name); !missing {
				continue
			}
			req := vocab.Request{Base: base, Max: vocab.All, Words: true, Phrases: arm.phrases, Count: arm.least, Saved: 1}
			texts := d.train
			if arm.lexicon {
				texts = slices.Concat(d.train, d.lexicon)
			}
			req.Texts, r.Train = each(texts), len(texts)
			s, err := vocab.Choose(ctx, req)
			if err != nil {
				return err
			}
			words, before, after, err := vocab.Measure(ctx, base, s.Tokenizer, each(d.held))
			if err != nil {
				return err
			}
			r.Terms, r.PerWord = len(s.Choices), [2]float64{float64(before) / float64(words), float64(after) / float64(words)}
			r.Change = float64(after)/float64(before) - 1
			if err := b.put(r); err != nil {
				return err
			}
		}
	}
	return nil
}
