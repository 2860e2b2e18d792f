package scaffold

import (
	"bytes"
	"cmp"
	"embed"
	"errors"
	"fmt"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"text/template"

	"github.com/islm-dev/islm/sdk"
)

//go:embed template
var templates embed.FS

const islmModule = "github.com/islm-dev/islm"

// Plan says what New is to write.
type Plan struct {
	// Name of the domain: lower-case letters, digits and single hyphens.
	Name string
	// Dir is the folder to write, "" for islm-plugin-NAME in the current one. It
	// must not hold anything yet.
	Dir string
	// Module is the Go module path, "" for example.com/islm-plugin-NAME.
	Module string
	// Checkout is the root of an islm checkout that the plugin is to build
	// against; go.mod then gets a replace directive, and everything builds
	// offline. "" takes the released module. See FindCheckout.
	Checkout string
}

// New writes the skeleton and returns its files, relative to the folder, and the
// folder. Problems with the plan are diagnostics in the error; then nothing is
// written.
func New(p Plan) (dir string, files []string, err error) {
	if err := CheckName(p.Name); err != nil {
		return "", nil, err
	}
	dir = cmp.Or(p.Dir, "islm-plugin-"+p.Name)
	if err := checkEmpty(dir); err != nil {
		return "", nil, err
	}
	values, sums, err := p.values(dir)
	if err != nil {
		return "", nil, err
	}
	rendered, err := render(values)
	if err != nil {
		return "", nil, err
	}
	if insidePlugins(dir, p.Checkout) { // a package of the checkout itself
		delete(rendered, "go.mod")
	} else if sums != nil {
		rendered["go.sum"] = sums
	}
	for _, name := range order(rendered) {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return "", nil, fmt.Errorf("write the plugin: %w", err)
		}
		if err := os.WriteFile(file, rendered[name], 0o644); err != nil {
			return "", nil, fmt.Errorf("write the plugin: %w", err)
		}
		files = append(files, name)
	}
	return dir, files, nil
}

var domainName = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// CheckName returns the diagnostic for a text that cannot be a domain's name, with
// one that can, else nil.
func CheckName(name string) error {
	d := sdk.Diagnostic{Severity: sdk.Error, Code: "plugin.name", Remedy: "use lower-case letters, digits and single hyphens, such as energy or oil-gas"}
	switch {
	case name == "":
		d.Summary = "the plugin needs a name"
	case len(name) > 64:
		d.Summary = fmt.Sprintf("the name has %d characters, 64 are allowed", len(name))
	case !domainName.MatchString(name):
		d.Summary = fmt.Sprintf("%q is no name for a plugin", name)
		if better := repair(name); better != "" {
			d.Remedy += fmt.Sprintf("; here: %s", better)
		}
	case name == "islm", token.IsKeyword(name):
		d.Summary = fmt.Sprintf("the name %q is taken", name)
		d.Remedy = "name the industry, such as energy or oil-gas"
	default:
		return nil
	}
	return sdk.Diagnostics{d}.Err()
}

var notNameRun = regexp.MustCompile(`[^a-z0-9]+`)

// repair makes a proper name of a text, or "".
func repair(name string) string {
	name = strings.TrimPrefix(name, "islm-plugin-")
	better := strings.Trim(notNameRun.ReplaceAllString(strings.ToLower(name), "-"), "-0123456789")
	if !domainName.MatchString(better) {
		return ""
	}
	return better
}

func checkEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0:
		return nil
	case err != nil:
		if st, statErr := os.Stat(dir); statErr != nil || st.IsDir() {
			return fmt.Errorf("write the plugin: %w", err)
		}
	}
	return sdk.Diagnostics{{Severity: sdk.Error, Code: "plugin.exists", Summary: "there is something already", File: dir, Remedy: "name another folder with --dir, or remove this one"}}.Err()
}

// FindCheckout returns the root of the islm checkout that holds one of the
// folders, or "".
func FindCheckout(starts ...string) string {
	for _, dir := range starts {
		dir, err := filepath.Abs(dir)
		if err != nil {
			continue
		}
		for {
			if data, err := os.ReadFile(filepath.Join(dir, "go.mod")); err == nil && moduleOf(data) == islmModule {
				return dir
			}
			parent := filepath.Dir(dir)
			if parent == dir {
				break
			}
			dir = parent
		}
	}
	return ""
}

var moduleLine = regexp.MustCompile(`(?m)^module\s+"?([^\s"]+)`)

func moduleOf(gomod []byte) string {
	m := moduleLine.FindSubmatch(gomod)
	if m == nil {
		return ""
	}
	return string(m[1])
}

type values struct {
	Name     string   // oil-gas
	Words    string   // oil gas
	Module   string   // Go module path
	Go       string   // language version
	Version  string   // of islm
	Indirect []string // "path version" of what the checkout requires
	Replace  string   // path of the checkout, "" for none
}

