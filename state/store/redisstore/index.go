package redisstore

import (
	"context"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"statelab/state"
	"statelab/state/store"
)

// The index of a subject is three kinds of keys: a set with the strategies that
// it has records of, and for each strategy two sorted sets with the keys of its
// records, one of the live logins and one of the revoked, by the time at which
// the login began.
//
// The subject stands in braces, so that on a cluster the keys of one index lie in
// one slot and one script writes them. The records lie in other slots. So the
// index is written before a record is created and after it was revoked, and its
// readers repair it: an entry whose record is in the other set moves there, and
// an entry without a record goes, once it is too old to be that of a record which
// is just being created.

// indexSettles is how long an entry of an index may wait for its record.
const indexSettles = time.Minute

// subjectTag is the part that the keys of one index share. Without the escape, a
// subject with a brace in it would spread its keys over several slots.
func subjectTag(subject string) string { return "{" + url.QueryEscape(subject) + "}" }

// strategiesKey is the key of the set of a subject's strategies.
func strategiesKey(subject string) string { return keyPrefix + "strategies:" + subjectTag(subject) }

// loginsKey is the key of a sorted set of logins, the live or the revoked ones.
func loginsKey(subject, strategy string, revoked bool) string {
	kind := "live:"
	if revoked {
		kind = "revoked:"
	}
	return keyPrefix + kind + subjectTag(subject) + ":" + strategy
}

// indexScript lists a login in the first sorted set and no longer in the second.
// A key of another type gives way. Each key lasts as long as its longest login.
var indexScript = redis.NewScript(`
for i, want in ipairs({'set', 'zset', 'zset'}) do
	local kind = redis.call('TYPE', KEYS[i]).ok
	if kind ~= want and kind ~= 'none' then redis.call('DEL', KEYS[i]) end
end
redis.call('SADD', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[3])
redis.call('ZREM', KEYS[3], ARGV[3])
for i = 1, 2 do
	if redis.call('PTTL', KEYS[i]) < tonumber(ARGV[4]) then redis.call('PEXPIRE', KEYS[i], ARGV[4]) end
end
return 1`)

// index lists a record where it belongs. Idle expiry moves with use, so the entry
// lasts until the absolute end of the login; of one without such an end, each change
// prolongs it.
func (s *Store) index(ctx context.Context, k state.Key, r state.Record) error {
	life := max(s.life(r), r.Login.ExpiresAt.Sub(state.MicrosOf(s.now())))
	subject, revoked := r.Login.Subject, r.Rotation.Revoked
	keys := []string{
		strategiesKey(subject), loginsKey(subject, r.Strategy, revoked), loginsKey(subject, r.Strategy, !revoked),
	}
	return wrap(indexScript.Run(ctx, s.client, keys, r.Strategy, int64(r.Login.IssuedAt), k.String(), life.Milliseconds()).Err())
}

// BySubject implements state.Store: the strategies, then their logins.
func (s *Store) BySubject(ctx context.Context, subject string) ([]state.Entry, error) {
	if subject == "" {
		return nil, ctx.Err()
	}
	strategies, err := s.client.SMembers(ctx, strategiesKey(subject)).Result()
	if redis.HasErrorPrefix(err, "WRONGTYPE") {
		return nil, nil
	}
	if err != nil {
		return nil, wrap(err)
	}
	var all []state.Entry
	for _, strategy := range strategies {
		for _, ended := range []bool{false, true} {
			q := state.LoginQuery{Subject: subject, Strategy: strategy, Ended: ended}
			entries, err := s.read(ctx, q, wholeRecord, func(_ redis.Z, text []byte) (state.Record, error) { return s.decode(text) })
			if err != nil {
				return nil, err
			}
			all = append(all, entries...)
		}
	}
	return all, nil
}

