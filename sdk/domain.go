package sdk

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"io/fs"
	"iter"
	"math/rand/v2"
	"slices"

	"github.com/hashicorp/go-hclog"
)

// Domain is a plugin: its files, and the few hooks that files cannot express.
// Hooks are nil where YAML suffices.
type Domain struct {
	// FS is the domain's folder, with domain.yaml at its root; usually an
	// embed.FS.
	FS fs.FS
	// Packs are shared rule packs, each with pack.yaml at its root. Their files
	// are served after the domain's own rules.
	Packs []fs.FS
	// Readers read datasets in formats of their own, by the name that
	// domain.yaml gives as the dataset's hook.
	Readers map[string]Reader
	// Augmenters are the functions behind rules of kind code.v0, by the rule's
	// func.
	Augmenters map[string]Augmenter
	// Terms adds computed terms to those of vocab/*.tsv.
	Terms func(ctx context.Context) iter.Seq2[Term, error]
	// Facts adds computed entities and facts to those of kg/*.tsv. All its
	// entities come before its first fact.
	Facts func(ctx context.Context) iter.Seq2[FactItem, error]
}

// Reader streams one split of a dataset. It stops at the first error, which ends
// the stream; a *DiagnosticsError reports problems of the data with their place.
type Reader func(ctx context.Context, req ReadRequest) iter.Seq2[Example, error]

// Augmenter rewrites one example into any number of new ones. It is a pure
// function of the example and the generator, which is seeded from the run's
// seed, the augmenter's name and the example's ID: neither order nor batch nor
// time may show in the result. Parent is filled in by the caller of the hook.
type Augmenter func(ctx context.Context, ex Example, rng *rand.Rand) ([]Example, error)

// ReadRequest asks for one split of a dataset.
type ReadRequest struct {
	Dataset string `json:"dataset"`
	// Split is one of the dataset's splits: train, valid, test or all. "" means
	// every split, one after the other.
	Split string `json:"split,omitempty"`
	// Limit ends the stream after so many examples; 0 means all.
	Limit int `json:"limit,omitempty"`
	// Path is the file or folder that a reader hook reads, as the person named
	// it; "" where the dataset is embedded or found by an option.
	Path string `json:"path,omitempty"`
}

// AugmentRequest names the augmenter of a stream and what it depends on.
type AugmentRequest struct {
	Augmenter string            `json:"augmenter"`
	Params    map[string]string `json:"params,omitempty"` // the rule's params, read with Params
	Seed      uint64            `json:"seed"`
}

// AugmentRand returns the generator that an Augmenter is given for one example:
// ChaCha8 keyed by the SHA-256 of seed, augmenter and example ID.
func AugmentRand(seed uint64, augmenter, id string) *rand.Rand {
	b := []byte("islm/augment.v1\x00")
	b = binary.LittleEndian.AppendUint64(b, seed)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(augmenter)))
	b = append(append(b, augmenter...), id...)
	return rand.New(rand.NewChaCha8(sha256.Sum256(b)))
}

// Splits are the names that a split of a dataset can have, in the order in which
// they are read.
func Splits() []string { return []string{"train", "valid", "test", "all"} }

// Env is what a hook is given through its context besides its arguments.
type Env struct {
	Logger  hclog.Logger
	Options map[string]string // every option of the manifest, defaults filled in
	DataDir string            // folder for the plugin's own files, "" if none
	Params  map[string]string // parameters of the code rule, in an Augmenter
}

type envKey struct{}

// WithEnv returns a context that carries env to the hooks. Tests of hooks use it;
// in a plugin process package serve does.
func WithEnv(ctx context.Context, env Env) context.Context {
	return context.WithValue(ctx, envKey{}, env)
}

// EnvOf returns what WithEnv put into ctx, or an empty Env.
func EnvOf(ctx context.Context) Env {
	env, _ := ctx.Value(envKey{}).(Env)
	return env
}

// Logger returns the logger of a hook; it is silent outside a plugin process and
// never nil. A plugin writes to nothing else: its stdout belongs to the protocol.
func Logger(ctx context.Context) hclog.Logger {
	if l := EnvOf(ctx).Logger; l != nil {
		return l
	}
	return hclog.NewNullLogger()
}

// OptionValue returns the effective value of one of the manifest's options, or "".
func OptionValue(ctx context.Context, name string) string { return EnvOf(ctx).Options[name] }

// Param returns one parameter of the code rule that an Augmenter runs for, or "".
func Param(ctx context.Context, name string) string { return EnvOf(ctx).Params[name] }

// DataDir returns the folder that a plugin may keep files in, or "".
func DataDir(ctx context.Context) string { return EnvOf(ctx).DataDir }

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
