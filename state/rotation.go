package state

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"io"
	"time"
)

// An opaque credential, of a session as of a refresh token, is lookup ‖ secret:
// 22 characters that find the record and 22 that open it. The store's key is a
// hash of the first, the record holds a hash of the second, so renewing the
// credential is one update of one record under one key.
type opaque struct {
	key    Key
	secret string
}

const opaqueChars = 2 * secretChars

// parseOpaque splits a credential of the given strategy. ok is false if it
// cannot be one.
func parseOpaque(slug, credential string) (o opaque, ok bool) {
	if len(credential) != opaqueChars {
		return opaque{}, false
	}
	return opaque{KeyOf(slug, credential[:secretChars]), credential[secretChars:]}, true
}

// mint draws a credential, and returns it with the key of its record and the
// rotation that it opens.
func mint(random io.Reader, slug string) (credential string, k Key, rot Rotation, err error) {
	lookup, err := newSecret(random)
	if err != nil {
		return "", Key{}, Rotation{}, err
	}
	secret, err := newSecret(random)
	if err != nil {
		return "", Key{}, Rotation{}, err
	}
	rot.Current = digestOf(secret)
	_, err = io.ReadFull(random, rot.Salt[:])
	return lookup + secret, KeyOf(slug, lookup), rot, err
}

// open returns the live record that a credential opens, or ErrUnknown: nobody
// learns whether the lookup or the secret was wrong.
func open(ctx context.Context, s Store, slug, credential string) (opaque, Record, error) {
	o, ok := parseOpaque(slug, credential)
	if !ok {
		return o, Record{}, ErrUnknown
	}
	rec, err := s.Load(ctx, o.key)
	switch {
	case errors.Is(err, ErrNotFound):
		return o, Record{}, ErrUnknown
	case err != nil:
		return o, Record{}, failed(err)
	case rec.Rotation.Revoked || rec.Rotation.judge(o.secret, 0, 0) != current:
		return o, Record{}, ErrUnknown
	}
	return o, rec, nil
}

// Rotation is the part of a record that tells which secret opens it, and which
// one did before. All secrets are hashed.
type Rotation struct {
	Current   digest   `json:"current,omitzero,format:base64url"`
	Previous  digest   `json:"previous,omitzero,format:base64url"`
	Salt      [16]byte `json:"salt,omitzero,format:base64url"`
	RotatedAt Micros   `json:"rotated_at,omitzero"`
	Revoked   bool     `json:"revoked,omitzero"`
}

// A verdict is what a rotation says of a presented secret.
type verdict int

const (
	stale    verdict = iota // neither the current nor a recent secret
	current                 // the current secret
	previous                // the one before, within the overlap
)

// judge compares in constant time, so that timing tells nothing of the hash.
func (rot *Rotation) judge(secret string, now Micros, overlap time.Duration) verdict {
	d := digestOf(secret)
	switch {
	case subtle.ConstantTimeCompare(d[:], rot.Current[:]) == 1:
		return current
	case overlap > 0 && now.Sub(rot.RotatedAt) < overlap && subtle.ConstantTimeCompare(d[:], rot.Previous[:]) == 1:
		return previous
	}
	return stale
}

// successor returns the secret that follows the presented one. It is derived,
// so the server can repeat its answer for a client that presents the previous
// secret within the overlap although it keeps hashes only. Nobody can compute
// it without the presented secret and the record's salt.
func (rot *Rotation) successor(presented string) string {
	mac := hmac.New(sha256.New, []byte(presented))
	mac.Write(rot.Salt[:])
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16])
}

// renew gives way to the successor of the presented secret.
func (rot *Rotation) renew(presented string, now Micros) (successor string) {
	successor = rot.successor(presented)
	rot.Previous, rot.Current, rot.RotatedAt = rot.Current, digestOf(successor), now
	return successor
}

// rotate is the one state machine behind every renewal of an opaque
// credential, a compare-and-swap on one record:
//
//	current secret             the successor becomes current, change is applied
//	previous, within overlap   the same successor once more, nothing is written
//	anything else              ErrReuse, with the record as it is
//
// The caller may have read the record before: then it is rec, and else rec is zero.
// However many callers present one secret at once, they get one successor.
// Besides ErrReuse it returns ErrUnknown, ErrRevoked, the error of change, or
// one that wraps ErrUnavailable.
func rotate(
	ctx context.Context, s Store, o opaque, rec Record, now Micros, overlap time.Duration, change func(*Record) error,
) (Record, string, error) {
	for i := range attempts {
		if i > 0 || rec.Rev == 0 {
			var err error
			switch rec, err = s.Load(ctx, o.key); {
			case errors.Is(err, ErrNotFound):
				return Record{}, "", ErrUnknown
			case err != nil:
				return Record{}, "", failed(err)
			}
		}
		if rec.Rotation.Revoked {
			return rec, "", ErrRevoked
		}
		switch rec.Rotation.judge(o.secret, now, overlap) {
		case previous:
			return rec, rec.Rotation.successor(o.secret), nil
		case stale:
			return rec, "", ErrReuse
		}
		successor := rec.Rotation.renew(o.secret, now)
		if err := change(&rec); err != nil {
			return Record{}, "", err
		}
		switch err := s.Update(ctx, o.key, rec.Rev, rec); {
		case err == nil:
			return rec, successor, nil
		case !errors.Is(err, ErrConflict) && !errors.Is(err, ErrNotFound):
			return Record{}, "", failed(err)
		}
	}
	return Record{}, "", ErrConflict
}
