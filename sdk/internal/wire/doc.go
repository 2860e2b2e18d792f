// Package wire turns the types of package sdk into messages of the plugin
// protocol and back, and moves long streams of them: batching, size limits,
// back-pressure, idle time and cancellation live in stream.go and nowhere else.
//
// The protocol is pb/islm_plugin_v1.proto. The package knows nothing of processes;
// packages serve and host are its two users.
package wire
