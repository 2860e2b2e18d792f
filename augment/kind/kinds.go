// Package kind holds what rules can do: one file per kind.
package kind

import "github.com/islm-dev/islm/augment/edit"

// All lists the kinds in the order of the guide.
func All() []edit.Kind { return nil }