var (
	goLine      = regexp.MustCompile(`(?m)^go\s+(\S+)`)
	requireLine = regexp.MustCompile(`(?m)^(?:require)?[ \t]+([^\s()]+\.[^\s()]+)[ \t]+(v[0-9]\S*)`)
	modulePath  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._~-]*(/[A-Za-z0-9._~-]+)*$`)
)

// values fills in the template's blanks. With a checkout go.mod repeats what the
// checkout requires, and go.sum is a copy of its own, so that the plugin builds
// without asking any network.
func (p Plan) values(dir string) (values, []byte, error) {
	v := values{Name: p.Name, Words: strings.ReplaceAll(p.Name, "-", " "), Module: cmp.Or(p.Module, "example.com/islm-plugin-"+p.Name),
		Go: strings.TrimPrefix(languageVersion(), "go"), Version: "v" + sdk.Version}
	if !modulePath.MatchString(v.Module) {
		return v, nil, sdk.Diagnostics{{Severity: sdk.Error, Code: "plugin.module", Summary: fmt.Sprintf("%q is no Go module path", p.Module), Remedy: "write it like example.com/islm-plugin-" + p.Name}}.Err()
	}
	if p.Checkout == "" {
		return v, nil, nil
	}
	gomod, err := os.ReadFile(filepath.Join(p.Checkout, "go.mod"))
	if err != nil || moduleOf(gomod) != islmModule {
		return v, nil, sdk.Diagnostics{{Severity: sdk.Error, Code: "plugin.checkout", Summary: "this is not a checkout of islm", File: p.Checkout, Remedy: "name the folder whose go.mod says: module " + islmModule}}.Err()
	}
	sums, err := os.ReadFile(filepath.Join(p.Checkout, "go.sum"))
	if err != nil {
		return v, nil, fmt.Errorf("read go.sum of the checkout: %w", err)
	}
	if m := goLine.FindSubmatch(gomod); m != nil {
		v.Go = string(m[1])
	}
	for _, m := range requireLine.FindAllSubmatch(gomod, -1) {
		v.Indirect = append(v.Indirect, string(m[1])+" "+string(m[2]))
	}
	if v.Replace, err = replacePath(dir, p.Checkout); err != nil {
		return v, nil, err
	}
	return v, sums, nil
}

func languageVersion() string {
	parts := strings.SplitN(runtime.Version(), ".", 3)
	if len(parts) < 2 || !strings.HasPrefix(parts[0], "go") {
		return "go1.26"
	}
	return parts[0] + "." + strings.TrimRight(parts[1], "-abcdefghijklmnopqrstuvwxyz ")
}

// replacePath is the checkout as go.mod names it: relative where the plugin lies
// inside, so that both can move together.
func replacePath(dir, checkout string) (string, error) {
	from, err := realPath(dir)
	if err != nil {
		return "", fmt.Errorf("find the plugin's folder: %w", err)
	}
	to, err := realPath(checkout)
	if err != nil {
		return "", fmt.Errorf("find the checkout: %w", err)
	}
	if inside, err := filepath.Rel(to, from); err == nil && filepath.IsLocal(inside) {
		rel, err := filepath.Rel(from, to)
		if err == nil {
			return filepath.ToSlash(rel), nil
		}
	}
	to = filepath.ToSlash(to)
	if strings.ContainsAny(to, " \"'`()") {
		return fmt.Sprintf("%q", to), nil
	}
	return to, nil
}

// realPath resolves links of the part of a path that exists.
func realPath(p string) (string, error) {
	abs, err := filepath.Abs(p)
	if err != nil {
		return "", err
	}
	rest := ""
	for dir := abs; ; dir = filepath.Dir(dir) {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			return filepath.Join(real, rest), nil
		}
		if filepath.Dir(dir) == dir {
			return abs, nil
		}
		rest = filepath.Join(filepath.Base(dir), rest)
	}
}

func insidePlugins(dir, checkout string) bool {
	if checkout == "" {
		return false
	}
	from, err := realPath(dir)
	if err != nil {
		return false
	}
	to, err := realPath(checkout)
	return err == nil && filepath.Dir(from) == filepath.Join(to, "plugins")
}

func render(v values) (map[string][]byte, error) {
	out := map[string][]byte{}
	err := fs.WalkDir(templates, "template", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := templates.ReadFile(name)
		if err != nil {
			return err
		}
		t, err := template.New(name).Delims("[[", "]]").Option("missingkey=error").Parse(string(text))
		if err != nil {
			return err
		}
		var b bytes.Buffer
		if err := t.Execute(&b, v); err != nil {
			return err
		}
		target := strings.TrimSuffix(strings.TrimPrefix(name, "template/"), ".tmpl")
		if path.Base(target) == "gitignore" {
			target = ".gitignore"
		}
		out[target] = b.Bytes()
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("render the plugin: %w", err)
	}
	return out, nil
}

// order lists the files as an author reads them: the manifest first.
func order(files map[string][]byte) []string {
	var names []string
	for _, first := range []string{"domain.yaml", "vocab/terms.tsv", "data/messages.all.jsonl", "main.go", "main_test.go", "README.md", "go.mod", "go.sum", ".gitignore"} {
		if _, ok := files[first]; ok {
			names = append(names, first)
		}
	}
	return names
}
