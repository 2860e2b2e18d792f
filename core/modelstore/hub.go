package modelstore

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/lockedfile"
)

// DefaultEndpoint is the hub that is asked when HF_ENDPOINT is not set.
const DefaultEndpoint = "https://huggingface.co"

// Hub fetches models by the Hugging Face protocol
// (https://huggingface.co/docs/hub/api). The zero value asks DefaultEndpoint
// without a token.
type Hub struct {
	Endpoint string // base address, "" for DefaultEndpoint
	Token    string // sent to Endpoint's host and to no other
	Offline  bool   // never ask the network
	CacheDir string // Hugging Face cache to read from (…/hub), "" for none
	Client   *http.Client
	// Progress is called as bytes arrive, from the goroutine that called Pull.
	Progress func(Progress)
	// Retries is how often a broken transfer is taken up again; 0 means 4,
	// negative never.
	Retries int
}

// Progress tells how far a fetch is.
type Progress struct {
	File        string // being fetched
	Done, Size  int64  // bytes of it; Size is -1 if unknown
	Index, Of   int    // file number from 1, and how many there are
	Total, Sum  int64  // bytes of all files so far, and of all together (-1 if unknown)
	Resumed     int64  // bytes of this file that an earlier fetch had left
	FileIsReady bool   // the file is complete and checked
}

// HubFromEnv reads HF_ENDPOINT, HF_TOKEN (or the file HF_TOKEN_PATH, by default
// HF_HOME/token), HF_HUB_OFFLINE, HF_HUB_CACHE and HF_HOME.
func HubFromEnv(getenv func(string) string) Hub {
	home := getenv("HF_HOME")
	if home == "" {
		cache := getenv("XDG_CACHE_HOME")
		if cache == "" && getenv("HOME") != "" {
			cache = filepath.Join(getenv("HOME"), ".cache")
		}
		if cache != "" {
			home = filepath.Join(cache, "huggingface")
		}
	}
	h := Hub{
		Endpoint: strings.TrimRight(getenv("HF_ENDPOINT"), "/"),
		Token:    cmp.Or(getenv("HF_TOKEN"), getenv("HUGGING_FACE_HUB_TOKEN")),
		Offline:  truthy(getenv("HF_HUB_OFFLINE")) || truthy(getenv("TRANSFORMERS_OFFLINE")),
		CacheDir: getenv("HF_HUB_CACHE"),
	}
	if home != "" {
		h.CacheDir = cmp.Or(h.CacheDir, filepath.Join(home, "hub"))
		if h.Token == "" {
			if data, err := os.ReadFile(cmp.Or(getenv("HF_TOKEN_PATH"), filepath.Join(home, "token"))); err == nil {
				h.Token = strings.TrimSpace(string(data))
			}
		}
	}
	return h
}

func truthy(s string) bool {
	switch strings.ToUpper(s) {
	case "1", "ON", "YES", "TRUE":
		return true
	}
	return false
}

// Pull fetches a model into the store, whether or not it is there, and returns
// it. rev is a branch, tag or commit, "" for main. Only what is needed is
// fetched: configuration, tokenizer and vocabulary files, the model card, and
// weights as safetensors or, where there are none, as PyTorch files. A transfer
// that was cut off goes on where it stopped, in this call or in a later one.
func (s *Store) Pull(ctx context.Context, id, rev string) (Model, error) {
	rev = cmp.Or(rev, "main")
	if err := CheckID(id); err != nil {
		return Model{}, err
	}
	if s.Hub.Offline {
		return Model{}, detailed(problem("model.offline", fmt.Sprintf("model %s is not on this machine and HF_HUB_OFFLINE forbids to fetch it", id), "",
			"unset HF_HUB_OFFLINE, or copy the model's folder here and name its path"), "Looked in "+s.places(), nil)
	}
	listing, err := s.Hub.listing(ctx, id, rev)
	if err != nil {
		return Model{}, err
	}
	files, err := needed(id, listing.Siblings)
	if err != nil {
		return Model{}, err
	}
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		return Model{}, fmt.Errorf("make the model store: %w", err)
	}
	name := folderName(id)
	stage := filepath.Join(s.Dir, name+"."+listing.SHA[:min(12, len(listing.SHA))]+".tmp")
	unlock, err := lock(ctx, filepath.Join(s.Dir, "."+name+".lock"))
	if err != nil {
		return Model{}, fmt.Errorf("pull %s: %w", id, err)
	}
	defer unlock()
	if m, err := s.stored(name); err == nil && m.Source != nil && m.Source.Commit == listing.SHA {
		if diags, err := m.Verify(); err == nil && !diags.HasErrors() && m.holds(files) {
			return m, nil // the same commit, complete and unchanged
		}
	}

	src := Source{Schema: SourceSchema, Name: name, ID: id, URL: s.Hub.endpoint(), Revision: rev, Commit: listing.SHA, Files: map[string]Digests{}}
	if err := s.Hub.fetchAll(ctx, id, listing.SHA, stage, files, &src); err != nil {
		return Model{}, err
	}
	src.Fetched = time.Now().UTC().Truncate(time.Second)
	if err := src.write(stage); err != nil {
		return Model{}, err
	}
	if err := replaceDir(stage, filepath.Join(s.Dir, name)); err != nil {
		return Model{}, fmt.Errorf("put model %s into the store: %w", id, err)
	}
	s.sweep(name)
	return s.stored(name)
}

