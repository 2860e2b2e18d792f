package main

import (
	"testing"

	"github.com/islm-dev/islm/sdk/sdktest"
)

func TestConform(t *testing.T) { sdktest.Conform(t, domain()) }
