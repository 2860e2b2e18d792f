package sdktest

import (
	"encoding/json"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/islm-dev/islm/sdk"
)

var (
	domainName = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	hexDigest  = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

func describeChecks() []Check {
	return []Check{
		{ID: "describe.valid", Purpose: "Describe answers with a proper name, version, SDK version and content digest", run: func(p *probe) {
			if !p.seen.described {
				p.seen.description, p.seen.descErr = p.plugin.Describe(p.ctx)
				p.seen.described = true
			}
			if p.seen.descErr != nil {
				p.stop("Describe fails: %v", p.seen.descErr)
			}
			d := p.seen.description
			if d == nil {
				p.stop("Describe answers nothing")
			}
			if !domainName.MatchString(d.Name) {
				p.fail("the name %q is not made of lower-case letters, digits and single hyphens", d.Name)
			}
			if _, err := semver.StrictNewVersion(d.Version); err != nil {
				p.fail("the version %q is no semantic version", d.Version)
			}
			if _, err := semver.StrictNewVersion(d.SDKVersion); err != nil {
				p.fail("the SDK version %q is no semantic version", d.SDKVersion)
			}
			if d.ProtocolMinor < 0 {
				p.fail("the protocol minor is %d", d.ProtocolMinor)
			}
			if !hexDigest.MatchString(d.Digest) {
				p.fail("the content digest %q is not a sha256 in lower-case hexadecimal", d.Digest)
			}
		}},
		{ID: "describe.summary", Purpose: "a summary of one line says what the domain is", run: func(p *probe) {
			switch s := p.describe().Summary; {
			case strings.TrimSpace(s) == "":
				p.fail("there is no summary")
			case strings.Contains(s, "\n"):
				p.fail("the summary has several lines")
			}
		}},
		{ID: "describe.stable", Purpose: "two calls of Describe give equal answers", run: func(p *probe) {
			first := p.describe()
			second, err := p.plugin.Describe(p.ctx)
			if err != nil {
				p.stop("the second call fails: %v", err)
			}
			p.same("the second answer differs from the first", first, second)
		}},
		{ID: "describe.same-after-restart", Purpose: "another instance describes itself in the same way", run: func(p *probe) {
			first := p.describe()
			other, err := p.subject.launch(p.ctx)
			if err != nil {
				p.stop("a second instance cannot be started: %v", err)
			}
			defer other.Close()
			second, err := other.Describe(p.ctx)
			if err != nil {
				p.stop("the second instance does not describe itself: %v", err)
			}
			p.same("the second instance differs from the first", first, second)
		}},
		{ID: "manifest.strict", Purpose: "the domain's own files have no errors: no unknown keys, no wrong types, no missing files", run: func(p *probe) {
			for _, d := range p.describe().Diagnostics {
				if d.Severity == sdk.Error {
					p.report(d)
				}
			}
		}},
		{ID: "manifest.names-unique", Purpose: "options, datasets, heads and hooks have different names", run: func(p *probe) {
			d := p.describe()
			for what, list := range map[string][]string{
				"option":  names(d.Options, func(o sdk.Option) string { return o.Name }),
				"dataset": datasetNames(d), "head": headNames(d), "reader": d.Readers, "augmenter": d.Augmenters,
			} {
				for i, n := range list {
					if n == "" {
						p.fail("%s %d has no name", what, i)
					} else if slices.Contains(list[:i], n) {
						p.fail("there are two %ss called %q", what, n)
					}
				}
			}
		}},
		{ID: "licence.declared", Purpose: "every file that is passed on has a licence", run: func(p *probe) {
			d := p.describe()
			m := sdk.Manifest{Licences: d.Licences}
			files := slices.Concat(d.Vocab, d.Facts)
			for _, r := range d.Rules {
				files = append(files, r.Path)
			}
			for _, s := range d.Datasets {
				if !s.Embedded || s.License != "" {
					continue
				}
				for _, split := range s.Splits {
					prefix := s.Path
					if prefix == "" {
						prefix = "data/" + s.Name
					}
					files = append(files, prefix+"."+split+"."+s.Format)
				}
			}
			if len(files) == 0 {
				p.skip("no files that need one")
			}
			for _, f := range files {
				if l, ok := m.LicenceOf(f); !ok || l.SPDX == "" {
					p.report(sdk.Diagnostic{Summary: "no licence covers " + f, File: f, Remedy: "add to domain.yaml: licences: - {data: " + path.Dir(f) + "/*, spdx: …}"})
				}
			}
		}},
		{ID: "dataset.readable", Purpose: "every dataset is embedded or names a reader that exists, and its heads exist", run: func(p *probe) {
			d := p.describe()
			if len(d.Datasets) == 0 {
				p.skip("no datasets")
			}
			for _, s := range d.Datasets {
				if !s.Embedded && s.Hook == "" {
					p.fail("dataset %q is neither embedded nor read by a hook", s.Name)
				}
				if s.Hook != "" && !slices.Contains(d.Readers, s.Hook) {
					p.fail("dataset %q is read by %q, but there is no such reader", s.Name, s.Hook)
				}
				if len(s.Splits) == 0 {
					p.fail("dataset %q has no splits", s.Name)
				}
				for _, split := range s.Splits {
					if !slices.Contains(sdk.Splits(), split) {
						p.fail("dataset %q has the unknown split %q", s.Name, split)
					}
				}
				for _, h := range append(slices.Clone(s.Heads), s.Task) {
					if h != "" && !slices.Contains(headNames(d), h) {
						p.fail("dataset %q has labels for %q, but there is no such head", s.Name, h)
					}
				}
			}
		}},
		{ID: "advice.mapping", Purpose: "recipe advice is a tree of named values, without empty names", run: func(p *probe) {
			advice := p.describe().Advice
			if len(advice) == 0 {
				p.skip("no advice")
			}
			var walk func(at string, v any)
			walk = func(at string, v any) {
				switch v := v.(type) {
				case map[string]any:
					for k, x := range v {
						if strings.TrimSpace(k) == "" {
							p.fail("advice%s has an empty name", at)
						}
						walk(at+"."+k, x)
					}
				case nil:
					p.fail("advice%s has no value", at)
				}
			}
			walk("", advice)
		}},
	}
}

// same compares two answers by their JSON.
func (p *probe) same(what string, a, b any) {
	x, err := json.Marshal(a)
	if err != nil {
		p.stop("%s: %v", what, err)
	}
	y, err := json.Marshal(b)
	if err != nil {
		p.stop("%s: %v", what, err)
	}
	if string(x) == string(y) {
		return
	}
	i := 0
	for i < len(x) && i < len(y) && x[i] == y[i] {
		i++
	}
	p.report(sdk.Diagnostic{Summary: what, Detail: "first:  …" + around(string(x), i) + "\nsecond: …" + around(string(y), i)})
}

func around(s string, i int) string {
	return strings.ToValidUTF8(s[max(0, i-60):min(len(s), i+60)], "")
}

func optionChecks() []Check {
	return []Check{
		{ID: "option.defaults-valid", Purpose: "every default is a value that its option takes", run: func(p *probe) {
			options := p.options()
			for _, o := range options {
				if o.Type != "" && !slices.Contains(sdk.OptionTypes(), o.Type) {
					p.fail("option %q has the unknown type %q", o.Name, o.Type)
					continue
				}
				if o.Default == "" {
					continue
				}
				_, ds := sdk.ResolveOptions([]sdk.Option{o}, map[string]string{o.Name: o.Default})
				p.report(coded(ds, "option")...)
			}
		}},
		{ID: "option.help", Purpose: "every option says what it is for", run: func(p *probe) {
			for _, o := range p.options() {
				if strings.TrimSpace(o.Help) == "" {
					p.fail("option %q has no help", o.Name)
				}
			}
		}},
		{ID: "option.secret-without-default", Purpose: "a secret has no default: it would be public", run: func(p *probe) {
			for _, o := range p.options() {
				if o.Secret && o.Default != "" {
					p.fail("option %q is secret and has a default", o.Name)
				}
			}
		}},
		{ID: "option.defaults-accepted", Purpose: "Configure with nothing but required options succeeds, also twice", run: func(p *probe) {
			given := p.minimalOptions()
			for range 2 {
				ds, err := p.plugin.Configure(p.ctx, given)
				if err != nil {
					p.stop("Configure fails: %v", err)
				}
				p.report(coded(ds, "option")...)
			}
		}},
		{ID: "option.unknown-is-diagnostic", Purpose: "an unknown option is a diagnostic that names it, not a failed call", run: func(p *probe) {
			p.describe()
			given := p.minimalOptions()
			given["no-such-option-xyz"] = "1"
			p.expectDiagnostic(given, "no-such-option-xyz")
		}},
		{ID: "option.missing-is-diagnostic", Purpose: "a required option without a value is a diagnostic that names it", run: func(p *probe) {
			i := slices.IndexFunc(p.options(), func(o sdk.Option) bool { return o.Required })
			if i < 0 {
				p.skip("no required options")
			}
			name := p.options()[i].Name
			given := p.minimalOptions()
			delete(given, name)
			p.expectDiagnostic(given, name)
		}},
		{ID: "option.wrong-type-is-diagnostic", Purpose: "a value of another type is a diagnostic that names the option", run: func(p *probe) {
			i := slices.IndexFunc(p.options(), func(o sdk.Option) bool { return slices.Contains([]string{"int", "float", "bool", "enum"}, o.Type) })
			if i < 0 {
				p.skip("no option whose values could be wrong")
			}
			name := p.options()[i].Name
			given := p.minimalOptions()
			given[name] = "\x01 surely wrong"
			p.expectDiagnostic(given, name)
		}},
		{ID: "option.secret-not-repeated", Purpose: "the value of a secret never shows in a diagnostic", run: func(p *probe) {
			given := p.minimalOptions()
			const value = "hunter2-secret-value"
			any := false
			for _, o := range p.options() {
				if o.Secret {
					given[o.Name] = value
					any = true
				}
			}
			if !any {
				p.skip("no secret options")
			}
			given["no-such-option-xyz"] = "1"
			ds, err := p.plugin.Configure(p.ctx, given)
			if err != nil && strings.Contains(err.Error(), value) || strings.Contains(ds.String(), value) {
				p.fail("a diagnostic of Configure shows a secret")
			}
			p.reset()
		}},
	}
}

func (p *probe) options() []sdk.Option {
	options := p.describe().Options
	if len(options) == 0 {
		p.skip("no options")
	}
	return options
}

// minimalOptions gives each required option a value of its type.
func (p *probe) minimalOptions() map[string]string {
	given := map[string]string{}
	for _, o := range p.describe().Options {
		if o.Required {
			given[o.Name] = exampleValue(o)
		}
	}
	return given
}

func exampleValue(o sdk.Option) string {
	switch o.Type {
	case "int", "float":
		return "1"
	case "bool":
		return "true"
	case "enum":
		if len(o.Values) > 0 {
			return o.Values[0]
		}
	case "path":
		return "."
	}
	return "x"
}

// expectDiagnostic configures with a mistake and wants an error diagnostic that
// names the option.
func (p *probe) expectDiagnostic(given map[string]string, name string) {
	defer p.reset()
	ds, err := p.plugin.Configure(p.ctx, given)
	if err != nil {
		p.stop("Configure fails instead of answering with a diagnostic: %v", err)
	}
	for _, d := range ds {
		if d.Severity == sdk.Error && (strings.Contains(d.Summary, name) || strings.Contains(d.Path, name)) {
			return
		}
	}
	p.fail("no diagnostic of Configure names the option %q", name)
}

// reset puts good options back for the checks that follow.
func (p *probe) reset() {
	if _, err := p.plugin.Configure(p.ctx, p.minimalOptions()); err != nil {
		p.fail("Configure with good options fails after bad ones: %v", err)
	}
}