func (s *Store) places() string {
	if s.Hub.CacheDir == "" {
		return s.Dir
	}
	return s.Dir + " and " + s.Hub.CacheDir
}

func (m Model) holds(files []sibling) bool {
	for _, f := range files {
		if _, ok := m.Source.Files[f.Name]; !ok {
			return false
		}
	}
	return true
}

// replaceDir moves stage to dir; a folder that is there already makes room first.
func replaceDir(stage, dir string) error {
	old := dir + ".old.tmp"
	if err := os.RemoveAll(old); err != nil {
		return err
	}
	if err := os.Rename(dir, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(stage, dir); err != nil {
		return err
	}
	return os.RemoveAll(old)
}

// sweep removes what unfinished fetches of other commits of a model left behind.
func (s *Store) sweep(name string) {
	stale, err := filepath.Glob(filepath.Join(s.Dir, name+".*.tmp"))
	if err != nil {
		return
	}
	for _, dir := range stale {
		_ = os.RemoveAll(dir) // only space is lost
	}
}

// lock holds a lock file, shared with other processes, until unlock is called.
func lock(ctx context.Context, file string) (unlock func(), err error) {
	type held struct {
		unlock func()
		err    error
	}
	got := make(chan held, 1)
	go func() {
		u, err := lockedfile.MutexAt(file).Lock()
		got <- held{u, err}
	}()
	select {
	case h := <-got:
		return h.unlock, h.err
	case <-ctx.Done():
		go func() { // give back what arrives too late
			if h := <-got; h.err == nil {
				h.unlock()
			}
		}()
		return nil, context.Cause(ctx)
	}
}

type listing struct {
	SHA      string    `json:"sha"`
	Siblings []sibling `json:"siblings"`
}

type sibling struct {
	Name string `json:"rfilename"`
	Size *int64 `json:"size"`
	LFS  *struct {
		SHA256 string `json:"sha256"`
		Size   int64  `json:"size"`
	} `json:"lfs"`
}

func (s sibling) size() int64 {
	switch {
	case s.LFS != nil && s.LFS.Size > 0:
		return s.LFS.Size
	case s.Size != nil:
		return *s.Size
	}
	return -1
}

func (h *Hub) endpoint() string { return cmp.Or(strings.TrimRight(h.Endpoint, "/"), DefaultEndpoint) }

var commitHash = regexp.MustCompile(`^[A-Za-z0-9]{7,64}$`)

func (h *Hub) listing(ctx context.Context, id, rev string) (*listing, error) {
	addr := fmt.Sprintf("%s/api/models/%s/revision/%s?blobs=true", h.endpoint(), id, url.PathEscape(rev))
	resp, err := h.get(ctx, id, addr, 0)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, h.refused(id, rev, "", resp)
	}
	var l listing
	if err := json.NewDecoder(io.LimitReader(resp.Body, 64<<20)).Decode(&l); err != nil {
		return nil, detailed(problem("model.hub", fmt.Sprintf("%s did not answer as a Hugging Face hub about %s", h.endpoint(), id), "", "check HF_ENDPOINT"), err.Error(), err)
	}
	if !commitHash.MatchString(l.SHA) {
		return nil, problem("model.hub", fmt.Sprintf("%s named no commit for %s", h.endpoint(), id), "", "check HF_ENDPOINT")
	}
	return &l, nil
}

