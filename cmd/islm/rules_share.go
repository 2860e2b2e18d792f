package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/islm-dev/islm/augment"
	"github.com/islm-dev/islm/augment/share"
	"github.com/islm-dev/islm/core/catalog"
	"github.com/islm-dev/islm/sdk"
)

// rulesShare are the commands that move packs between teams.
func (a *app) rulesShare() []*cobra.Command {
	return []*cobra.Command{a.rulesPack(), a.rulesSign(), a.rulesVerify(), a.rulesPush(), a.rulesPull(), a.rulesDiff(), a.rulesVendor()}
}

// idFlags name what is no rule pack, because a pack says its name itself.
type idFlags struct{ kind, name, version string }

func (f *idFlags) register(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.kind, "kind", "pack", "pack, graph, vocabulary or plugin")
	fs.StringVar(&f.name, "name", "", "name of what is no rule pack (a pack's stands in pack.yaml)")
	fs.StringVar(&f.version, "pack-version", "", "version of what is no rule pack, as 1.2.0")
	complete(cmd, "kind", func(string) []string { return []string{"pack", "graph", "vocabulary", "plugin"} })
}

func (f *idFlags) id(dir string) (share.ID, error) {
	if f.kind == string(share.Pack) {
		if f.name != "" || f.version != "" {
			return share.ID{}, usageError{errors.New("a pack's name and version stand in its pack.yaml")}
		}
		id, err := share.PackID(os.DirFS(dir))
		if errors.Is(err, os.ErrNotExist) {
			err = fmt.Errorf("no folder %s: %w", dir, os.ErrNotExist)
		}
		return id, err
	}
	return share.ID{Kind: share.Kind(f.kind), Name: f.name, Version: f.version}, nil
}

// keyFlags say which key signs.
type keyFlags struct {
	file  string
	stdin bool
}

func (f *keyFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.file, "key", "", "sign with the private key in this file")
	cmd.Flags().BoolVar(&f.stdin, "key-password-stdin", false, "read the password of the key from stdin")
}

// read reads the private key; the password comes from stdin or the terminal.
func (f *keyFlags) read(a *app) (share.Key, error) {
	text, err := os.ReadFile(f.file)
	if err != nil {
		return share.Key{}, fmt.Errorf("read the key: %w", err)
	}
	if st, err := os.Stat(f.file); err == nil && st.Mode().Perm()&0o077 != 0 {
		a.problems(sdk.Diagnostics{{Severity: sdk.Warning, Code: "share.key", File: f.file, Summary: "others can read this private key", Remedy: "chmod 600 " + f.file}})
	}
	password := ""
	if share.Encrypted(text) {
		if password, err = a.password("Password of the key: ", f.stdin); err != nil {
			return share.Key{}, err
		}
	}
	return share.ReadKey(text, password)
}

// password reads one line from stdin, or asks on a terminal.
func (a *app) password(prompt string, stdin bool) (string, error) {
	if stdin {
		line, err := io.ReadAll(io.LimitReader(a.stdin, 4096))
		if err != nil {
			return "", fmt.Errorf("read the password: %w", err)
		}
		return strings.TrimRight(string(line), "\r\n"), nil
	}
	f, ok := a.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return "", usageError{errors.New("a password is needed: give it on stdin with --password-stdin or --key-password-stdin")}
	}
	fmt.Fprint(a.stderr, prompt)
	line, err := term.ReadPassword(int(f.Fd()))
	fmt.Fprintln(a.stderr)
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return string(line), nil
}

// remoteFlags say how a registry is reached.
type remoteFlags struct {
	share.Remote
	stdin bool
	total time.Duration
}

