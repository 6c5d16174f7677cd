package lab

import "context"

func (t *Target) describe() Strategy {
	return Strategy{ID: t.Name, Title: Text{En: t.Name, Ko: t.Name}, Foreign: true}
}

func (c *cell) abroad(ctx context.Context) error { _ = ctx; return nil }