// Logins implements state.Store: the index, then the heads of its records in one
// pipeline. An index with no more entries than are left out is not read.
func (s *Store) Logins(ctx context.Context, q state.LoginQuery) ([]state.LoginHead, error) {
	if q.Subject == "" {
		return nil, ctx.Err()
	}
	if q.Skip > 0 {
		n, err := s.client.ZCard(ctx, loginsKey(q.Subject, q.Strategy, q.Ended)).Result()
		if redis.HasErrorPrefix(err, "WRONGTYPE") || err == nil && n <= int64(q.Skip) {
			return nil, nil
		}
		if err != nil {
			return nil, wrap(err)
		}
	}
	entries, err := s.read(ctx, q, headOnly, func(m redis.Z, text []byte) (state.Record, error) { return s.head(ctx, q, m, text) })
	if err != nil {
		return nil, err
	}
	all := make([]state.LoginHead, len(entries))
	for i := range entries {
		all[i] = state.HeadOf(entries[i].Key, &entries[i].Record)
	}
	return store.Oldest(all, q.Skip), nil
}

// How much of each record a reader of an index asks for: GETRANGE takes the last byte.
const (
	wholeRecord = -1
	headOnly    = 127 // a head has five numbers of at most 20 characters
)

// head reads the head of a record into a Record without its state. One that an older
// version has written has a shorter head, and is read whole.
func (s *Store) head(ctx context.Context, q state.LoginQuery, m redis.Z, text []byte) (state.Record, error) {
	line, _, _ := strings.Cut(string(text), "\n")
	words := strings.Split(line, " ")
	if k, ok := state.ParseKey(name(m)); ok && len(words) == 2 {
		return s.Load(ctx, k)
	}
	var n [5]int64 // the revision, Expires, LastSeen, ExpiresAt, and whether it was revoked
	if len(words) != len(n) {
		return state.Record{}, state.ErrNotFound
	}
	for i, word := range words {
		var err error
		if n[i], err = strconv.ParseInt(word, 10, 64); err != nil {
			return state.Record{}, state.ErrNotFound
		}
	}
	r := state.Record{
		Strategy: q.Strategy, Expires: state.Micros(n[1]), LastSeen: state.Micros(n[2]), Rotation: state.Rotation{Revoked: n[4] == 1},
		Login: state.Login{Subject: q.Subject, IssuedAt: state.Micros(m.Score), ExpiresAt: state.Micros(n[3])},
	}
	if state.MicrosOf(s.now()) >= r.Expires {
		return state.Record{}, state.ErrNotFound
	}
	return r, nil
}

// read returns the records that an index lists, as decode makes them out of their bytes
// up to the last one, and repairs the index.
func (s *Store) read(
	ctx context.Context, q state.LoginQuery, last int64, decode func(m redis.Z, text []byte) (state.Record, error),
) ([]state.Entry, error) {
	key := loginsKey(q.Subject, q.Strategy, q.Ended)
	members, err := s.client.ZRangeWithScores(ctx, key, 0, -1).Result()
	if redis.HasErrorPrefix(err, "WRONGTYPE") {
		return nil, nil
	}
	if err != nil || len(members) == 0 {
		return nil, wrap(err)
	}
	pipe := s.client.Pipeline()
	texts := make([]*redis.StringCmd, len(members))
	for i, m := range members {
		texts[i] = pipe.GetRange(ctx, keyPrefix+"record:"+name(m), 0, last)
	}
	if _, err := pipe.Exec(ctx); !isAnswer(err) {
		return nil, wrap(err)
	}
	var entries []state.Entry
	var stale []any
	settled := float64(state.MicrosOf(s.now().Add(-indexSettles)))
	for i, m := range members {
		text, err := texts[i].Bytes()
		if !isAnswer(err) {
			return nil, wrap(err)
		}
		k, ok := state.ParseKey(name(m))
		r, decodeErr := decode(m, text)
		switch {
		case decodeErr != nil && !errors.Is(decodeErr, state.ErrNotFound):
			return nil, decodeErr
		case err != nil || !ok || decodeErr != nil:
			if m.Score < settled {
				stale = append(stale, m.Member)
			}
		case r.Rotation.Revoked != q.Ended:
			_ = s.index(ctx, k, r) // or the next reader does
		default:
			entries = append(entries, state.Entry{Key: k, Record: r})
		}
	}
	if len(stale) > 0 {
		_ = s.client.ZRem(ctx, key, stale...).Err() // or the next reader does
	}
	return entries, nil
}