func (f *remoteFlags) register(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.Username, "username", "", "user of the registry (default: docker's configuration)")
	fs.BoolVar(&f.stdin, "password-stdin", false, "read the registry's password from stdin")
	fs.StringVar(&f.CAFile, "ca-file", "", "PEM file with certificate authorities to trust besides the system's")
	fs.BoolVar(&f.PlainHTTP, "plain-http", false, "speak HTTP without TLS; credentials go over it to this machine only")
	fs.DurationVar(&f.Remote.Timeout, "timeout", 30*time.Second, "wait this long for a connection, an answer, the next bytes")
	fs.DurationVar(&f.total, "total-timeout", time.Hour, "give up after this time")
	fs.IntVar(&f.Retries, "retries", 4, "try again this often when the network or the server fails (-1 = never)")
}

// open opens references; the context ends with the total timeout.
func (f *remoteFlags) start(a *app, cmd *cobra.Command) (context.Context, context.CancelFunc, error) {
	if f.stdin {
		if f.Username == "" {
			return nil, nil, usageError{errors.New("--password-stdin needs --username")}
		}
		var err error
		if f.Password, err = a.password("", true); err != nil {
			return nil, nil, err
		}
	} else if f.Username != "" {
		var err error
		if f.Password, err = a.password("Password of "+f.Username+": ", false); err != nil {
			return nil, nil, err
		}
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), f.total)
	return ctx, cancel, nil
}

// custody is what decides on things from others: the lock and the policies.
type custody struct {
	home, file, dir string // lock file and its folder
	lock            *catalog.Lock
	policies        []*share.Policy
	store           share.Store
}

// custody reads the lock and the policies that count here. policy replaces the
// policies of project and home, "" does not.
func (a *app) custody(policy string) (*custody, error) {
	home, err := a.home()
	if err != nil {
		return nil, err
	}
	path, err := catalog.DefaultPath(home)
	if err != nil {
		return nil, err
	}
	c := &custody{home: home, file: path.File(), store: share.Store{Home: home}}
	c.dir = filepath.Dir(c.file)
	l, ds, err := catalog.ReadLock(c.file)
	if err != nil {
		return nil, err
	}
	if c.lock = l; ds.HasErrors() {
		return nil, ds.Err()
	}
	if policy != "" {
		p, ds, err := share.ReadPolicy(policy)
		if err != nil {
			return nil, err
		}
		c.policies = []*share.Policy{p}
		return c, ds.Err()
	}
	c.policies, err = share.FindPolicies(path.Work, home)
	return c, err
}

// locked looks up a pin. Plugins are locked by their binary, which inspect compares.
func (c *custody) locked(k share.Kind, name string) (share.Pin, bool) {
	if k == share.Plugin {
		return share.Pin{}, false
	}
	p, ok := c.lock.Find(k.Folder(), name)
	return sharePin(k, p), ok
}

func sharePin(k share.Kind, p catalog.Pin) share.Pin {
	return share.Pin{Content: share.Content{ID: share.ID{Kind: k, Name: p.Name, Version: p.Version}, SHA256: p.SHA256, Size: p.Size}, Source: p.Source}
}

// pins lists what is locked and can be vendored.
func (c *custody) pins() []share.Pin {
	var all []share.Pin
	for _, s := range []struct {
		kind share.Kind
		pins []catalog.Pin
	}{{share.Pack, c.lock.Packs}, {share.Graph, c.lock.Graphs}, {share.Vocabulary, c.lock.Vocabularies}} {
		for _, p := range s.pins {
			all = append(all, sharePin(s.kind, p))
		}
	}
	slices.SortFunc(all, func(a, b share.Pin) int { return strings.Compare(a.ID.String(), b.ID.String()) })
	return all
}

// binaries lists the locked plugins with the files that they stand for.
func (c *custody) binaries(a *app, cmd *cobra.Command) ([]share.Binary, error) {
	if len(c.lock.Plugins) == 0 {
		return nil, nil
	}
	there, err := a.catalog(cmd, nil)
	if err != nil {
		return nil, err
	}
	var all []share.Binary
	var ds sdk.Diagnostics
	for _, p := range c.lock.Plugins {
		e, err := there.Find(p.Name)
		if problems, _, ok := sdk.DiagnosticsOf(err); ok {
			ds.Add(problems...)
			continue
		} else if err != nil {
			return nil, err
		}
		all = append(all, share.Binary{Content: share.Content{ID: share.ID{Kind: share.Plugin, Name: p.Name, Version: p.Version}, SHA256: p.SHA256, Size: p.Size}, File: e.Path})
	}
	return all, ds.Err()
}

