package kge

// Job is a run: data, settings and where it takes place.
type Job struct {
	Data     *Data
	Settings Settings
	Dir      string // made; see OpenDir
	Resume   bool   // from the newest checkpoint, if there is one
	Threads  int    // 0 = all cores; a resumed run keeps its number
	Device   string // auto | cpu | cuda | cuda:N
	// Observe hears what happens, in order, on the caller's goroutine. Nil is
	// allowed.
	Observe func(Event)
}
