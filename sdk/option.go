package sdk

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ResolveOptions checks the values given for a plugin's options against their
// declaration. It returns the value of every option, defaults filled in, and all
// problems: unknown names with the nearest known one, values of another type,
// required options without a value. The value of a secret never appears.
func ResolveOptions(options []Option, given map[string]string) (map[string]string, Diagnostics) {
	var ds Diagnostics
	var names []string
	values := map[string]string{}
	for _, o := range options {
		names = append(names, o.Name)
		value, ok := given[o.Name]
		if !ok || value == "" {
			if o.Required {
				remedy := "give it a value: --set domain.options." + o.Name + "=…"
				if o.Help != "" {
					remedy += " (" + o.Help + ")"
				}
				ds.Add(Diagnostic{Severity: Error, Code: "option.missing", Path: o.Name, Summary: fmt.Sprintf("option %q needs a value", o.Name), Remedy: remedy})
				continue
			}
			if !ok {
				value = o.Default
			}
		}
		if value != "" {
			if why := badOption(o, value); why != "" {
				remedy := ""
				if o.Type == "enum" {
					remedy = didYouMean(value, o.Values)
				}
				ds.Add(Diagnostic{Severity: Error, Code: "option.value", Path: o.Name, Summary: fmt.Sprintf("option %q %s", o.Name, why), Remedy: remedy})
				continue
			}
		}
		values[o.Name] = value
	}
	for _, name := range sortedKeys(given) {
		if !slices.Contains(names, name) {
			remedy := didYouMean(name, names)
			if len(names) == 0 {
				remedy = "the plugin takes no options"
			}
			ds.Add(Diagnostic{Severity: Error, Code: "option.unknown", Path: name, Summary: fmt.Sprintf("unknown option %q", name), Remedy: remedy})
		}
	}
	return values, ds
}

// badOption says why a value does not fit an option, or "". It goes on from
// "option X …".
func badOption(o Option, value string) string {
	shown := strconv.Quote(value)
	if o.Secret {
		shown = "the given value"
	}
	var err error
	want := ""
	switch o.Type {
	case "int":
		_, err = strconv.ParseInt(value, 10, 64)
		want = "a whole number"
	case "float":
		_, err = strconv.ParseFloat(value, 64)
		want = "a number"
	case "bool":
		_, err = strconv.ParseBool(value)
		want = "true or false"
	case "enum":
		if !slices.Contains(o.Values, value) {
			return fmt.Sprintf("is %s, one of %s is wanted", shown, strings.Join(o.Values, ", "))
		}
	default:
		if strings.ContainsRune(value, 0) {
			return "contains a zero byte"
		}
	}
	if err != nil {
		return fmt.Sprintf("is %s, %s is wanted", shown, want)
	}
	return ""
}