// vendor is the vendor folder beside the lock.
func (c *custody) vendor() share.Vendor {
	return share.Vendor{Dir: filepath.Join(c.dir, share.VendorFolder)}
}

// record writes a pin into the lock, unless the lock has changed meanwhile.
func (c *custody) record(in *share.Installed) error {
	section := in.Kind.Folder()
	before, _ := c.lock.Find(section, in.Name)
	pin := catalog.Pin{Name: in.Name, Version: in.Version, SHA256: in.SHA256, Size: in.Size, Source: c.portable(in.Source)}
	changed := false
	err := catalog.UpdateLock(c.home, c.file, func(l *catalog.Lock) {
		if now, _ := l.Find(section, in.Name); now != before {
			changed = true
			return
		}
		l.Set(section, pin)
	})
	if err == nil && changed {
		err = sdk.Diagnostics{{Severity: sdk.Error, Code: "lock.changed", File: c.file, Summary: in.Name + " was locked by another command meanwhile", Remedy: "look at the lock, then try again"}}.Err()
	}
	if err == nil {
		c.lock.Set(section, pin)
	}
	return err
}

const layoutPrefix = "oci:"

// portable writes the folder of a layout as seen from the lock, so that a project
// can be moved; resolve is the way back.
func (c *custody) portable(source string) string {
	p, ok := strings.CutPrefix(source, layoutPrefix)
	if !ok {
		return source
	}
	abs, err := filepath.Abs(p)
	if err != nil {
		return source
	}
	if rel, err := filepath.Rel(c.dir, abs); err == nil && filepath.IsLocal(rel) {
		return layoutPrefix + "./" + filepath.ToSlash(rel)
	}
	return layoutPrefix + abs
}

func (c *custody) resolve(source string) string {
	if p, ok := strings.CutPrefix(source, layoutPrefix+"./"); ok {
		return layoutPrefix + filepath.Join(c.dir, filepath.FromSlash(p))
	}
	return source
}

// tested loads a pack and runs its tests; what has no tests, or fails them, is not
// shared.
func (a *app) tested(dir string) error {
	p, ds := augment.LoadDir(dir, augment.LoadOptions{})
	if err := ds.Err(); err != nil {
		return err
	}
	rep := p.Test(augment.TestOptions{NoMutants: true})
	if err := rep.Diagnostics().Err(); err != nil {
		return err
	}
	for _, r := range rep.Results {
		if r.Skipped != "" {
			a.say("%s: not tested, %s", r.Rule, r.Skipped)
		}
	}
	return nil
}

func (a *app) rulesPack() *cobra.Command {
	var out string
	var id idFlags
	var key keyFlags
	cmd := &cobra.Command{
		Use: "pack FOLDER", Short: "Make one file of a pack, always the same for the same files",
		Long: `Make one file of a pack: NAME-VERSION.pack.tar, whose sha256 names this version
everywhere, in locks, signatures and registries. The pack's tests run first; a pack
whose rules have no tests, or fail them, is refused. Hidden files are left out.
Knowledge graphs, vocabularies and plugins are packed with --kind, --name and
--pack-version.`,
		Example: "  islm rules pack my-pack\n  islm rules pack my-pack --out dist --key team.key\n  islm rules pack build/graph --kind graph --name listed-companies --pack-version 2026.11.0",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ar, err := a.packFolder(cmd.Context(), args[0], out, &id, &key)
			if err != nil {
				return err
			}
			return a.printArchive(ar)
		},
	}
	cmd.Flags().StringVar(&out, "out", ".", "file or folder to write")
	id.register(cmd)
	key.register(cmd)
	return cmd
}

