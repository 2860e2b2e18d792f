package pickle

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// The values of an unpickled structure; numbers, strings, bools and nil are Go's.
type (
	dict struct {
		keys, values []any
		visits       int
	}
	list struct {
		items  []any
		visits int
	}
	tuple  []any
	global string
	mark   struct{}

	storage struct {
		dtype, key string
		numel      int64
	}
	tensor struct {
		storage       *storage
		offset        int64
		shape, stride []int64
	}
)

// storages are the element types by the names of PyTorch's storage classes.
func storageType(g global) string {
	switch g {
	case "torch FloatStorage":
		return "F32"
	case "torch DoubleStorage":
		return "F64"
	case "torch HalfStorage":
		return "F16"
	case "torch BFloat16Storage":
		return "BF16"
	case "torch LongStorage":
		return "I64"
	case "torch IntStorage":
		return "I32"
	case "torch ShortStorage":
		return "I16"
	case "torch CharStorage":
		return "I8"
	case "torch ByteStorage":
		return "U8"
	case "torch BoolStorage":
		return "BOOL"
	}
	return ""
}

func known(g global) bool {
	switch g {
	case "collections OrderedDict", "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter", "torch Size":
		return true
	}
	return storageType(g) != ""
}

// machine is the unpickler's state (Python's pickletools documents the opcodes).
type machine struct {
	data  []byte
	at    int
	stack []any
	memo  map[int]any
}

func unpickle(data []byte) (v any, err error) {
	m := &machine{data: data, memo: map[int]any{}}
	for {
		start := m.at
		op, err := m.byte()
		if err == nil {
			var done bool
			if done, err = m.step(op); err == nil && done {
				return m.pop()
			}
		}
		if err != nil {
			return nil, fmt.Errorf("byte %d: %w", start, err)
		}
	}
}

var errEnd = errors.New("the pickle ends too early")

func (m *machine) byte() (byte, error) {
	b, err := m.take(1)
	if err != nil {
		return 0, err
	}
	return b[0], nil
}

func (m *machine) take(n uint64) ([]byte, error) {
	if n > uint64(len(m.data)-m.at) {
		return nil, errEnd
	}
	b := m.data[m.at : m.at+int(n)]
	m.at += int(n)
	return b, nil
}

func (m *machine) uint(bytes uint64) (uint64, error) {
	b, err := m.take(bytes)
	if err != nil {
		return 0, err
	}
	var v [8]byte
	copy(v[:], b)
	return binary.LittleEndian.Uint64(v[:]), nil
}

func (m *machine) line() (string, error) {
	i := strings.IndexByte(string(m.data[m.at:min(len(m.data), m.at+4096)]), '\n')
	if i < 0 {
		return "", errEnd
	}
	b, err := m.take(uint64(i + 1))
	return strings.TrimSuffix(string(b), "\n"), err
}

func (m *machine) push(v any) { m.stack = append(m.stack, v) }

func (m *machine) pop() (any, error) {
	if len(m.stack) == 0 {
		return nil, errors.New("the stack is empty")
	}
	v := m.stack[len(m.stack)-1]
	m.stack = m.stack[:len(m.stack)-1]
	return v, nil
}

func (m *machine) top() (any, error) {
	if len(m.stack) == 0 {
		return nil, errors.New("the stack is empty")
	}
	return m.stack[len(m.stack)-1], nil
}

func (m *machine) popN(n int) ([]any, error) {
	if len(m.stack) < n {
		return nil, errors.New("the stack is empty")
	}
	out := append([]any(nil), m.stack[len(m.stack)-n:]...)
	m.stack = m.stack[:len(m.stack)-n]
	return out, nil
}

// sinceMark pops what lies above the last mark, and the mark.
func (m *machine) sinceMark() ([]any, error) {
	for i := len(m.stack) - 1; i >= 0; i-- {
		if _, ok := m.stack[i].(mark); ok {
			out := append([]any(nil), m.stack[i+1:]...)
			m.stack = m.stack[:i]
			return out, nil
		}
	}
	return nil, errors.New("there is no mark")
}

