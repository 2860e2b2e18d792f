package corpus

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"

	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

func encodings() map[string]encoding.Encoding {
	return map[string]encoding.Encoding{
		"gb18030":      simplifiedchinese.GB18030,
		"utf-16 LE":    unicode.UTF16(unicode.LittleEndian, unicode.UseBOM),
		"utf-16 BE":    unicode.UTF16(unicode.BigEndian, unicode.UseBOM),
		"utf-16 LE no": unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM),
		"utf-16 BE no": unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM),
	}
}

func textsOfFile(t *testing.T, path, encoding string) (out []string, err error) {
	t.Helper()
	for text, err := range Texts(t.Context(), []string{path}, &recipe.DataPlan{Encoding: encoding}) {
		if err != nil {
			return out, err
		}
		out = append(out, text.Text)
	}
	return out, nil
}

// Running text comes out the same in each encoding, named or guessed, as lines and
// as objects; what was guessed is said.
func TestTextsOfEachEncoding(t *testing.T) {
	dir := t.TempDir()
	var lines, objects strings.Builder
	var want []string
	for i := range 9000 { // longer than what is guessed of
		text := fmt.Sprintf("第%d天公司的股价上升，净利润为一百二十三万元，同比增长很快；市场对此反应积极。", i)
		want = append(want, text)
		fmt.Fprintln(&lines, text)
		fmt.Fprintf(&objects, "{\"text\": %q}\n", text)
	}
	for name, e := range encodings() {
		kind, _, _ := strings.Cut(name, " ")
		for ending, content := range map[string]string{".txt": lines.String(), ".jsonl": objects.String()} {
			data, err := e.NewEncoder().Bytes([]byte(content))
			require.NoError(t, err)
			require.Greater(t, len(data), sampleBytes/2)
			path := filepath.Join(dir, strings.ReplaceAll(name, " ", "-")+ending)
			require.NoError(t, os.WriteFile(path, data, 0o600))
			for _, as := range []string{"auto", kind} {
				got, err := textsOfFile(t, path, as)
				require.NoError(t, err, "%s%s as %s", name, ending, as)
				require.True(t, slices.Equal(want, got), "%s%s as %s: %.60q", name, ending, as, got[0])
			}
			ds, err := Guesses([]string{path, path}, &recipe.DataPlan{Encoding: "auto"})
			require.NoError(t, err)
			require.Len(t, ds, 1)
			require.Equal(t, sdk.Info, ds[0].Severity)
			require.Contains(t, ds.String(), "read as "+kind)
			require.Contains(t, ds.String(), "so are 1 file more")
			ds, err = Guesses([]string{path}, &recipe.DataPlan{Encoding: kind})
			require.NoError(t, err)
			require.Empty(t, ds)
		}
	}
	plain := filepath.Join(dir, "plain.txt")
	require.NoError(t, os.WriteFile(plain, []byte(strings.Repeat("一", sampleBytes/3)+"\n中文\n"), 0o600)) // a character lies across the end of the sample
	ds, err := Guesses([]string{plain}, &recipe.DataPlan{})
	require.NoError(t, err)
	require.Empty(t, ds)
	latin, err := charmap.Windows1252.NewEncoder().Bytes([]byte("café – old\n"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(plain, latin, 0o600))
	got, err := textsOfFile(t, plain, "auto")
	require.NoError(t, err)
	require.Equal(t, []string{"café – old"}, got)
}

// Bytes that the encoding does not allow are errors with their lines, all of them
// up to a bound, in each of the files; nothing is replaced in silence.
func TestTextsThatAreNotValid(t *testing.T) {
	dir := t.TempDir()
	path := func(name, content string) string {
		p := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(p, []byte(content), 0o600))
		return p
	}
	good := strings.Repeat("净利润上升净利润上升\n", 20)
	a, b := path("a.txt", good+"中\xff文\nfine\n\xfe\n"), path("b.jsonl", "{\"text\": \"净利润上升净利润上升净利润上升\"}\n{\"text\": \"\xff\"}\n{\"txt\": \"x\"}\n")
	n, at := 0, error(nil)
	for _, err := range Texts(t.Context(), []string{a, b}, &recipe.DataPlan{}) {
		if err == nil {
			n++
		}
		at = err
	}
	require.Equal(t, 20, n)
	ds, fatal, ok := sdk.DiagnosticsOf(at)
	require.True(t, ok)
	require.False(t, fatal)
	var lines []string
	for _, d := range ds {
		require.NotEmpty(t, d.Remedy)
		lines = append(lines, fmt.Sprintf("%s %s:%d:%d", d.Code, filepath.Base(d.File), d.Line, d.Column))
	}
	require.Equal(t, []string{"data.encoding a.txt:21:2", "data.encoding a.txt:23:1", "data.encoding b.jsonl:2:11", "data.text b.jsonl:3:0"}, lines)

	_, err := textsOfFile(t, path("c.txt", "\xc0\xfb\xc8\xf3\nok\n\xff\xff\n"), "gb18030")
	require.ErrorContains(t, err, "c.txt:3: not valid gb18030")
	_, err = textsOfFile(t, path("d.txt", "a\x00\n\x00b"), "utf-16") // an odd number of bytes
	require.ErrorContains(t, err, "d.txt:2: not valid utf-16")

	_, err = textsOfFile(t, path("e.txt", good+strings.Repeat("\xff\n", 500)), "utf-8")
	ds, _, _ = sdk.DiagnosticsOf(err)
	require.Len(t, ds, maxErrors+1)
	require.Contains(t, ds[maxErrors].Summary, "reading stopped after 20 problems")
}

