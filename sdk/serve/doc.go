// Package serve runs a domain as a plugin process. It is the other half of a
// plugin's main.go:
//
//	//go:embed domain.yaml vocab data rules
//	var files embed.FS
//
//	func main() {
//		serve.Main(sdk.Domain{
//			FS:      files,
//			Readers: map[string]sdk.Reader{"phrasebank": readPhraseBank},
//		})
//	}
//
// Every call of the protocol is answered from the files and the hooks; there is
// nothing else to implement. What the package takes care of: batches and size
// limits, panics in hooks (the call fails and names the hook, the process lives),
// logging, a random generator per example, and the end of the process when the
// host is gone.
//
// A plugin never prints: stdout belongs to the protocol. Hooks log with
// sdk.Logger(ctx).
package serve