func (m *machine) step(op byte) (done bool, err error) {
	switch op {
	case 0x80: // PROTO
		v, err := m.byte()
		if err == nil && v > 5 {
			err = fmt.Errorf("pickle protocol %d is unknown", v)
		}
		return false, err
	case 0x95: // FRAME
		_, err := m.take(8)
		return false, err
	case '.': // STOP
		return true, nil
	case '(':
		m.push(mark{})
	case '0': // POP
		_, err := m.pop()
		return false, err
	case '1': // POP_MARK
		_, err := m.sinceMark()
		return false, err
	case 'N':
		m.push(nil)
	case 0x88:
		m.push(true)
	case 0x89:
		m.push(false)
	case '}':
		m.push(&dict{})
	case ']':
		m.push(&list{})
	case ')':
		m.push(tuple{})
	case 'J': // BININT
		v, err := m.uint(4)
		if err != nil {
			return false, err
		}
		m.push(int64(int32(v)))
	case 'K':
		return false, m.number(1)
	case 'M':
		return false, m.number(2)
	case 0x8a: // LONG1
		n, err := m.byte()
		if err != nil {
			return false, err
		}
		b, err := m.take(uint64(n))
		if err != nil {
			return false, err
		}
		if n > 8 {
			m.push(math.NaN()) // an integer beyond 64 bits: no size of a tensor
			return false, nil
		}
		var v uint64
		for i, x := range b {
			v |= uint64(x) << (8 * i)
		}
		if n > 0 && n < 8 && b[n-1]&0x80 != 0 {
			v |= ^uint64(0) << (8 * n)
		}
		m.push(int64(v))
	case 'G': // BINFLOAT, big-endian
		b, err := m.take(8)
		if err != nil {
			return false, err
		}
		m.push(math.Float64frombits(binary.BigEndian.Uint64(b)))
	case 'X', 0x8c, 0x8d, 'U', 'T', 'C', 'B', 0x8e: // strings and bytes
		size := map[byte]uint64{'X': 4, 0x8c: 1, 0x8d: 8, 'U': 1, 'T': 4, 'C': 1, 'B': 4, 0x8e: 8}[op]
		n, err := m.uint(size)
		if err != nil {
			return false, err
		}
		b, err := m.take(n)
		if err != nil {
			return false, err
		}
		m.push(string(b))
	case 'q', 'r', 0x94: // BINPUT, LONG_BINPUT, MEMOIZE
		at := uint64(len(m.memo))
		if op != 0x94 {
			if at, err = m.uint(map[byte]uint64{'q': 1, 'r': 4}[op]); err != nil {
				return false, err
			}
		}
		v, err := m.top()
		if err != nil {
			return false, err
		}
		m.memo[int(at)] = v
	case 'h', 'j': // BINGET, LONG_BINGET
		at, err := m.uint(map[byte]uint64{'h': 1, 'j': 4}[op])
		if err != nil {
			return false, err
		}
		v, ok := m.memo[int(at)]
		if !ok {
			return false, fmt.Errorf("memo %d is empty", at)
		}
		m.push(v)
	case 't':
		vs, err := m.sinceMark()
		if err != nil {
			return false, err
		}
		m.push(tuple(vs))
	case 0x85, 0x86, 0x87: // TUPLE1-3
		vs, err := m.popN(int(op-0x85) + 1)
		if err != nil {
			return false, err
		}
		m.push(tuple(vs))
	case 'l':
		vs, err := m.sinceMark()
		if err != nil {
			return false, err
		}
		m.push(&list{items: vs})
	case 'd':
		vs, err := m.sinceMark()
		if err != nil {
			return false, err
		}
		d := &dict{}
		m.push(d)
		return false, d.set(vs)
	case 'a', 'e': // APPEND, APPENDS
		return false, m.appendTo(op == 'a')
	case 's', 'u': // SETITEM, SETITEMS
		return false, m.setItems(op == 's')
	case 'c': // GLOBAL
		module, err := m.line()
		if err != nil {
			return false, err
		}
		name, err := m.line()
		if err != nil {
			return false, err
		}
		return false, m.global(module, name)
	case 0x93: // STACK_GLOBAL
		vs, err := m.popN(2)
		if err != nil {
			return false, err
		}
		module, ok1 := vs[0].(string)
		name, ok2 := vs[1].(string)
		if !ok1 || !ok2 {
			return false, errors.New("a global is not named by two strings")
		}
		return false, m.global(module, name)
	case 'Q': // BINPERSID
		v, err := m.pop()
		if err != nil {
			return false, err
		}
		s, err := persistent(v)
		if err != nil {
			return false, err
		}
		m.push(s)
	case 'R': // REDUCE
		vs, err := m.popN(2)
		if err != nil {
			return false, err
		}
		v, err := reduce(vs[0], vs[1])
		if err != nil {
			return false, err
		}
		m.push(v)
	case 'b': // BUILD sets attributes; those of an OrderedDict are module metadata
		vs, err := m.popN(2)
		if err != nil {
			return false, err
		}
		if _, ok := vs[0].(*dict); !ok {
			return false, fmt.Errorf("attributes are set on %T, which this reader refuses", vs[0])
		}
		m.push(vs[0])
	default:
		return false, fmt.Errorf("opcode %#02x is not one that checkpoints use", op)
	}
	return false, nil
}

