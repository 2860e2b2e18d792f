package share

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"io"
	"strconv"
	"strings"

	"aead.dev/minisign"

	"github.com/islm-dev/islm/sdk"
)

// Key is a private key that signs. The program minisign reads and writes the same
// files.
type Key struct{ private minisign.PrivateKey }

// NewKey makes a key from the system's random numbers.
func NewKey() (Key, error) {
	_, private, err := minisign.GenerateKey(nil)
	if err != nil {
		return Key{}, fmt.Errorf("make a key: %w", err)
	}
	return Key{private}, nil
}

// Encode gives the text of the private key's file, encrypted unless the password
// is empty. Encryption takes seconds and 1 GiB of memory, on purpose.
func (k Key) Encode(password string) ([]byte, error) {
	text, err := k.private.MarshalText()
	if password != "" {
		text, err = minisign.EncryptKey(password, k.private)
	}
	if err != nil {
		return nil, fmt.Errorf("encode the key: %w", err)
	}
	return append(text, '\n'), nil
}

// Encrypted reports whether the text of a private key's file needs a password.
func Encrypted(text []byte) bool { return minisign.IsEncrypted(trimKey(text)) }

// ReadKey reads the text of a private key's file.
func ReadKey(text []byte, password string) (Key, error) {
	text = trimKey(text)
	var k Key
	var err error
	if minisign.IsEncrypted(text) {
		if k.private, err = minisign.DecryptKey(password, text); err != nil {
			return Key{}, refuse("share.key", "the file or the password is another one", "the private key cannot be decrypted")
		}
		return k, nil
	}
	if err := k.private.UnmarshalText(text); err != nil {
		return Key{}, refuse("share.key", "name the file that 'islm rules sign --new-key' or 'minisign -G' wrote", "this is no private key")
	}
	return k, nil
}

