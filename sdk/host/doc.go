// Package host starts a plugin and talks to it.
//
//	p, err := host.Launch(ctx, host.Config{Path: path, SHA256: sum})
//	if err != nil { … }
//	defer p.Close()
//	d, err := p.Describe(ctx)
//	for ex, err := range p.Read(ctx, sdk.ReadRequest{Dataset: "tickets"}) { … }
//
// A plugin is a process of its own, reached over a private socket with mutual
// TLS, whose binary must have the checksum that the lock file gives. It inherits
// nothing of the host's environment but HOME, PATH, TMPDIR and ISLM_*.
//
// Streams are iterators. A non-fatal *sdk.DiagnosticsError among their elements
// reports problems of the data, and the stream goes on; any other error is its
// last element. Whatever goes wrong with the plugin itself (it dies, hangs,
// prints, sends too much, was changed) comes as one fatal *sdk.DiagnosticsError
// that says so, and as the same one from every call after it.
package host
