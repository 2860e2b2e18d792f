// Package share moves rule packs, knowledge graphs, vocabularies and plugin
// binaries between teams: as OCI artifacts in any registry or layout folder,
// signed with minisign keys, and accepted only as far as a policy and a lock say.
//
// One digest names a thing everywhere. The files of a folder make one tar that
// has a single possible form (sorted, without times, owners and links); its sha256
// stands in the lock, in the signature and in the registry, and can be computed
// again from the files at any later time. Compression is a matter of transport and
// of no identity.
//
// What comes in passes, in this order, before a single byte is placed where it
// would be used: the manifest's form and size; the signature's own statement
// (kind, name, version, digest, size) against the policy; the lock, which neither
// a moved tag nor a downgrade passes; decompression within limits of size, ratio
// and number of files; each path; the digest; the signature over the content. A
// refusal leaves no file behind and keeps what was installed. An installation is
// one rename.
//
// The package is not a catalog: it reads no lock file and writes none. A caller
// hands over a Pin and gets one back.
package share
