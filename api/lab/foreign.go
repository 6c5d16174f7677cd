package lab

import (
	"context"
	"errors"
)

// ReadTarget reads a file.
func ReadTarget(string) (*Target, error) { return nil, errors.New("not yet") }

func (t *Target) describe() Strategy {
	return Strategy{ID: t.Name, Title: Text{En: t.Name, Ko: t.Name}, Foreign: true}
}

func (c *cell) abroad(ctx context.Context) error { _ = ctx; return nil }