func (a *app) packFolder(ctx context.Context, dir, out string, id *idFlags, key *keyFlags) (*share.Archive, error) {
	what, err := id.id(dir)
	if err != nil {
		return nil, err
	}
	if what.Kind == share.Pack {
		if err := a.tested(dir); err != nil {
			return nil, err
		}
	}
	ar, err := share.PackDir(ctx, dir, out, what)
	if err != nil {
		return nil, err
	}
	if len(ar.Skipped) > 0 {
		a.say("left out, because hidden: %s", strings.Join(ar.Skipped, ", "))
	}
	if key.file != "" {
		k, err := key.read(a)
		if err != nil {
			return nil, err
		}
		err = ar.Sign(k)
		return ar, err
	}
	return ar, nil
}

func (a *app) printArchive(ar *share.Archive) error {
	if a.json {
		return a.print(ar)
	}
	fmt.Fprintf(a.stdout, "%s\n%s\nsha256 %s, %d bytes\n", ar.ID, ar.Path, ar.SHA256, ar.Size)
	for _, s := range ar.Signatures {
		fmt.Fprintf(a.stdout, "signed with key %s\n", s.KeyID)
	}
	return nil
}

func (a *app) rulesSign() *cobra.Command {
	var key keyFlags
	var fresh string
	var open bool
	cmd := &cobra.Command{
		Use: "sign ARCHIVE --key FILE", Short: "Sign an archive, or make a key",
		Long: `Sign an archive with an ed25519 key. The signature lies beside it in
ARCHIVE.minisig and states kind, name, version and digest; the program minisign
verifies it too. Several keys may sign one archive.

--new-key FILE makes a key: FILE is the private one, encrypted with a password, and
FILE.pub the public one, whose word goes into the islm.policy.yaml of those who
trust it.`,
		Example: "  islm rules sign --new-key team.key\n  islm rules sign my-pack-1.2.0.pack.tar --key team.key",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case fresh != "" && len(args) == 0 && key.file == "":
				return a.newKey(fresh, key.stdin, open)
			case fresh != "" || len(args) == 0 || key.file == "":
				return usageError{errors.New("give an archive and --key FILE, or --new-key FILE alone")}
			}
			ar, err := share.OpenArchive(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			k, err := key.read(a)
			if err != nil {
				return err
			}
			if err := ar.Sign(k); err != nil {
				return err
			}
			return a.printArchive(ar)
		},
	}
	key.register(cmd)
	cmd.Flags().StringVar(&fresh, "new-key", "", "make a key and write it to this file")
	cmd.Flags().BoolVar(&open, "no-password", false, "leave the new key without a password, for machines")
	return cmd
}

// newKey writes a new key pair; neither file may exist.
func (a *app) newKey(file string, stdin, open bool) error {
	password := ""
	if !open {
		var err error
		if password, err = a.password("Password for the new key: ", stdin); err != nil {
			return err
		}
		if password == "" {
			return usageError{errors.New("the password is empty; a key without one is made with --no-password")}
		}
	}
	k, err := share.NewKey()
	if err != nil {
		return err
	}
	text, err := k.Encode(password)
	if err != nil {
		return err
	}
	for _, w := range []struct {
		path string
		data []byte
		mode os.FileMode
	}{{file, text, 0o600}, {file + ".pub", k.PublicFile(), 0o644}} {
		f, err := os.OpenFile(w.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, w.mode)
		if err != nil {
			return fmt.Errorf("write the key: %w", err)
		}
		_, err = f.Write(w.data)
		if err := errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("write the key: %w", err)
		}
	}
	if a.json {
		return a.print(map[string]string{"key": file, "public": k.Public(), "key_id": share.KeyID(k.Public())})
	}
	fmt.Fprintf(a.stdout, "%s\n%s.pub\nkey %s, public %s\n", file, file, share.KeyID(k.Public()), k.Public())
	a.say("for islm.policy.yaml: keys: {%s: {public: %s, names: [\"NAME-*\"]}}", strings.TrimSuffix(filepath.Base(file), filepath.Ext(file)), k.Public())
	return nil
}

