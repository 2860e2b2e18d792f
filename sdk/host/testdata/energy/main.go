// Command islm-plugin-energy is the plugin that the tests of package host build.
package main

import (
	"embed"

	"github.com/islm-dev/islm/sdk"
	"github.com/islm-dev/islm/sdk/serve"
)

//go:embed domain.yaml data
var files embed.FS

func main() {
	serve.Main(sdk.Domain{FS: files})
}
