package modelstore

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/islm-dev/islm/sdk"
)

// problem is one diagnostic as an error: there is no model to go on with.
func problem(code, summary, file, remedy string) error {
	return &sdk.DiagnosticsError{
		Diagnostics: sdk.Diagnostics{{Severity: sdk.Error, Code: code, Summary: summary, File: file, Remedy: remedy}},
		Fatal:       true,
	}
}

// detailed adds lines of explanation and an underlying cause to a problem.
func detailed(err error, detail string, cause error) error {
	var e *sdk.DiagnosticsError
	if errors.As(err, &e) {
		e.Diagnostics[0].Detail = detail
		e.Cause = cause
	}
	return err
}

// unknownModel remembers the names near by, for the message of a later failure.
type unknownModel struct{ names []string }

func (*unknownModel) Error() string { return "not on this machine" }

func unknown(ref string, names []string) error {
	detail := "The store is empty."
	if len(names) > 0 {
		detail = "Known here: " + strings.Join(names, ", ")
	}
	remedy := fmt.Sprintf("`islm model pull %s` fetches it from the hub", ref)
	if near := sdk.Nearest(ref, names); near != "" {
		remedy = fmt.Sprintf("did you mean %q? If not, %s", near, remedy)
	}
	return detailed(problem("model.unknown", fmt.Sprintf("no model %q on this machine", ref), "", remedy), detail, &unknownModel{names: names})
}

func known(err error) []string {
	var u *unknownModel
	if errors.As(err, &u) {
		return u.names
	}
	return nil
}

// suggest adds the nearest name of the store to a failed fetch.
func suggest(err error, ref string, names []string) error {
	near := sdk.Nearest(ref, names)
	var e *sdk.DiagnosticsError
	if near == "" || !errors.As(err, &e) || len(e.Diagnostics) == 0 {
		return err
	}
	d := &e.Diagnostics[0]
	d.Remedy = strings.TrimPrefix(fmt.Sprintf("%s; or did you mean %q, which is in the store?", d.Remedy, near), "; ")
	return err
}

func hasCode(err error, code string) bool {
	ds, _, _ := sdk.DiagnosticsOf(err)
	for _, d := range ds {
		if d.Code == code {
			return true
		}
	}
	return false
}

// hubName is one half of a hub id: letters, digits, '.', '_' and '-', at most 96
// characters, as the hub itself demands.
var hubName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9._-]{0,95})$`)

// CheckID returns the diagnostic for a text that cannot be a hub id (name or
// org/name), else nil.
func CheckID(id string) error {
	parts := strings.Split(id, "/")
	ok := len(parts) <= 2 && !strings.Contains(id, "--") && !strings.Contains(id, "..") && !strings.HasSuffix(id, ".git")
	for _, p := range parts {
		ok = ok && hubName.MatchString(p) && !strings.HasSuffix(p, ".") && !strings.HasSuffix(p, "-")
	}
	if ok || len(parts) == 1 && storeName(id) {
		return nil
	}
	return problem("model.id", fmt.Sprintf("%q is neither a folder, nor a name of the store, nor a hub id", id), "",
		"a hub id is name or org/name, of letters, digits, '.', '_' and '-'")
}

// storeName reports whether id may be a folder of the store (org--name).
func storeName(id string) bool {
	org, name, ok := strings.Cut(id, "--")
	return ok && hubName.MatchString(org) && hubName.MatchString(name) && !strings.Contains(id, "..")
}