func trimKey(text []byte) []byte {
	return bytes.TrimSpace(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")))
}

// Public gives the public key as one word, as it stands in a policy.
func (k Key) Public() string {
	p, _ := k.private.Public().(minisign.PublicKey)
	return p.String()
}

// PublicFile gives the text of the public key's file.
func (k Key) PublicFile() []byte {
	p, _ := k.private.Public().(minisign.PublicKey)
	text, _ := p.MarshalText() // never fails
	return append(text, '\n')
}

// KeyID is the short name of a public key, as minisign prints it, or "".
func KeyID(public string) string {
	p, err := parsePublic(public)
	if err != nil {
		return ""
	}
	return keyID(p.ID())
}

func keyID(id uint64) string { return fmt.Sprintf("%016X", id) }

func parsePublic(text string) (minisign.PublicKey, error) {
	var p minisign.PublicKey
	err := p.UnmarshalText([]byte(strings.TrimSpace(text)))
	return p, err
}

// comment is the trusted comment of a signature over c. It says all that a
// signature vouches for, and is signed itself: it can be judged before the content
// is there.
func (c Content) comment() string {
	return fmt.Sprintf("islm %s %s %s sha256:%s %d", c.Kind, c.Name, c.Version, c.SHA256, c.Size)
}

func parseComment(s string) (Content, bool) {
	f := strings.Split(s, " ")
	if len(f) != 6 || f[0] != "islm" {
		return Content{}, false
	}
	size, err := strconv.ParseInt(f[5], 10, 64)
	sha, ok := strings.CutPrefix(f[4], "sha256:")
	c := Content{ID: ID{Kind: Kind(f[1]), Name: f[2], Version: f[3]}, SHA256: sha, Size: size}
	if err != nil || !ok || c.check().HasErrors() || c.comment() != s {
		return Content{}, false
	}
	return c, true
}

// Sign signs c, whose canonical tar is read from content, and returns a signature
// file. The program minisign verifies it as one over the tar.
func (k Key) Sign(c Content, content io.Reader) ([]byte, error) {
	if err := c.check().Err(); err != nil {
		return nil, err
	}
	s := newSum()
	r := minisign.NewReader(io.TeeReader(content, s))
	if _, err := io.Copy(io.Discard, r); err != nil {
		return nil, fmt.Errorf("sign %s: %w", c.ID, err)
	}
	if s.hex() != c.SHA256 || s.n != c.Size {
		return nil, refuse("share.digest", "pack it again", "%s changed while it was signed", c.ID)
	}
	return r.SignWithComments(k.private, c.comment(), "signature of islm, key "+keyID(k.private.ID())), nil
}

// Signature is one signature as read, with nothing proved.
type Signature struct {
	KeyID  string  `json:"key_id"`
	States Content `json:"states"` // what its trusted comment says
	raw    []byte
	parsed minisign.Signature
}

// ParseSignatures reads a signature file: one signature of four lines after the
// other, which is minisign's form. A second signature of one key is an error.
func ParseSignatures(data []byte) ([]Signature, error) {
	if len(data) > maxSignatures {
		return nil, refuse("share.signature", "", "the signatures take %d bytes, the limit is %d", len(data), maxSignatures)
	}
	bad := func(why string) error {
		return refuse("share.signature", "sign it again with 'islm rules sign'", "the signatures cannot be read: %s", why)
	}
	text := strings.TrimSuffix(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n")
	if text == "" {
		return nil, nil
	}
	lines := strings.Split(text, "\n")
	if len(lines)%4 != 0 {
		return nil, bad("a signature has four lines")
	}
	var all []Signature
	seen := map[uint64]bool{}
	for i := 0; i < len(lines); i += 4 {
		s := Signature{raw: []byte(strings.Join(lines[i:i+4], "\n") + "\n")}
		if err := s.parsed.UnmarshalText(s.raw); err != nil {
			return nil, bad(short(err.Error()))
		}
		if s.parsed.Algorithm != minisign.HashEdDSA {
			return nil, bad("a signature is of minisign's old kind, which does not hash")
		}
		var ok bool
		if s.States, ok = parseComment(s.parsed.TrustedComment); !ok {
			return nil, bad(fmt.Sprintf("the trusted comment %q is not islm's", short(s.parsed.TrustedComment)))
		}
		if seen[s.parsed.KeyID] {
			return nil, bad("a key signs twice")
		}
		seen[s.parsed.KeyID] = true
		s.KeyID = keyID(s.parsed.KeyID)
		all = append(all, s)
	}
	return all, nil
}

// AddSignature returns a signature file with one more signature in front; an older
// one of the same key is replaced.
func AddSignature(file, more []byte) ([]byte, error) {
	fresh, err := ParseSignatures(more)
	if err != nil {
		return nil, err
	}
	old, err := ParseSignatures(file)
	if err != nil {
		return nil, err
	}
	out := bytes.Clone(more)
	for _, s := range old {
		if len(fresh) > 0 && s.KeyID != fresh[0].KeyID {
			out = append(out, s.raw...)
		}
	}
	return out, nil
}

// statedBy reports whether the trusted comment was signed by the key. The content
// need not be there.
func (s Signature) statedBy(p minisign.PublicKey) bool {
	raw, err := base64.StdEncoding.DecodeString(p.String())
	if err != nil || len(raw) != 10+ed25519.PublicKeySize || s.parsed.KeyID != p.ID() {
		return false
	}
	message := append(bytes.Clone(s.parsed.Signature[:]), s.parsed.TrustedComment...)
	return ed25519.Verify(raw[10:], message, s.parsed.CommentSignature[:])
}

// judged is a signature that a policy's key has given to a content.
type judged struct {
	Signature
	key PolicyKey
	pub minisign.PublicKey
}

// verify checks the signature over a content that r has read to its end.
func (j judged) verify(r *minisign.Reader) error {
	if !r.Verify(j.pub, j.raw) {
		return refuse("share.signature", "do not use it; ask the publisher", "the signature of key %s does not fit the content of %s", j.key.ID, j.States.ID)
	}
	return nil
}

// checkStatements demands that each signature speaks of c.
func checkStatements(c Content, sigs []Signature) error {
	var ds sdk.Diagnostics
	for _, s := range sigs {
		if s.States != c {
			ds.Add(sdk.Diagnostic{Code: "share.signature", Summary: fmt.Sprintf("the signature of key %s is for %s, not for %s", s.KeyID, s.States.ID, c.ID),
				Detail: fmt.Sprintf("signed: sha256 %s, %d bytes\nhere:   sha256 %s, %d bytes", s.States.SHA256, s.States.Size, c.SHA256, c.Size), Remedy: "do not use it; ask the publisher"})
		}
	}
	return ds.Err()
}