func (a *app) rulesVerify() *cobra.Command {
	var policy string
	var remote remoteFlags
	var id idFlags
	cmd := &cobra.Command{
		Use: "verify ARCHIVE|FOLDER|REFERENCE", Short: "Check digest, signatures, policy and lock, without installing",
		Long: `Check an archive, an unpacked folder (with its signatures in FOLDER.minisig), or
what lies in a registry, as a pull would: form, limits, digest, signatures, the
policies (the nearest islm.policy.yaml and ISLM_HOME's), and the lock. Nothing is
written. Ends with 1 if it would be refused.`,
		Example: "  islm rules verify my-pack-1.2.0.pack.tar\n  islm rules verify registry.example/rules/my-pack:1.2.0 --policy strict.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.custody(policy)
			if err != nil {
				return err
			}
			ctx, cancel, err := remote.start(a, cmd)
			if err != nil {
				return err
			}
			defer cancel()
			accept := share.Accept{Policies: c.policies, Locked: c.locked, Update: true}
			var v *share.Verdict
			switch st, err := os.Stat(args[0]); {
			case err == nil && st.IsDir():
				what, err := id.id(args[0])
				if err != nil {
					return err
				}
				if v, err = share.VerifyDir(ctx, args[0], what, accept); err != nil {
					return err
				}
			case err == nil:
				ar, err := share.OpenArchive(ctx, args[0])
				if err != nil {
					return err
				}
				if v, err = ar.Verify(ctx, c.policies); err != nil {
					return err
				}
			default:
				p, err := share.Open(args[0], remote.Remote)
				if err != nil {
					return err
				}
				if v, err = p.Check(ctx, accept); err != nil {
					return err
				}
			}
			return a.printVerdict(v)
		},
	}
	cmd.Flags().StringVar(&policy, "policy", "", "policy to ask instead of those that count here")
	remote.register(cmd)
	id.register(cmd)
	return cmd
}

func (a *app) printVerdict(v *share.Verdict) error {
	a.problems(v.Warnings)
	if a.json {
		return a.print(v)
	}
	fmt.Fprintf(a.stdout, "%s\nsha256 %s, %d bytes\n", v.ID, v.SHA256, v.Size)
	if len(v.SignedBy) > 0 {
		fmt.Fprintf(a.stdout, "signed by %s\n", strings.Join(slices.Compact(slices.Sorted(slices.Values(v.SignedBy))), ", "))
	} else {
		fmt.Fprintln(a.stdout, "no signature counts")
	}
	return nil
}

func (a *app) rulesPush() *cobra.Command {
	var remote remoteFlags
	var id idFlags
	var key keyFlags
	cmd := &cobra.Command{
		Use: "push FOLDER|ARCHIVE REFERENCE", Short: "Publish a pack in an OCI registry or layout folder",
		Long: `Publish a pack with its signatures. REFERENCE is HOST/REPOSITORY[:TAG] or
oci:FOLDER[:TAG]; without a tag the version is the tag. A folder is packed first, its
tests included. A version that is published does not change: pushing other content
under it is refused.

Credentials come from docker's configuration, or from --username and
--password-stdin.`,
		Example: "  islm rules push my-pack registry.example/rules/my-pack --key team.key\n  islm rules push my-pack-1.2.0.pack.tar oci:shelf",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if remote.stdin && key.stdin {
				return usageError{errors.New("stdin gives one password: write the archive with 'islm rules pack --key' first")}
			}
			ctx, cancel, err := remote.start(a, cmd)
			if err != nil {
				return err
			}
			defer cancel()
			p, err := share.Open(args[1], remote.Remote)
			if err != nil {
				return err
			}
			ar, cleanup, err := a.archiveOf(ctx, args[0], &id, &key)
			if err != nil {
				return err
			}
			defer cleanup()
			done, err := p.Push(ctx, ar)
			if err != nil {
				return err
			}
			if a.json {
				return a.print(done)
			}
			fmt.Fprintf(a.stdout, "%s\n%s\nsha256 %s, %d signatures\n", done.ID, done.Reference, done.SHA256, len(ar.Signatures))
			return nil
		},
	}
	remote.register(cmd)
	id.register(cmd)
	key.register(cmd)
	return cmd
}

