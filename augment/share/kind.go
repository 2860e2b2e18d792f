package share

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/islm-dev/islm/sdk"
)

// Kind says what an artifact holds.
type Kind string

// The kinds of artifacts.
const (
	Pack       Kind = "pack"       // rule pack: pack.yaml and rule files
	Graph      Kind = "graph"      // knowledge graph: canonical N-Triples, compressed
	Vocabulary Kind = "vocabulary" // tokenizer.json, vocab.txt, term lists
	Plugin     Kind = "plugin"     // one binary islm-plugin-NAME
)

// Kinds lists all kinds.
func Kinds() []Kind { return []Kind{Pack, Graph, Vocabulary, Plugin} }

// Folder is the name of the folder that holds things of this kind in ISLM_HOME
// and in a vendor folder.
func (k Kind) Folder() string {
	if k == Vocabulary {
		return "vocabularies"
	}
	return string(k) + "s"
}

// Media types of an artifact's parts. They follow the OCI image specification 1.1:
// a manifest with artifactType, a config, one layer with the content and at most
// one with signatures.
const (
	mediaConfig     = "application/vnd.islm.artifact.v0+json"
	mediaContent    = "application/vnd.islm.content.v0.tar+gzip"
	mediaSignatures = "application/vnd.islm.signatures.v0"
)

func (k Kind) mediaType() string { return "application/vnd.islm." + string(k) + ".v0" }

// Limits bound what one artifact may hold. They are part of no format: whoever
// reads chooses.
type Limits struct {
	Bytes   int64 // of the tar
	File    int64 // of one file
	Entries int   // files
	// Ratio is how many times larger than its compressed form the tar may be,
	// counted once it has passed 1 MiB.
	Ratio int64
}

// Limits returns the limits for a kind.
func (k Kind) Limits() Limits {
	switch k {
	case Graph:
		return Limits{Bytes: 8 << 30, File: 8 << 30, Entries: 1000, Ratio: 200}
	case Vocabulary:
		return Limits{Bytes: 512 << 20, File: 512 << 20, Entries: 1000, Ratio: 200}
	case Plugin:
		return Limits{Bytes: 512 << 20, File: 512 << 20, Entries: 100, Ratio: 200}
	}
	return Limits{Bytes: 64 << 20, File: 16 << 20, Entries: 4000, Ratio: 200}
}

// Limits of what surrounds the content.
const (
	maxManifest   = 64 << 10
	maxConfig     = 16 << 10
	maxSignatures = 8 << 10
	maxIndex      = 4 << 20 // index.json of a layout folder
)

// ID names one version of one thing.
type ID struct {
	Kind    Kind   `json:"kind"`
	Name    string `json:"name"`
	Version string `json:"version"` // semantic version 2.0.0 without v
}

// String gives "pack fx 1.2.0".
func (id ID) String() string { return fmt.Sprintf("%s %s %s", id.Kind, id.Name, id.Version) }

// Content is what a signature states and a lock pins: an ID with the sha256
// (lower-case hexadecimal) and the size in bytes of its canonical tar.
type Content struct {
	ID
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
}

// Pin is what a lock holds of an artifact.
type Pin struct {
	Content
	Source string `json:"source,omitempty"` // where it came from, with the digest of the manifest
}

var (
	nameForm   = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	sha256Form = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

const maxName = 100

// check reports what is wrong with an ID.
func (id ID) check() (ds sdk.Diagnostics) {
	if !slices.Contains(Kinds(), id.Kind) {
		ds.Add(sdk.Diagnostic{Code: "share.kind", Summary: fmt.Sprintf("there is no kind %q", id.Kind), Remedy: "known: pack, graph, vocabulary, plugin"})
	}
	if !nameForm.MatchString(id.Name) || len(id.Name) > maxName {
		ds.Add(sdk.Diagnostic{Code: "share.name", Summary: fmt.Sprintf("%q is no name for an artifact", short(id.Name)),
			Remedy: "use lower-case letters and digits in words joined by -, starting with a letter"})
	}
	if _, err := semver.StrictNewVersion(id.Version); err != nil || len(id.Version) > maxName {
		ds.Add(sdk.Diagnostic{Code: "share.version", Summary: fmt.Sprintf("%q is no semantic version", short(id.Version)), Remedy: "write it as 1.2.0 or 1.2.0-rc.1"})
	}
	return ds
}

// check reports what is wrong with a Content.
func (c Content) check() sdk.Diagnostics {
	ds := c.ID.check()
	if !sha256Form.MatchString(c.SHA256) {
		ds.Errorf("share.digest", "%q is no sha256 in lower-case hexadecimal digits", short(c.SHA256))
	}
	if c.Size <= 0 {
		ds.Errorf("share.limit", "the content cannot have %d bytes", c.Size)
	} else if limit := c.Kind.Limits().Bytes; c.Size > limit {
		ds.Errorf("share.limit", "the content has %d bytes, a %s may have %d", c.Size, c.Kind, limit)
	}
	return ds
}

// compareVersions orders two versions that check has accepted; what is no version
// comes first.
func compareVersions(a, b string) int {
	va, errA := semver.StrictNewVersion(a)
	vb, errB := semver.StrictNewVersion(b)
	switch {
	case errA != nil && errB != nil:
		return 0
	case errA != nil:
		return -1
	case errB != nil:
		return 1
	}
	return va.Compare(vb)
}

// fileName is how an archive of id is called: fx-1.2.0.pack.tar.
func (id ID) fileName() string { return fmt.Sprintf("%s-%s.%s.tar", id.Name, id.Version, id.Kind) }

// idOfFile reads the ID back from an archive's file name.
func idOfFile(base string) (ID, bool) {
	for _, k := range Kinds() {
		stem, ok := strings.CutSuffix(base, "."+string(k)+".tar")
		if !ok {
			continue
		}
		for i := range stem {
			if stem[i] != '-' {
				continue
			}
			id := ID{Kind: k, Name: stem[:i], Version: stem[i+1:]}
			if !id.check().HasErrors() {
				return id, true
			}
		}
	}
	return ID{}, false
}

// refuse makes the error of a refusal.
func refuse(code, remedy, format string, args ...any) error {
	return sdk.Diagnostics{{Severity: sdk.Error, Code: code, Summary: fmt.Sprintf(format, args...), Remedy: remedy}}.Err()
}

// short bounds text of unknown origin for a message.
func short(s string) string { return shorten(s, 80) }

func shorten(s string, n int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if r := []rune(s); len(r) > n {
		return string(r[:n]) + "…"
	}
	return s
}
