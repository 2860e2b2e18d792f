// Package catalog finds, installs, verifies and launches plugins.
//
// A plugin is a binary called islm-plugin-NAME. Nothing runs that is not locked:
// islm.lock.yaml ([Lock]) names each plugin with the sha256 of its binary, and is
// written only by [Catalog.Install] and, for the plugins that come with islm, by
// [Catalog.LockDir]. Find looks in this order:
//
//	--dev PATH                    a binary or a source folder, taken without a lock
//	islm.lock.yaml in a parent    the project's lock; binaries beside it, in its plugins/ or in ISLM_HOME/plugins
//	ISLM_HOME/plugins             locked by ISLM_HOME/islm.lock.yaml
//	bin/plugins                   beside the executable, with its own islm.lock.yaml
//
// The first place that locks a name decides: a binary that differs from its lock
// is an error and never a reason to look further. The same file has room for rule
// packs and knowledge graphs.
//
// What goes wrong here is told as a diagnostic inside the error
// ([sdk.DiagnosticsOf]), always with the command that helps.
package catalog
