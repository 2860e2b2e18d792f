package main

import (
	"embed"

	"github.com/islm-dev/islm/sdk"
	"github.com/islm-dev/islm/sdk/serve"
)

//go:embed domain.yaml vocab kg data rules
var files embed.FS

func domain() sdk.Domain { return sdk.Domain{FS: files} }

func main() { serve.Main(domain()) }
