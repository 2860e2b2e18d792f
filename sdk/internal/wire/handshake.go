package wire

import (
	"strings"

	"github.com/islm-dev/islm/sdk"
)

// The handshake of go-plugin: a plugin started without the cookie knows that a
// person started it.
const (
	CookieKey   = "ISLM_PLUGIN"
	CookieValue = "f3f5ad64-6a1c-4c0e-9a67-3c0d3f1f6c3e"
	// PluginName is the name under which go-plugin dispenses the service.
	PluginName = "domain"
	// BinaryPrefix begins the file name of every plugin: islm-plugin-finance.
	BinaryPrefix = "islm-plugin-"
	// SocketPrefix begins the name of the folder that the host makes for the
	// socket of one plugin.
	SocketPrefix = "islm-"
)

// NameOfBinary returns the plugin name that a path promises.
func NameOfBinary(path string) string {
	base := path[strings.LastIndexAny(path, `/\`)+1:]
	return strings.TrimPrefix(strings.TrimSuffix(base, ".exe"), BinaryPrefix)
}

// The version of the protocol in pb.
const (
	ProtocolMajor = sdk.ProtocolMajor
	ProtocolMinor = sdk.ProtocolMinor
)