// archiveOf opens an archive, or packs a folder for the occasion.
func (a *app) archiveOf(ctx context.Context, path string, id *idFlags, key *keyFlags) (*share.Archive, func(), error) {
	if st, err := os.Stat(path); err != nil || !st.IsDir() {
		ar, err := share.OpenArchive(ctx, path)
		if err == nil && key.file != "" {
			var k share.Key
			if k, err = key.read(a); err == nil {
				err = ar.Sign(k)
			}
		}
		return ar, func() {}, err
	}
	tmp, err := os.MkdirTemp("", "islm-pack.*.tmp")
	if err != nil {
		return nil, nil, fmt.Errorf("pack %s: %w", path, err)
	}
	ar, err := a.packFolder(ctx, path, tmp, id, key)
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(tmp))
	}
	return ar, func() { os.RemoveAll(tmp) }, nil
}

func (a *app) rulesPull() *cobra.Command {
	var policy, kind string
	var update bool
	var remote remoteFlags
	cmd := &cobra.Command{
		Use: "pull [REFERENCE|ARCHIVE…]", Short: "Install packs that policy and lock accept, and lock their digests",
		Long: `Fetch packs from registries, layout folders or archive files, check them, and lock
them in the nearest islm.lock.yaml, else in ISLM_HOME's. Without arguments all that
is locked is fetched again, exactly as locked.

Refused, with nothing written and the installed version kept: what the policies do
not allow (the nearest islm.policy.yaml and ISLM_HOME's; both count), a tag that has
moved to another content than the locked one, and older versions. --update accepts
newer versions of what is locked.`,
		Example: "  islm rules pull registry.example/rules/my-pack:1.2.0\n  islm rules pull registry.example/rules/my-pack --update\n  islm rules pull oci:shelf:1.2.0\n  islm rules pull",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.custody(policy)
			if err != nil {
				return err
			}
			ctx, cancel, err := remote.start(a, cmd)
			if err != nil {
				return err
			}
			defer cancel()
			if len(args) == 0 {
				for _, pin := range c.pins() {
					if err := a.fetchLocked(ctx, c, pin, remote.Remote); err != nil {
						return err
					}
				}
				return nil
			}
			for _, ref := range args {
				accept := share.Accept{Kind: share.Kind(kind), Policies: c.policies, Locked: c.locked, Update: update,
					Inspect: func(content share.Content, dir string) error { return c.inspect(content, dir, update) }}
				in, err := install(ctx, ref, c.store, accept, remote.Remote)
				if err != nil {
					return err
				}
				if err := a.installed(cmd, c, in); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&update, "update", false, "accept newer versions of what is locked")
	cmd.Flags().StringVar(&policy, "policy", "", "policy to ask instead of those that count here")
	cmd.Flags().StringVar(&kind, "kind", "", "refuse all but this kind: pack, graph, vocabulary or plugin")
	remote.register(cmd)
	return cmd
}

// install takes an archive file or a reference into the store.
func install(ctx context.Context, ref string, s share.Store, accept share.Accept, how share.Remote) (*share.Installed, error) {
	if st, err := os.Stat(ref); err == nil && !st.IsDir() {
		ar, err := share.OpenArchive(ctx, ref)
		if err != nil {
			return nil, err
		}
		return s.Install(ctx, ar, accept)
	}
	p, err := share.Open(ref, how)
	if err != nil {
		return nil, err
	}
	return p.Pull(ctx, s, accept)
}

// inspect looks into unpacked files before they count: a pack must load, a plugin
// may not be another one than the locked under its version.
func (c *custody) inspect(content share.Content, dir string, update bool) error {
	switch content.Kind {
	case share.Pack:
		_, ds := augment.LoadDir(dir, augment.LoadOptions{})
		return ds.Err()
	case share.Plugin:
		file := filepath.Join(dir, "islm-plugin-"+content.Name)
		data, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("look at the plugin: %w", err)
		}
		if pin, ok := c.lock.Find("plugins", content.Name); ok && pin.SHA256 != share.Digest(data) {
			return share.Accept{Update: update, Locked: func(share.Kind, string) (share.Pin, bool) { return sharePin(share.Plugin, pin), true }}.Compare(
				share.Content{ID: content.ID, SHA256: share.Digest(data), Size: int64(len(data))})
		}
	}
	return nil
}

