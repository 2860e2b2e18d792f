package kg

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/ristretto/v2/z"
)

// badgerOptions are Badger's with little memory. Tables are not compressed, as
// pages are packed already, so that the block cache has nothing to do; checksums
// of blocks are left to Open, which checks the files as a whole.
func badgerOptions(dir string) badger.Options {
	opt := badger.DefaultOptions(dir)
	opt.Logger = nil
	opt.MetricsEnabled = false
	opt.DetectConflicts = false
	opt.Compression = options.None
	opt.BlockCacheSize = 0
	opt.BlockSize = 8 << 10
	opt.MemTableSize = 8 << 20
	opt.NumMemtables = 1
	opt.BaseTableSize = 8 << 20
	opt.TableSizeMultiplier = 1
	opt.ValueLogFileSize = 1 << 20
	opt.ValueThreshold = badgerThreshold
	opt.NumCompactors = 0
	opt.ChecksumVerificationMode = options.NoVerification
	return opt
}

// badgerThreshold keeps every value beside its key: values have at most valueMax
// bytes and some more.
const badgerThreshold = 1 << 20

// openBadger opens a finished store. Nothing writes to it any more, so no lock is
// needed.
func openBadger(dir string) (db *badger.DB, err error) {
	// Badger asserts in places what checked files fulfil.
	defer func() {
		if r := recover(); r != nil {
			db, err = nil, fmt.Errorf("badger: %v", r)
		}
	}()
	opt := badgerOptions(dir)
	opt.ReadOnly = true
	opt.BypassLockGuard = true
	return badger.Open(opt)
}

// get gives a copy of a value, nil if there is none.
func get(db *badger.DB, key []byte) (value []byte, err error) {
	txn := db.NewTransaction(false)
	defer txn.Discard()
	item, err := txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the store: %w", err)
	}
	err = item.Value(func(v []byte) error {
		value = v // Get copied it
		return nil
	})
	return value, err
}

// writer fills a new Badger folder. Each kind of page is a stream with keys in
// ascending order.
type writer struct {
	db     *badger.DB
	stream *badger.StreamWriter
	buf    *z.Buffer
	pack   *packer
	open   map[byte]bool // kinds of pages begun
	flush  bool
}

func newWriter(dir string) (*writer, error) {
	db, err := badger.Open(badgerOptions(dir))
	if err != nil {
		return nil, fmt.Errorf("make a Badger folder: %w", err)
	}
	w := &writer{db: db, stream: db.NewStreamWriter(), buf: z.NewBuffer(1<<20, "kg"), open: map[byte]bool{}}
	if w.pack, err = newPacker(); err == nil {
		err = w.stream.Prepare()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("prepare a Badger folder: %w", err), w.abort())
	}
	return w, nil
}

// put writes a page; keys of one kind ascend.
func (w *writer) put(key, page []byte, compress bool) error {
	w.open[key[0]] = true
	value := w.pack.pack(page, compress)
	if len(value) <= valueMax {
		return w.value(key, value)
	}
	// The parts follow their head: a longer key is a greater one.
	parts := (len(value) + valueMax - 1) / valueMax
	if err := w.value(key, binary.AppendUvarint([]byte{packedMany}, uint64(parts))); err != nil {
		return err
	}
	for i := range parts {
		part := value[i*valueMax : min(len(value), (i+1)*valueMax)]
		if err := w.value(partKey(key, i), part); err != nil {
			return err
		}
	}
	return nil
}

func partKey(key []byte, i int) []byte {
	return binary.BigEndian.AppendUint32(append([]byte{}, key...), uint32(i))
}

func (w *writer) value(key, value []byte) error {
	badger.KVToBuffer(&pb.KV{Key: key, Value: value, Version: 1, StreamId: uint32(key[0])}, w.buf)
	if w.buf.LenNoPadding() < 512<<10 {
		return nil
	}
	return w.write()
}

func (w *writer) write() error {
	err := w.stream.Write(w.buf)
	w.buf.Reset()
	if err != nil {
		return fmt.Errorf("write the store: %w", err)
	}
	return nil
}

// end closes the streams of kinds that are complete, which frees their memory.
func (w *writer) end(kinds ...byte) error {
	for _, k := range kinds {
		if !w.open[k] {
			continue
		}
		delete(w.open, k)
		badger.KVToBuffer(&pb.KV{StreamId: uint32(k), StreamDone: true}, w.buf)
		if err := w.write(); err != nil {
			return err
		}
	}
	return nil
}

// close finishes the folder and removes what a store that never changes does not
// need.
func (w *writer) close(dir string) error {
	err := w.write()
	if err == nil {
		w.flush = true
		err = w.stream.Flush()
	}
	if err := errors.Join(err, w.abort()); err != nil {
		return fmt.Errorf("finish the store: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("finish the store: %w", err)
	}
	for _, e := range entries {
		n := e.Name()
		if n == "DISCARD" || n == "LOCK" || strings.HasSuffix(n, ".vlog") || strings.HasSuffix(n, ".mem") {
			err = os.Remove(filepath.Join(dir, n))
		} else {
			// Badger keeps some for its owner; a graph is for all readers of the folder.
			err = os.Chmod(filepath.Join(dir, n), 0o644)
		}
		if err != nil {
			return fmt.Errorf("finish the store: %w", err)
		}
	}
	return nil
}

// abort closes Badger and frees what the writer holds; a second call does nothing.
func (w *writer) abort() error {
	if w.db == nil {
		return nil
	}
	if !w.flush {
		w.stream.Cancel()
	}
	err := errors.Join(w.db.Close(), w.buf.Release())
	w.db = nil
	return err
}
