package memory

import (
	"encoding/binary"

	"statelab/state"
)

// A packed record takes less than half of the memory of a state.Record: its texts are one
// string, and what is empty in most records is elsewhere.
type packed struct {
	texts    string // see textsOf
	expires  state.Micros
	lastSeen state.Micros
	rev      int64
	login    *login   // nil for a record of no login
	renewed  *renewed // nil until the credential is renewed
	rest     *rest    // nil in most records
}

// login is what each record of a login has.
type login struct {
	credits, version    int64
	issuedAt, expiresAt state.Micros
	current             [32]byte
	salt                [16]byte
}

// renewed is what a rotation knows of the credential before.
type renewed struct {
	previous [32]byte
	at       state.Micros
}

// rest is what few records have.
type rest struct {
	cart    []string
	count   int64
	ended   *state.Ended
	foreign []byte
	revoked bool
}

// textsOf returns the texts of a record in the order in which packed keeps them, each after
// its length. Those that a search compares come first.
func textsOf(r *state.Record) [11]*string {
	l := &r.Login
	return [...]*string{
		&l.Subject, &r.Strategy, (*string)(&r.Kind), &l.ID,
		&l.Username, &l.DisplayName, &l.Role, &l.Theme, &l.Language, &l.Nickname, &l.Note,
	}
}

// set replaces the record. It keeps the memory of what does not change.
func (p *packed) set(r *state.Record) {
	var short [256]byte
	texts := short[:0]
	for _, text := range textsOf(r) {
		texts = append(binary.AppendUvarint(texts, uint64(len(*text))), *text...)
	}
	if string(texts) != p.texts {
		p.texts = string(texts)
	}
	p.expires, p.lastSeen, p.rev = r.Expires, r.LastSeen, r.Rev
	l, rot := &r.Login, &r.Rotation
	replace(&p.login, login{l.Credits, l.Version, l.IssuedAt, l.ExpiresAt, rot.Current, rot.Salt})
	replace(&p.renewed, renewed{rot.Previous, rot.RotatedAt})
	p.rest = nil
	if hasRest(r) {
		p.rest = &rest{l.Cart, r.Count, r.Ended, r.Foreign, rot.Revoked}
	}
}

func hasRest(r *state.Record) bool {
	return len(r.Login.Cart) > 0 || r.Count != 0 || r.Ended != nil || r.Foreign != nil || r.Rotation.Revoked
}

// replace writes a part of a record to where it stands, or nil if it is empty.
func replace[T comparable](to **T, part T) {
	var empty T
	switch {
	case part == empty:
		*to = nil
	case *to == nil:
		*to = &part
	default:
		**to = part
	}
}

// record returns the record. It shares the texts, and allocates nothing.
func (p *packed) record() (r state.Record) {
	texts := p.texts
	for _, to := range textsOf(&r) {
		*to, texts = nextText(texts)
	}
	r.Expires, r.LastSeen, r.Rev = p.expires, p.lastSeen, p.rev
	l, rot := &r.Login, &r.Rotation
	if of := p.login; of != nil {
		l.Credits, l.Version, l.IssuedAt, l.ExpiresAt = of.credits, of.version, of.issuedAt, of.expiresAt
		rot.Current, rot.Salt = of.current, of.salt
	}
	if of := p.renewed; of != nil {
		rot.Previous, rot.RotatedAt = of.previous, of.at
	}
	if of := p.rest; of != nil {
		l.Cart, r.Count, r.Ended, r.Foreign, rot.Revoked = of.cart, of.count, of.ended, of.foreign, of.revoked
	}
	return r
}

// subject returns whose login it is, or "".
func (p *packed) subject() string {
	subject, _ := nextText(p.texts)
	return subject
}

// nextText returns the text at the beginning and what follows it.
func nextText(texts string) (text, following string) {
	var length, shift uint
	for i := range len(texts) {
		b := texts[i]
		length |= uint(b&0x7f) << shift
		if b < 0x80 {
			return texts[i+1 : uint(i)+1+length], texts[uint(i)+1+length:]
		}
		shift += 7
	}
	return "", ""
}

// Bytes of memory. A login takes a place in the map of records, and the first one of an
// account a place and a text in the map of subjects. Maps are two thirds full.
const (
	recordBytes  = 96 + 2*40 + 32 // an entry, its places in the maps, and the text
	loginBytes   = 80
	renewedBytes = 48
	restBytes    = 80
	itemBytes    = 16 // of a cart, besides the text
	endedBytes   = 64 // of a login in state.Ended
)

// sizeOf returns about how many bytes of memory the store takes for a record.
func sizeOf(r *state.Record) int64 {
	n := recordBytes
	for _, text := range textsOf(r) {
		n += 1 + len(*text)
	}
	if r.Login.IssuedAt != 0 || r.Rotation.Salt != [16]byte{} {
		n += loginBytes
	}
	if r.Rotation.RotatedAt != 0 {
		n += renewedBytes
	}
	if hasRest(r) {
		n += restBytes + len(r.Foreign)
		for _, item := range r.Login.Cart {
			n += itemBytes + len(item)
		}
		if r.Ended != nil {
			n += len(r.Ended.Logins) * endedBytes
		}
	}
	return int64(n)
}
