// Package scaffold renders the skeleton of a plugin for `islm plugin new`: the
// files of template/, with the name filled in. What it writes builds, passes
// `islm plugin check` and trains before the author has changed a line.
package scaffold