func (m *machine) number(bytes uint64) error {
	v, err := m.uint(bytes)
	if err == nil {
		m.push(int64(v))
	}
	return err
}

func (m *machine) global(module, name string) error {
	g := global(module + " " + name)
	if !known(g) {
		return fmt.Errorf("the pickle asks for %s, which this reader refuses: only tensors and dictionaries are read", strconv.Quote(module+"."+name))
	}
	m.push(g)
	return nil
}

func (m *machine) appendTo(one bool) error {
	var vs []any
	var err error
	if one {
		vs, err = m.popN(1)
	} else {
		vs, err = m.sinceMark()
	}
	if err != nil {
		return err
	}
	v, err := m.top()
	if err != nil {
		return err
	}
	l, ok := v.(*list)
	if !ok {
		return fmt.Errorf("items are appended to %T", v)
	}
	l.items = append(l.items, vs...)
	return nil
}

func (m *machine) setItems(one bool) error {
	var vs []any
	var err error
	if one {
		vs, err = m.popN(2)
	} else {
		vs, err = m.sinceMark()
	}
	if err != nil {
		return err
	}
	v, err := m.top()
	if err != nil {
		return err
	}
	d, ok := v.(*dict)
	if !ok {
		return fmt.Errorf("items are set on %T", v)
	}
	return d.set(vs)
}

func (d *dict) set(vs []any) error {
	if len(vs)%2 != 0 {
		return errors.New("a key has no value")
	}
	for i := 0; i < len(vs); i += 2 {
		switch vs[i].(type) {
		case string, int64, bool, float64, nil:
		default:
			return fmt.Errorf("a dictionary key is %T", vs[i])
		}
		d.keys = append(d.keys, vs[i])
		d.values = append(d.values, vs[i+1])
	}
	return nil
}

// persistent reads ('storage', class, key, location, numel).
func persistent(v any) (*storage, error) {
	t, ok := v.(tuple)
	if !ok || len(t) != 5 || t[0] != any("storage") {
		return nil, errors.New("a persistent id is not that of a storage")
	}
	class, ok1 := t[1].(global)
	key, ok2 := t[2].(string)
	numel, ok3 := t[4].(int64)
	if !ok1 || !ok2 || !ok3 || numel < 0 || numel > math.MaxInt64/16 {
		return nil, errors.New("the persistent id of a storage is malformed")
	}
	d := storageType(class)
	if d == "" {
		return nil, fmt.Errorf("storage class %q is unknown", class)
	}
	return &storage{dtype: d, key: key, numel: numel}, nil
}

func reduce(f, args any) (any, error) {
	g, ok := f.(global)
	a, ok2 := args.(tuple)
	if !ok || !ok2 {
		return nil, fmt.Errorf("%T is called, which this reader refuses", f)
	}
	switch g {
	case "collections OrderedDict":
		d := &dict{}
		if len(a) == 0 {
			return d, nil
		}
		l, ok := a[0].(*list)
		if !ok {
			return nil, errors.New("OrderedDict is not made from a list")
		}
		for _, item := range l.items {
			var pair []any
			switch p := item.(type) {
			case *list:
				pair = p.items
			case tuple:
				pair = p
			}
			if len(pair) != 2 {
				return nil, errors.New("OrderedDict is not made from pairs")
			}
			if err := d.set(pair); err != nil {
				return nil, err
			}
		}
		return d, nil
	case "torch Size":
		if len(a) == 1 {
			return a[0], nil
		}
	case "torch._utils _rebuild_parameter":
		if len(a) >= 1 {
			if t, ok := a[0].(*tensor); ok {
				return t, nil
			}
		}
	case "torch._utils _rebuild_tensor_v2":
		if len(a) < 4 {
			break
		}
		s, ok := a[0].(*storage)
		offset, ok2 := a[1].(int64)
		shape, ok3 := ints(a[2])
		stride, ok4 := ints(a[3])
		if ok && ok2 && ok3 && ok4 {
			return &tensor{storage: s, offset: offset, shape: shape, stride: stride}, nil
		}
	}
	return nil, fmt.Errorf("the call of %q is malformed", g)
}

func ints(v any) ([]int64, bool) {
	t, ok := v.(tuple)
	if !ok {
		return nil, false
	}
	out := make([]int64, len(t))
	for i, e := range t {
		if out[i], ok = e.(int64); !ok {
			return nil, false
		}
	}
	return out, true
}
