package share_test

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/islm-dev/islm/augment/share"
)

// A pack can also travel as a plain Go module: a package that embeds its folder.
//
//	package hedges
//
//	//go:embed pack.yaml rules lists
//	var FS embed.FS
//
//go:embed testdata/hedges
var module embed.FS

// The digest of an embedded pack is the one that stands in locks and signatures,
// so that go.sum and islm.lock.yaml speak of the same bytes.
func ExampleMeasure() {
	pack, err := fs.Sub(module, "testdata/hedges")
	if err != nil {
		fmt.Println(err)
		return
	}
	id, err := share.PackID(pack)
	if err != nil {
		fmt.Println(err)
		return
	}
	c, err := share.Measure(context.Background(), pack, id)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(c.ID, c.SHA256[:16], c.Size)
	// Output: pack hedges 0.2.0 81a98fd0a14b9957 4608
}