// What is made of texts is named by their encoding too.
func TestPackedDigestByEncoding(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.txt")
	require.NoError(t, os.WriteFile(path, []byte("text\n"), 0o600))
	seen := map[string]bool{}
	for _, name := range append(Encodings(), "auto") {
		digest, err := (&PackRequest{Files: []string{path}, Plan: plan(t, "data.encoding="+name)}).SourceDigest()
		require.NoError(t, err)
		seen[digest] = true
	}
	require.Len(t, seen, len(Encodings())+1)
}

// Lines of text are examples without labels: read where these do, in their encoding,
// and a clear error where labels are needed.
func TestTextFilesAsExamples(t *testing.T) {
	gb, err := simplifiedchinese.GB18030.NewEncoder().Bytes([]byte("净利润上升\r\n\n  \n 股价下跌\n"))
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "texts.txt")
	require.NoError(t, os.WriteFile(path, gb, 0o600))
	req := Request{Plan: plan(t, "data.train="+path), Unlabelled: true}
	c, ds, err := Read(t.Context(), req)
	require.NoError(t, err)
	require.False(t, ds.HasErrors(), ds.String())
	require.Contains(t, ds.String(), "read as gb18030")
	require.Contains(t, ds.String(), "one text per line, without labels")
	require.Len(t, c.Train, 2)
	require.Equal(t, []string{"净利润上升", " 股价下跌"}, []string{c.Train[0].Text, c.Train[1].Text})
	require.Equal(t, 4, c.Train[1].Line)
	require.NotEqual(t, c.Train[0].ID, c.Train[1].ID)

	req.Unlabelled = false
	_, ds, err = Read(t.Context(), req)
	require.NoError(t, err)
	require.ErrorContains(t, ds.Err(), "no example has a label")
	require.ErrorContains(t, ds.Err(), "lines of text have none")

	req.Plan = plan(t, "data.train="+path, "data.encoding=utf-8")
	_, ds, err = Read(t.Context(), req)
	require.NoError(t, err)
	require.ErrorContains(t, ds.Err(), "texts.txt:1:1: not valid UTF-8")

	// In a folder text comes after what has labels; notes beside it are not data.
	dir := folder(t, map[string]string{"train.txt": "a\n", "valid.txt": "b\n", "test.txt": "c\n", "notes.txt": "d\n", "train.jsonl": "{\"text\": \"x\", \"label\": \"up\"}\n{\"text\": \"y\", \"label\": \"down\"}\n"})
	c, ds, err = Read(t.Context(), Request{Plan: plan(t, "data.path="+dir)})
	require.NoError(t, err)
	require.Equal(t, "x", c.Train[0].Text)
	require.Equal(t, "b", c.Valid[0].Text)
	require.Contains(t, ds.String(), "files left aside: train.txt")
	require.NotContains(t, ds.String(), "notes.txt")
}

// chunks gives a stream in pieces of the lengths that it is told, over and over.
type chunks struct {
	r       io.Reader
	lengths []byte
	at      int
}

func (c *chunks) Read(b []byte) (int, error) {
	n := 1
	if len(c.lengths) > 0 {
		n += int(c.lengths[c.at%len(c.lengths)])
		c.at++
	}
	return c.r.Read(b[:min(len(b), n)])
}

// However the bytes of a file come, its texts are the same, and those of the whole
// file when it is decoded at once.
func FuzzTextStream(f *testing.F) {
	text := []byte("利润上升，股价😀 a\u00e9\r\n\nThe bank of 北京\n")
	for name, e := range encodings() {
		data, err := e.NewEncoder().Bytes(text)
		require.NoError(f, err)
		f.Add(data, strings.Fields(name)[0], []byte{0})
		f.Add(append(data, 0x84), "auto", []byte{0, 2, 6})
	}
	f.Add(text, "utf-8", []byte{1})
	f.Add(append([]byte("\xef\xbb\xbf"), text...), "auto", []byte{0})
	f.Add([]byte("caf\xe9\n\xff"), "latin-1", []byte{0})
	f.Fuzz(func(t *testing.T, data []byte, name string, lengths []byte) {
		if len(data) > 1<<12 || name != "auto" && !slices.Contains(Encodings(), name) {
			return
		}
		read := func(r io.Reader) (out []Text, ds sdk.Diagnostics) {
			s, err := decodeStream(r, name)
			require.NoError(t, err)
			p := &problems{}
			require.NoError(t, s.lines("f.txt", "", p, func(t Text) bool { out = append(out, t); return true }))
			return out, p.diagnostics()
		}
		want, wrong := read(bytes.NewReader(data))
		got, ds := read(&chunks{r: bytes.NewReader(data), lengths: lengths})
		require.Equal(t, want, got)
		require.Equal(t, wrong, ds)
		p := &problems{}
		whole := decode("f.txt", data, name, p)
		require.Equal(t, p.errors > 0, wrong.HasErrors())
		if p.errors > 0 {
			return
		}
		var all []string
		for l := range strings.Lines(whole) {
			all = append(all, strings.TrimPrefix(strings.TrimSuffix(strings.TrimSuffix(l, "\n"), "\r"), "\ufeff"))
		}
		require.Len(t, got, len(all))
		for i := range got {
			require.Equal(t, Text{"f.txt", i + 1, all[i]}, got[i])
		}
	})
}