// installed locks what was installed and says so.
func (a *app) installed(cmd *cobra.Command, c *custody, in *share.Installed) error {
	a.problems(in.Warnings)
	if in.Kind == share.Plugin {
		cat, err := a.catalog(cmd, nil)
		if err != nil {
			return err
		}
		e, ds, err := cat.Install(cmd.Context(), filepath.Join(in.Dir, "islm-plugin-"+in.Name), catalog.InstallOptions{Source: in.Source, Version: in.Version})
		a.problems(ds)
		if err != nil {
			return err
		}
		if a.json {
			return a.print(e)
		}
		fmt.Fprintf(a.stdout, "%s\n%s\nlocked in %s\n", in.ID, e.Path, e.Lock)
		return nil
	}
	if err := c.record(in); err != nil {
		return err
	}
	if a.json {
		return a.print(in)
	}
	fmt.Fprintf(a.stdout, "%s\n%s\nsha256 %s, locked in %s\n", in.ID, in.Dir, in.SHA256, c.file)
	return nil
}

// fetchLocked brings a pin into the store, from where the lock says.
func (a *app) fetchLocked(ctx context.Context, c *custody, pin share.Pin, how share.Remote) error {
	dir, ok, err := c.store.Find(ctx, pin)
	if err != nil {
		return err
	}
	if !ok {
		if pin.Source == "" {
			return sdk.Diagnostics{{Severity: sdk.Error, Code: "share.missing", File: c.file, Summary: fmt.Sprintf("%s is locked, not here, and the lock has no source", pin.ID), Remedy: "islm rules pull REFERENCE"}}.Err()
		}
		in, err := install(ctx, c.resolve(pin.Source), c.store, share.Accept{Kind: pin.Kind, Policies: c.policies, Locked: c.locked}, how)
		if err != nil {
			return err
		}
		a.problems(in.Warnings)
		dir = in.Dir
	}
	if a.json {
		return a.print(share.Installed{Verdict: share.Verdict{Content: pin.Content}, Dir: dir, Source: pin.Source})
	}
	fmt.Fprintf(a.stdout, "%s\n%s\n", pin.ID, dir)
	return nil
}

