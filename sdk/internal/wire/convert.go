package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"

	"github.com/islm-dev/islm/sdk"
	"github.com/islm-dev/islm/sdk/internal/wire/pb"
)

func each[A, B any](in []A, f func(A) B) []B {
	if in == nil {
		return nil
	}
	out := make([]B, len(in))
	for i, x := range in {
		out[i] = f(x)
	}
	return out
}

// FromDescription makes the answer of Describe.
func FromDescription(d *sdk.Description) (*pb.DescribeResponse, error) {
	r := &pb.DescribeResponse{
		Name: d.Name, Version: d.Version, SdkVersion: d.SDKVersion, ProtocolMinor: int32(d.ProtocolMinor),
		Summary: d.Summary, Homepage: d.Homepage,
		Licences: each(d.Licences, func(l sdk.Licence) *pb.Licence {
			return &pb.Licence{Data: l.Data, Spdx: l.SPDX, Source: l.Source, Note: l.Note}
		}),
		Options: each(d.Options, func(o sdk.Option) *pb.Option {
			return &pb.Option{Name: o.Name, Type: o.Type, Default: o.Default, Help: o.Help, Required: o.Required, Secret: o.Secret, Values: o.Values, Graph: o.Graph}
		}),
		Datasets: each(d.Datasets, func(s sdk.Dataset) *pb.Dataset {
			return &pb.Dataset{Name: s.Name, Task: s.Task, Heads: s.Heads, Splits: s.Splits, Format: s.Format, Hook: s.Hook, Path: s.Path,
				Summary: s.Summary, Citation: s.Citation, License: s.License, Url: s.URL, Embedded: s.Embedded}
		}),
		Heads:   each(d.Heads, fromHead),
		Readers: d.Readers, Augmenters: d.Augmenters,
		Kg:    &pb.KGSchema{Entities: d.KG.Entities, Relations: d.KG.Relations},
		Vocab: d.Vocab, Rules: each(d.Rules, FromRuleFile), Facts: d.Facts,
		Digest: d.Digest, Diagnostics: FromDiagnostics(d.Diagnostics),
		Features: each(d.Features, func(f sdk.FeatureSpec) *pb.Feature {
			return &pb.Feature{Name: f.Name, Kind: f.Kind, Fold: f.Fold, Classes: each(f.Classes, func(c sdk.FeatureClass) *pb.FeatureClass {
				return &pb.FeatureClass{Name: c.Name, Words: c.Words, Match: c.Match}
			})}
		}),
	}
	if len(d.Advice) > 0 {
		advice, err := json.Marshal(d.Advice)
		if err != nil {
			return nil, fmt.Errorf("advice: %w", err)
		}
		r.Advice = advice
	}
	return r, nil
}

// ToDescription reads the answer of Describe.
func ToDescription(r *pb.DescribeResponse) (*sdk.Description, error) {
	d := &sdk.Description{
		Name: r.GetName(), Version: r.GetVersion(), SDKVersion: r.GetSdkVersion(), ProtocolMinor: int(r.GetProtocolMinor()),
		Summary: r.GetSummary(), Homepage: r.GetHomepage(),
		Licences: each(r.GetLicences(), func(l *pb.Licence) sdk.Licence {
			return sdk.Licence{Data: l.GetData(), SPDX: l.GetSpdx(), Source: l.GetSource(), Note: l.GetNote()}
		}),
		Options: each(r.GetOptions(), func(o *pb.Option) sdk.Option {
			return sdk.Option{Name: o.GetName(), Type: o.GetType(), Default: o.GetDefault(), Help: o.GetHelp(),
				Required: o.GetRequired(), Secret: o.GetSecret(), Values: o.GetValues(), Graph: o.GetGraph()}
		}),
		Datasets: each(r.GetDatasets(), func(s *pb.Dataset) sdk.Dataset {
			return sdk.Dataset{Name: s.GetName(), Task: s.GetTask(), Heads: s.GetHeads(), Splits: s.GetSplits(), Format: s.GetFormat(),
				Hook: s.GetHook(), Path: s.GetPath(), Summary: s.GetSummary(), Citation: s.GetCitation(), License: s.GetLicense(),
				URL: s.GetUrl(), Embedded: s.GetEmbedded()}
		}),
		Heads:   each(r.GetHeads(), toHead),
		Readers: r.GetReaders(), Augmenters: r.GetAugmenters(),
		KG:    sdk.KGSchema{Entities: r.GetKg().GetEntities(), Relations: r.GetKg().GetRelations()},
		Vocab: r.GetVocab(), Rules: each(r.GetRules(), ToRuleFile), Facts: r.GetFacts(),
		Digest: r.GetDigest(), Diagnostics: ToDiagnostics(r.GetDiagnostics()),
		Features: each(r.GetFeatures(), func(f *pb.Feature) sdk.FeatureSpec {
			return sdk.FeatureSpec{Name: f.GetName(), Kind: f.GetKind(), Fold: f.GetFold(), Classes: each(f.GetClasses(), func(c *pb.FeatureClass) sdk.FeatureClass {
				return sdk.FeatureClass{Name: c.GetName(), Words: c.GetWords(), Match: c.GetMatch()}
			})}
		}),
	}
	if len(r.GetAdvice()) > 0 {
		dec := json.NewDecoder(bytes.NewReader(r.GetAdvice()))
		dec.UseNumber()
		if err := dec.Decode(&d.Advice); err != nil {
			return nil, fmt.Errorf("advice: %w", err)
		}
		for k, v := range d.Advice {
			d.Advice[k] = numbers(v)
		}
	}
	return d, nil
}

