package kind

import (
	"reflect"
	"strings"
)

// Param is one key of a kind's do block.
type Param struct{ Name, Type, Doc string }

// Params describes the keys of a kind as a reference shows them; the keys of a
// slot of template.v0 follow as slots.*.
func Params(kind string) []Param {
	var p any
	switch kind {
	case "swap.v0":
		p = swapParams{}
	case "entity.v0":
		p = entityParams{}
	case "template.v0":
		return append(params(templateParams{}, ""), params(slotSpec{}, "slots.*.")...)
	case "number.v0":
		p = numberParams{}
	case "abbreviate.v0", "expand.v0":
		p = abbreviateParams{}
	case "negate.v0":
		p = negateParams{}
	case "noise.v0":
		p = noiseParams{}
	case "code.v0":
		p = codeParams{}
	case "insert.v0":
		p = insertParams{}
	case "delete.v0":
		p = deleteParams{}
	case "shuffle.v0":
		p = shuffleParams{}
	case "mask.v0":
		p = maskParams{}
	case "contrast.v0":
		p = contrastParams{}
	case "regex.v0":
		p = regexParams{}
	case "tokens.v0":
		p = tokensParams{}
	case "mention.v0":
		p = mentionParams{}
	case "label.v0":
		p = labelParams{}
	case "mixup.v0":
		p = mixupParams{}
	default:
		return nil
	}
	return params(p, "")
}

// params reads the tags of a struct, so that what is decoded and what is
// described cannot differ.
func params(p any, prefix string) []Param {
	t := reflect.TypeOf(p)
	var out []Param
	for i := range t.NumField() {
		f := t.Field(i)
		doc := f.Tag.Get("doc")
		if f.Tag.Get("required") == "true" {
			doc += "; required"
		}
		out = append(out, Param{prefix + f.Tag.Get("yaml"), typeName(f.Type), doc})
	}
	return out
}

func typeName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return typeName(t.Elem())
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "whole number"
	case reflect.Float64:
		return "number"
	case reflect.Slice:
		if strings.HasSuffix(t.Name(), "Names") {
			return "text or list of texts"
		}
		return "list of " + typeName(t.Elem()) + "s"
	case reflect.Map:
		return "mapping"
	}
	return "text"
}