func (a *app) rulesVendor() *cobra.Command {
	var policy string
	var check bool
	var remote remoteFlags
	cmd := &cobra.Command{
		Use: "vendor", Short: "Copy all that is locked beside the lock, for work without a network",
		Long: `Copy all packs, graphs, vocabularies and plugins that the lock names into islm_vendor
beside it; what is not in ISLM_HOME is fetched, but for plugins, which have to be
installed. What is vendored wins over ISLM_HOME, and is compared with the lock each
time it is used. --check compares and writes nothing.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.custody(policy)
			if err != nil {
				return err
			}
			ctx, cancel, err := remote.start(a, cmd)
			if err != nil {
				return err
			}
			defer cancel()
			v, pins := c.vendor(), c.pins()
			plugins, err := c.binaries(a, cmd)
			if err != nil {
				return err
			}
			if !check {
				quiet := *a // what is fetched on the way is no result
				quiet.stdout = io.Discard
				if err := v.Write(ctx, c.store, pins, plugins, c.policies, func(ctx context.Context, pin share.Pin) error {
					return quiet.fetchLocked(ctx, c, pin, remote.Remote)
				}); err != nil {
					return err
				}
			}
			ds, err := v.Check(ctx, pins, plugins, c.policies)
			if err == nil {
				err = ds.Err()
			}
			if err != nil {
				return err
			}
			if a.json {
				return a.print(map[string]any{"dir": v.Dir, "pins": pins, "plugins": plugins})
			}
			for _, p := range pins {
				fmt.Fprintf(a.stdout, "%s sha256 %s\n", p.ID, p.SHA256)
			}
			for _, p := range plugins {
				fmt.Fprintf(a.stdout, "%s sha256 %s\n", p.ID, p.SHA256)
			}
			fmt.Fprintf(a.stdout, "%d in %s, as locked in %s\n", len(pins)+len(plugins), v.Dir, c.file)
			return nil
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "compare the folder with lock and policies, write nothing")
	cmd.Flags().StringVar(&policy, "policy", "", "policy to ask instead of those that count here")
	remote.register(cmd)
	return cmd
}

func (a *app) rulesDiff() *cobra.Command {
	var remote remoteFlags
	cmd := &cobra.Command{
		Use: "diff OLD NEW", Short: "Show what changed between two versions of a pack, rule by rule",
		Long: `Compare two packs, each a folder, an archive, or a reference to a registry or layout
folder: rules added, removed and changed (by what they say, not by how it is written),
tests, word lists, and the step of the version that the changes ask for. Neither is
installed, and no policy is asked.`,
		Example: "  islm rules diff registry.example/rules/my-pack:1.2.0 my-pack",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel, err := remote.start(a, cmd)
			if err != nil {
				return err
			}
			defer cancel()
			tmp, err := os.MkdirTemp("", "islm-diff.*.tmp")
			if err != nil {
				return fmt.Errorf("compare packs: %w", err)
			}
			defer os.RemoveAll(tmp)
			dirs := make([]string, 2)
			for i, what := range args {
				if dirs[i], err = a.folderOf(ctx, what, filepath.Join(tmp, fmt.Sprint(i)), remote.Remote); err != nil {
					return err
				}
			}
			d, err := share.Diff(os.DirFS(dirs[0]), os.DirFS(dirs[1]))
			if err != nil {
				return err
			}
			if a.json {
				return a.print(d)
			}
			_, err = a.stdout.Write(diffText(d))
			return err
		},
	}
	remote.register(cmd)
	return cmd
}

// folderOf gives a folder with the files of a pack, unpacked into dir if need be.
func (a *app) folderOf(ctx context.Context, what, dir string, how share.Remote) (string, error) {
	st, err := os.Stat(what)
	switch {
	case err == nil && st.IsDir():
		return what, nil
	case err == nil:
		ar, err := share.OpenArchive(ctx, what)
		if err != nil {
			return "", err
		}
		return dir, ar.Extract(ctx, dir)
	}
	p, err := share.Open(what, how)
	if err != nil {
		return "", err
	}
	_, err = p.Extract(ctx, dir)
	return dir, err
}

func diffText(d *share.Difference) []byte {
	var b bytes.Buffer
	sign := map[string]string{share.Added: "+", share.Removed: "-", share.Changed: "~"}
	fmt.Fprintf(&b, "%s %s -> %s %s\n", d.From.Name, d.From.Version, d.To.Name, d.To.Version)
	for _, r := range d.Rules {
		fmt.Fprintf(&b, "%s rule %s", sign[r.Change], r.Rule)
		if len(r.Fields) > 0 {
			fmt.Fprintf(&b, ": %s", strings.Join(r.Fields, ", "))
		}
		if r.TestsChanged {
			fmt.Fprintf(&b, " (tests: %d -> %d)", r.TestsBefore, r.TestsAfter)
		}
		b.WriteString("\n")
	}
	for _, f := range d.Files {
		fmt.Fprintf(&b, "%s file %s\n", sign[f.Change], f.File)
	}
	fmt.Fprintf(&b, "version step: %s\n", d.Bump)
	if d.Advice != "" {
		fmt.Fprintf(&b, "%s\n", d.Advice)
	}
	return b.Bytes()
}
