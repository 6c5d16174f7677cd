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
	if len(l.Cart) > 0 || r.Count != 0 || r.Ended != nil || r.Foreign != nil || rot.Revoked {
		p.rest = &rest{l.Cart, r.Count, r.Ended, r.Foreign, rot.Revoked}
	}
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

// recordBytes is about how many bytes of memory a login with short texts takes, with its
// places in the maps: between 350 and 430, the more the fewer logins its account has.
const recordBytes = 390

// sizeOf returns about how many bytes of memory the store takes for a record.
func sizeOf(r *state.Record) int64 { return recordBytes + r.VariableBytes() }
