package sdk

// Version is the version of this SDK and of the islm it belongs to.
const Version = "0.1.0"

// ProtocolMajor and ProtocolMinor are the version of the plugin protocol that
// this SDK speaks. Majors must be equal on both sides; a higher minor only adds.
const (
	ProtocolMajor = 1
	ProtocolMinor = 0
)