// numbers turns the numbers of decoded JSON into int where they are whole, else
// into float64, as a YAML file would give them.
func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if i, err := v.Int64(); err == nil && i >= math.MinInt && i <= math.MaxInt {
			return int(i)
		}
		f, err := v.Float64()
		if err != nil {
			return v.String()
		}
		return f
	case map[string]any:
		for k := range v {
			v[k] = numbers(v[k])
		}
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
	}
	return v
}

func fromHead(h sdk.HeadSpec) *pb.HeadSpec {
	r := &pb.HeadSpec{Name: h.Name, Kind: h.Kind, Labels: h.Labels, Loss: h.Loss, ClassWeights: h.ClassWeights, Pooling: h.Pooling,
		Dropout: h.Dropout, Weight: h.Weight, Metrics: h.Metrics, Dataset: h.Dataset, Scheme: h.Scheme, Crf: h.CRF, Options: h.Options}
	for label, texts := range h.Descriptions {
		if r.Descriptions == nil {
			r.Descriptions = map[string]*pb.HeadSpec_Texts{}
		}
		r.Descriptions[label] = &pb.HeadSpec_Texts{ByLanguage: texts}
	}
	return r
}

func toHead(r *pb.HeadSpec) sdk.HeadSpec {
	h := sdk.HeadSpec{Name: r.GetName(), Kind: r.GetKind(), Labels: r.GetLabels(), Loss: r.GetLoss(), ClassWeights: r.GetClassWeights(),
		Pooling: r.GetPooling(), Weight: r.GetWeight(), Metrics: r.GetMetrics(), Dataset: r.GetDataset(),
		Scheme: r.GetScheme(), CRF: r.GetCrf(), Options: r.GetOptions()}
	if r != nil {
		h.Dropout = r.Dropout
	}
	for label, texts := range r.GetDescriptions() {
		if h.Descriptions == nil {
			h.Descriptions = map[string]map[string]string{}
		}
		h.Descriptions[label] = texts.GetByLanguage()
	}
	return h
}

// FromDiagnostics makes messages of diagnostics.
func FromDiagnostics(ds sdk.Diagnostics) []*pb.Diagnostic {
	return each(ds, func(d sdk.Diagnostic) *pb.Diagnostic {
		r := &pb.Diagnostic{Severity: string(d.Severity), Code: d.Code, Summary: cut(valid(d.Summary), maxText), Detail: cut(valid(d.Detail), maxText), Remedy: cut(valid(d.Remedy), maxText), Source: d.Source}
		if d.File != "" || d.Line != 0 || d.Column != 0 || d.Path != "" {
			r.Subject = &pb.Diagnostic_Subject{File: valid(d.File), Line: clamp(d.Line), Column: clamp(d.Column), Path: valid(d.Path)}
		}
		return r
	})
}

// maxText bounds each text of a diagnostic.
const maxText = 64 << 10

// valid makes text of a diagnostic fit for a message; it may quote broken input.
func valid(s string) string { return string(bytes.ToValidUTF8([]byte(s), []byte("\ufffd"))) }

func clamp(i int) int32 { return int32(min(max(i, 0), math.MaxInt32)) }

// ToDiagnostics reads messages of diagnostics. An unknown severity counts as an
// error.
func ToDiagnostics(ms []*pb.Diagnostic) sdk.Diagnostics {
	return each(ms, func(m *pb.Diagnostic) sdk.Diagnostic {
		d := sdk.Diagnostic{Severity: sdk.Severity(m.GetSeverity()), Code: m.GetCode(), Summary: m.GetSummary(), Detail: m.GetDetail(),
			File: m.GetSubject().GetFile(), Line: int(m.GetSubject().GetLine()), Column: int(m.GetSubject().GetColumn()),
			Path: m.GetSubject().GetPath(), Remedy: m.GetRemedy(), Source: m.GetSource()}
		if d.Severity != sdk.Warning && d.Severity != sdk.Info {
			d.Severity = sdk.Error
		}
		return d
	})
}

// FromTerm makes a message of a term.
func FromTerm(t sdk.Term) *pb.Term {
	return &pb.Term{Text: t.Text, Kind: t.Kind, Canonical: t.Canonical, Synonyms: t.Synonyms, EntityId: t.EntityID, Weight: t.Weight, Lang: t.Lang}
}

// ToTerm reads a term.
func ToTerm(m *pb.Term) sdk.Term {
	return sdk.Term{Text: m.GetText(), Kind: m.GetKind(), Canonical: m.GetCanonical(), Synonyms: m.GetSynonyms(),
		EntityID: m.GetEntityId(), Weight: m.GetWeight(), Lang: m.GetLang()}
}