// wanted are the files, other than weights, that a model folder is made of.
var wanted = regexp.MustCompile(`^(config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab|preprocessor_config|adapter_config|modules|sentence_bert_config|config_sentence_transformers)\.json$` +
	`|^vocab\.txt$|^merges\.txt$|^bpe\.codes$|^[A-Za-z0-9._-]*\.(model|spm)$|^1_Pooling/config\.json$|^README\.md$|^(LICEN[CS]E|NOTICE)[A-Za-z0-9._-]*$`)

// weightSets are the forms that weights come in, the preferred one first.
var weightSets = []*regexp.Regexp{
	regexp.MustCompile(`^model\.safetensors$|^model\.safetensors\.index\.json$|^model-\d{5}-of-\d{5}\.safetensors$`),
	regexp.MustCompile(`^adapter_model\.safetensors$`),
	regexp.MustCompile(`^pytorch_model\.bin$|^pytorch_model\.bin\.index\.json$|^pytorch_model-\d{5}-of-\d{5}\.bin$`),
	regexp.MustCompile(`^adapter_model\.bin$`),
}

// needed chooses the files to fetch: small ones first, then the weights.
func needed(id string, all []sibling) ([]sibling, error) {
	var files, weights []sibling
	hasConfig := false
	for _, s := range all {
		if fs.ValidPath(s.Name) && wanted.MatchString(s.Name) {
			files = append(files, s)
			hasConfig = hasConfig || s.Name == "config.json" || s.Name == "adapter_config.json"
		}
	}
	for _, set := range weightSets {
		for _, s := range all {
			if set.MatchString(s.Name) {
				weights = append(weights, s)
			}
		}
		if len(weights) > 0 {
			break
		}
	}
	var missing []string
	if !hasConfig {
		missing = append(missing, "config.json")
	}
	if len(weights) == 0 {
		missing = append(missing, "model.safetensors or pytorch_model.bin")
	}
	if len(missing) > 0 {
		return nil, problem("model.incomplete", fmt.Sprintf("%s on the hub has no %s", id, strings.Join(missing, " and no ")), "", "choose a repository that holds a transformers model with PyTorch or safetensors weights")
	}
	// A repository may hold the whole model beside its shards: the whole is enough.
	if i := slices.IndexFunc(weights, func(s sibling) bool { return !strings.Contains(s.Name, "-of-") && !strings.HasSuffix(s.Name, ".json") }); i >= 0 {
		weights = weights[i : i+1]
	}
	byName := func(a, b sibling) int { return cmp.Compare(a.Name, b.Name) }
	slices.SortFunc(files, byName)
	slices.SortFunc(weights, byName)
	return append(files, weights...), nil
}

func (h *Hub) fetchAll(ctx context.Context, id, commit, stage string, files []sibling, src *Source) error {
	p := Progress{Of: len(files)}
	for _, f := range files {
		if f.size() < 0 {
			p.Sum = -1
			break
		}
		p.Sum += f.size()
	}
	for i, f := range files {
		p.Index, p.File, p.Done, p.Size, p.Resumed, p.FileIsReady = i+1, f.Name, 0, f.size(), 0, false
		dg, err := h.fetch(ctx, id, commit, stage, f, &p)
		if err != nil {
			return err
		}
		src.Files[f.Name] = dg
		p.Total += dg.Size
		p.Done, p.Size, p.FileIsReady = dg.Size, dg.Size, true
		h.report(p)
	}
	return nil
}

func (h *Hub) report(p Progress) {
	if h.Progress != nil {
		h.Progress(p)
	}
}

// get asks for an address, from byte `from` on, and follows redirects itself: the
// token goes to the endpoint's own host only.
func (h *Hub) get(ctx context.Context, id, addr string, from int64) (*http.Response, error) {
	resp, _, err := h.follow(ctx, id, addr, from)
	return resp, err
}

// linked is what the hub says about a file before it sends us to where it lies.
type linked struct {
	etag   string
	size   int64 // -1 if not said
	commit string
}

const maxRedirects = 8

