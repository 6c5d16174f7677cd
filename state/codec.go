package state

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"

	"statelab/state/keys"
)

// A codec turns a state into the value of a cookie and back. It protects the
// value against the client that holds it.
type codec interface {
	// encode returns the value, made with the active key.
	encode(payload []byte) (string, error)
	// decode returns the payload of a value and the key that made it. It returns
	// ErrBadSignature for anything that encode did not return, and keys.ErrNoKey
	// where there is no key to tell by.
	decode(value string) ([]byte, *keys.Key, error)
}

// b64 is how bytes travel in a cookie. It refuses what encode never returns,
// so that there is one spelling of each value.
var b64 = base64.RawURLEncoding.Strict()

// unbase64 also refuses CR and LF, which the decoder skips.
func unbase64(s string) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, ErrBadSignature
	}
	b, err := b64.DecodeString(s)
	if err != nil {
		return nil, ErrBadSignature
	}
	return b, nil
}

// signed is base64url(payload) "." base64url(HMAC-SHA-256). Everybody can read
// the payload, nobody without the key can change it.
type signed struct {
	slug string // signed with the value, so that it is nothing to another strategy
	keys *keys.Ring
}

const macChars = 43 // 32 bytes in base64url

func (c signed) mac(k *keys.Key, payload string) []byte {
	mac := hmac.New(sha256.New, k.Secret())
	mac.Write([]byte(c.slug + "\x00" + payload))
	return mac.Sum(nil)
}

func (c signed) encode(payload []byte) (string, error) {
	k, err := c.keys.Active(keys.CookieSigning)
	if err != nil {
		return "", err
	}
	text := b64.EncodeToString(payload)
	return text + "." + b64.EncodeToString(c.mac(k, text)), nil
}

func (c signed) decode(value string) ([]byte, *keys.Key, error) {
	text, seal, ok := strings.Cut(value, ".")
	if !ok || len(seal) != macChars {
		return nil, nil, ErrBadSignature
	}
	presented, err := unbase64(seal)
	if err != nil {
		return nil, nil, err
	}
	// The signature before everything else: not a byte of the payload is looked
	// at until it is known to be ours (OWASP ASVS 5.0, 9.1.1).
	k, err := c.keys.Matching(keys.CookieSigning, func(k *keys.Key) bool { return hmac.Equal(presented, c.mac(k, text)) })
	if err != nil {
		return nil, nil, unmatched(err)
	}
	payload, err := unbase64(text)
	return payload, k, err
}

// unmatched turns the word of a ring that found no key for a credential into
// one about the credential. Without any key, there is nothing to say about it.
func unmatched(err error) error {
	if errors.Is(err, keys.ErrNoMatch) {
		return ErrBadSignature
	}
	return err
}

// sealed is base64url(nonce ‖ AES-256-GCM(payload)): nobody without the key
// can read or change it.
type sealed struct {
	slug string // authenticated with the value, as in signed
	keys *keys.Ring
}

func (c sealed) encode(payload []byte) (string, error) {
	k, err := c.keys.Active(keys.CookieSealing)
	if err != nil {
		return "", err
	}
	// The cipher draws its nonce by itself and puts it in front.
	return b64.EncodeToString(k.AEAD().Seal(nil, nil, payload, []byte(c.slug))), nil //nolint:gosec // no fixed nonce: it takes none
}

func (c sealed) decode(value string) ([]byte, *keys.Key, error) {
	box, err := unbase64(value)
	if err != nil {
		return nil, nil, err
	}
	var payload []byte
	k, err := c.keys.Matching(keys.CookieSealing, func(k *keys.Key) bool {
		payload, err = k.AEAD().Open(nil, nil, box, []byte(c.slug))
		return err == nil
	})
	if err != nil {
		return nil, nil, unmatched(err)
	}
	return payload, k, nil
}