// FromRuleFile makes a message of a rule file.
func FromRuleFile(f sdk.RuleFile) *pb.RuleFile {
	return &pb.RuleFile{Path: f.Path, Data: f.Data, Sha256: f.SHA256}
}

// ToRuleFile reads a rule file.
func ToRuleFile(m *pb.RuleFile) sdk.RuleFile {
	return sdk.RuleFile{Path: m.GetPath(), Data: m.GetData(), SHA256: m.GetSha256()}
}

// FromFactItem makes a message of an entity or a fact.
func FromFactItem(it sdk.FactItem) *pb.FactItem {
	switch {
	case it.Entity != nil:
		e := it.Entity
		return &pb.FactItem{Item: &pb.FactItem_Entity{Entity: &pb.Entity{Id: e.ID, Type: e.Type, Names: e.Names, Props: e.Props}}}
	case it.Fact != nil:
		f := it.Fact
		m := &pb.Fact{Subject: f.Subject, Relation: f.Relation, Source: f.Source, Weight: f.Weight}
		if f.Object != "" {
			m.Target = &pb.Fact_Object{Object: f.Object}
		} else {
			m.Target = &pb.Fact_Literal{Literal: f.Literal}
		}
		return &pb.FactItem{Item: &pb.FactItem_Fact{Fact: m}}
	}
	return &pb.FactItem{}
}

// ToFactItem reads an entity or a fact.
func ToFactItem(m *pb.FactItem) sdk.FactItem {
	switch x := m.GetItem().(type) {
	case *pb.FactItem_Entity:
		e := x.Entity
		return sdk.FactItem{Entity: &sdk.Entity{ID: e.GetId(), Type: e.GetType(), Names: e.GetNames(), Props: e.GetProps()}}
	case *pb.FactItem_Fact:
		f := x.Fact
		return sdk.FactItem{Fact: &sdk.Fact{Subject: f.GetSubject(), Relation: f.GetRelation(), Object: f.GetObject(),
			Literal: f.GetLiteral(), Source: f.GetSource(), Weight: f.GetWeight()}}
	}
	return sdk.FactItem{}
}

// FromExample makes a message of an example that Check has passed.
func FromExample(e sdk.Example) *pb.Example {
	m := &pb.Example{Id: e.ID, Text: e.Text, TextB: e.TextB, Meta: e.Meta, Parent: e.Parent, File: valid(e.File), Line: clamp(e.Line)}
	if len(e.Tokens) > 0 {
		m.Tokens = make([]uint32, 0, 2*len(e.Tokens))
		for _, t := range e.Tokens {
			m.Tokens = append(m.Tokens, uint32(t.Start), uint32(t.End))
		}
	}
	for head, l := range e.Labels {
		if m.Labels == nil {
			m.Labels = make(map[string]*pb.Label, len(e.Labels))
		}
		x := &pb.Label{Number: l.Number}
		if l.Values != nil {
			x.Values = &pb.Strings{Items: l.Values}
		}
		if l.Tags != nil {
			x.Tags = &pb.Strings{Items: l.Tags}
		}
		if l.Spans != nil {
			x.Spans = &pb.Spans{Items: each(l.Spans, func(s sdk.Span) *pb.Span {
				return &pb.Span{Start: uint32(s.Start), End: uint32(s.End), Label: s.Label, EntityId: s.EntityID}
			})}
		}
		m.Labels[head] = x
	}
	return m
}

// ToExample reads an example. Its offsets are still to be checked.
func ToExample(m *pb.Example) sdk.Example {
	e := sdk.Example{ID: m.GetId(), Text: m.GetText(), TextB: m.GetTextB(), Meta: m.GetMeta(), Parent: m.GetParent(), File: m.GetFile(), Line: int(m.GetLine())}
	if n := len(m.GetTokens()); n > 0 {
		e.Tokens = make([]sdk.Token, (n+1)/2)
		for i, at := range m.GetTokens() {
			if i%2 == 0 {
				e.Tokens[i/2].Start = int(at)
			} else {
				e.Tokens[i/2].End = int(at)
			}
		}
	}
	for head, x := range m.GetLabels() {
		if e.Labels == nil {
			e.Labels = make(map[string]sdk.Label, len(m.GetLabels()))
		}
		var l sdk.Label
		if x.GetValues() != nil {
			l.Values = nonNil(x.GetValues().GetItems())
		}
		if x.GetTags() != nil {
			l.Tags = nonNil(x.GetTags().GetItems())
		}
		if x.GetSpans() != nil {
			l.Spans = nonNil(each(x.GetSpans().GetItems(), func(s *pb.Span) sdk.Span {
				return sdk.Span{Start: int(s.GetStart()), End: int(s.GetEnd()), Label: s.GetLabel(), EntityID: s.GetEntityId()}
			}))
		}
		if x != nil {
			l.Number = x.Number
		}
		e.Labels[head] = l
	}
	return e
}

func nonNil[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