func (h *Hub) follow(ctx context.Context, id, addr string, from int64) (*http.Response, linked, error) {
	info := linked{size: -1}
	home, err := url.Parse(h.endpoint())
	if err != nil || home.Host == "" || home.Scheme != "http" && home.Scheme != "https" {
		return nil, info, problem("model.hub", fmt.Sprintf("HF_ENDPOINT %q is not an http or https address", h.Endpoint), "", "unset HF_ENDPOINT, or give it as https://host")
	}
	client := http.Client{}
	if h.Client != nil {
		client = *h.Client
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for range maxRedirects {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, addr, nil)
		if err != nil {
			return nil, info, fmt.Errorf("ask %s for %s: %w", h.endpoint(), id, err)
		}
		req.Header.Set("User-Agent", "islm")
		req.Header.Set("Accept-Encoding", "identity") // lengths and ranges are of the file itself
		if from > 0 {
			req.Header.Set("Range", "bytes="+strconv.FormatInt(from, 10)+"-")
		}
		if h.Token != "" && req.URL.Host == home.Host && req.URL.Scheme == home.Scheme {
			req.Header.Set("Authorization", "Bearer "+h.Token)
		}
		resp, err := client.Do(req)
		if err != nil {
			return nil, info, h.unreachable(ctx, id, err)
		}
		if e := cmp.Or(resp.Header.Get("X-Linked-Etag"), resp.Header.Get("Etag")); e != "" && info.etag == "" && req.URL.Host == home.Host {
			info.etag = strings.Trim(strings.TrimPrefix(e, "W/"), `"`)
		}
		if n, err := strconv.ParseInt(resp.Header.Get("X-Linked-Size"), 10, 64); err == nil && info.size < 0 {
			info.size = n
		}
		info.commit = cmp.Or(info.commit, resp.Header.Get("X-Repo-Commit"))
		switch resp.StatusCode {
		case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
			next, err := resp.Location()
			resp.Body.Close()
			if err != nil {
				return nil, info, fmt.Errorf("ask %s for %s: redirect without an address: %w", h.endpoint(), id, err)
			}
			if req.URL.Scheme == "https" && next.Scheme != "https" {
				return nil, info, problem("model.hub", fmt.Sprintf("%s redirects %s to an unprotected address", req.URL.Host, id), "", "check HF_ENDPOINT")
			}
			addr = next.String()
		default:
			return resp, info, nil
		}
	}
	return nil, info, problem("model.hub", fmt.Sprintf("%s redirects %s in a circle", h.endpoint(), id), "", "check HF_ENDPOINT")
}

func (h *Hub) unreachable(ctx context.Context, id string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("pull %s: %w", id, context.Cause(ctx))
	}
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err // the address may hold a signature
	}
	var ne net.Error
	what := "cannot be reached"
	if errors.As(err, &ne) && ne.Timeout() {
		what = "does not answer"
	}
	return detailed(problem("model.network", fmt.Sprintf("model %s is not on this machine and %s %s", id, h.endpoint(), what), "",
		"check the network, or name a mirror with HF_ENDPOINT, or copy the model's folder here and name its path"), err.Error(), err)
}

func (h *Hub) refused(id, rev, file string, resp *http.Response) error {
	what := id
	if file != "" {
		what = id + "/" + file
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 300))
	detail := fmt.Sprintf("%s answered %s %s", h.endpoint(), resp.Status, strings.TrimSpace(string(body)))
	code := resp.Header.Get("X-Error-Code")
	var err error
	switch {
	case code == "RevisionNotFound":
		err = problem("model.revision", fmt.Sprintf("the hub has no revision %q of %s", rev, id), "", "name a branch, tag or commit that exists, or leave --revision out")
	case code == "GatedRepo":
		err = problem("model.gated", what+" may be read only by people who accepted its terms", "", "accept them on the model's page, then set HF_TOKEN to your token")
	case resp.StatusCode == http.StatusNotFound, code == "RepoNotFound", resp.StatusCode == http.StatusUnauthorized && h.Token == "":
		// The hub answers 401 for repositories that do not exist, too.
		err = problem("model.unknown", fmt.Sprintf("neither this machine nor the hub has a model %q", what), "", "check the spelling; `islm model list` shows what is here; private models need HF_TOKEN")
	case resp.StatusCode == http.StatusUnauthorized, resp.StatusCode == http.StatusForbidden:
		err = problem("model.forbidden", "the hub does not let this token read "+what, "", "check HF_TOKEN and the terms on the model's page")
	case resp.StatusCode == http.StatusTooManyRequests:
		err = problem("model.network", "the hub asks to slow down", "", "try again later, or set HF_TOKEN: known users may ask more often")
	default:
		err = problem("model.network", fmt.Sprintf("the hub did not give %s", what), "", "try again later, or name a mirror with HF_ENDPOINT")
	}
	return detailed(err, detail, nil)
}

func fileURL(endpoint, id, commit, name string) string {
	parts := strings.Split(name, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return endpoint + "/" + id + "/resolve/" + commit + "/" + path.Join(parts...)
}