// isAnswer says whether Redis has answered: with a value, with none, or that the
// key is of another type.
func isAnswer(err error) bool {
	return err == nil || errors.Is(err, redis.Nil) || redis.HasErrorPrefix(err, "WRONGTYPE")
}

func name(m redis.Z) string {
	s, _ := m.Member.(string)
	return s
}

// endScript ends the record under its key, if it has not expired: it deletes the
// record, or puts the document of a revoked one in its place.
const endScript = `
local old = redis.pcall('GET', KEYS[1])
if type(old) ~= 'string' then return 0 end
local rev, expires = string.match(old, '^(%d+) (%d+)[ \n]')
if not rev then return 0 end
local lives = tonumber(expires) > tonumber(ARGV[1])
if #ARGV == 1 then
	redis.call('DEL', KEYS[1])
elseif lives then
	redis.call('SET', KEYS[1], string.format('%d ', tonumber(rev) + 1) .. expires .. ' 0 ' .. expires .. ' 1\n' ..
		ARGV[2] .. expires .. ARGV[3] .. expires .. ARGV[4], 'KEEPTTL')
end
return lives and 1 or 0`

// EndSubject implements state.Store: the index, its records in one pipeline, and
// the index again. What it does not get to, the next reader of the index repairs.
func (s *Store) EndSubject(ctx context.Context, e state.Ending) (int, error) {
	if e.Subject == "" {
		return 0, ctx.Err()
	}
	parts, err := e.Document()
	if err != nil {
		return 0, err
	}
	key := loginsKey(e.Subject, e.Strategy, e.Ended)
	before := &redis.ZRangeBy{Min: "-inf", Max: strconv.FormatInt(int64(e.Until), 10)}
	members, err := s.client.ZRangeByScoreWithScores(ctx, key, before).Result()
	if redis.HasErrorPrefix(err, "WRONGTYPE") {
		return 0, nil
	}
	if err != nil {
		return 0, wrap(err)
	}
	now := int64(state.MicrosOf(s.now()))
	pipe := s.client.Pipeline()
	var done []*redis.Cmd
	var ended []redis.Z
	for _, m := range members {
		k := name(m)
		if k == e.Except {
			continue
		}
		args := []any{now}
		if !e.Delete {
			args = append(args, parts[0]+k+parts[1]+strconv.FormatInt(int64(m.Score), 10)+parts[2], parts[3], parts[4])
		}
		done = append(done, pipe.Eval(ctx, endScript, []string{keyPrefix + "record:" + k}, args...))
		ended = append(ended, m)
	}
	if len(done) == 0 {
		return 0, nil
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return 0, wrap(err)
	}
	var moved []any // the others may be just being created, or lead nowhere
	for i, c := range done {
		if lived, _ := c.Int(); lived == 1 {
			moved = append(moved, int64(ended[i].Score), ended[i].Member)
		}
	}
	if len(moved) == 0 {
		return 0, nil
	}
	keys := []string{key}
	if !e.Delete {
		keys = append(keys, loginsKey(e.Subject, e.Strategy, true))
	}
	return len(moved) / 2, wrap(moveScript.Run(ctx, s.client, keys, moved...).Err())
}

// moveScript takes entries out of the first sorted set, and lists them in the
// second, if there is one, which then lasts as long.
var moveScript = redis.NewScript(`
local life = redis.call('PTTL', KEYS[1])
for i = 1, #ARGV, 2 do
	redis.call('ZREM', KEYS[1], ARGV[i + 1])
	if KEYS[2] then redis.call('ZADD', KEYS[2], ARGV[i], ARGV[i + 1]) end
end
if KEYS[2] and redis.call('PTTL', KEYS[2]) < life then redis.call('PEXPIRE', KEYS[2], life) end
return 1`)
