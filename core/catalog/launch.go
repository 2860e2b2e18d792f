package catalog

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/islm-dev/islm/sdk/host"
)

// LaunchOptions are the settings of a launch that do not come from the catalog.
type LaunchOptions struct {
	Logger      hclog.Logger  // nil for silence
	DataDir     string        // where the plugin may keep files
	IdleTimeout time.Duration // longest silence of a stream, 0 for the host's default
}

// Launch starts the plugin of that name. The caller closes it.
func (c *Catalog) Launch(ctx context.Context, name string, opts LaunchOptions) (*host.Plugin, Entry, error) {
	e, err := c.Find(name)
	if err != nil {
		return nil, Entry{}, err
	}
	p, err := launch(ctx, e, opts)
	return p, e, err
}

func launch(ctx context.Context, e Entry, opts LaunchOptions) (*host.Plugin, error) {
	sum, err := hex.DecodeString(e.SHA256)
	if err != nil {
		return nil, fmt.Errorf("launch plugin %s: %w", e.Name, err)
	}
	return host.Launch(ctx, host.Config{Path: e.Path, SHA256: sum, Logger: opts.Logger, DataDir: opts.DataDir, IdleTimeout: opts.IdleTimeout, Dev: e.Dev()})
}
