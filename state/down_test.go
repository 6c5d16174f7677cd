package state_test

import (
	"context"
	"errors"

	"statelab/state"
)

// down is a store of which every operation fails.
type down struct{}

var errDown = errors.New("connection refused")

func (down) Name() string                                                        { return "down" }
func (down) Create(context.Context, state.Key, state.Record) error               { return errDown }
func (down) Load(context.Context, state.Key) (state.Record, error)               { return state.Record{}, errDown }
func (down) Update(context.Context, state.Key, int64, state.Record) error        { return errDown }
func (down) Delete(context.Context, state.Key) error                             { return errDown }
func (down) BySubject(context.Context, string) ([]state.Entry, error)            { return nil, errDown }
func (down) Logins(context.Context, state.LoginQuery) ([]state.LoginHead, error) { return nil, errDown }
func (down) EndSubject(context.Context, state.Ending) (int, error)               { return 0, errDown }
func (down) Ping(context.Context) error                                          { return errDown }
func (down) Close() error                                                        { return nil }
