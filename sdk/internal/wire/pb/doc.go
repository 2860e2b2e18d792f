// Package pb is the generated code of the plugin protocol islm.plugin.v1, made
// from islm_plugin_v1.proto by scripts/protoc. Nothing outside sdk uses it.
package pb

//go:generate ../../../../scripts/protoc
