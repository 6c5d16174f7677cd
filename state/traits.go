package state

// Traits say what a strategy promises, as data. Tests hold every strategy to
// its traits, and tables are printed from them, so that no other code needs to
// ask which strategy it has before it.
type Traits struct {
	Holder        string `json:"holder"`         // who holds the state: "server" or "client"
	KeptIn        Place  `json:"kept_in"`        // where the server keeps a record of each login: a Place, or "" for nowhere
	Transport     string `json:"transport"`      // what carries the credential: "cookie" or "bearer"
	ProtectedBy   string `json:"protected_by"`   // "none", "signature", "encryption" or "randomness"
	Readable      bool   `json:"readable"`       // whoever has the credential can read the state
	TamperProof   bool   `json:"tamper_proof"`   // an edited credential is refused
	RollbackProof bool   `json:"rollback_proof"` // an older copy of the state cannot come back
	Revocable     bool   `json:"revocable"`      // a copy of the credential is dead after logout
	Listable      bool   `json:"listable"`       // the server can list a user's logins
	Everywhere    bool   `json:"everywhere"`     // one logout can end all of a user's logins
	Slides        bool   `json:"slides"`         // use keeps the login alive; idleness ends it

	// What the weak strategies of the classroom lack, in the words of OWASP's
	// Session Management Cheat Sheet.
	HTTPOnly  bool `json:"http_only"` // its cookie is out of reach of scripts
	SameSite  bool `json:"same_site"` // its cookie says which requests of other sites carry it
	StrictID  bool `json:"strict_id"` // an identifier counts only if the server has made it
	RenewsID  bool `json:"renews_id"` // a login gives a new identifier, and refresh another
	Expires   bool `json:"expires"`   // the server has an end for each login
	Versioned bool `json:"versioned"` // of two changes at once, neither is lost

	// RefreshToken says where a refresh token travels: "body" or "cookie", or "none" where
	// the credential renews itself.
	RefreshToken string `json:"refresh_token"`

	// SurvivesRestart names what must outlive the server's process for a login
	// to survive: "store", "database" or "key"; "process": it never does; "always".
	SurvivesRestart  string `json:"survives_restart"`
	NeedsSharedStore bool   `json:"needs_shared_store"` // several nodes must share a store
	NeedsSharedKey   bool   `json:"needs_shared_key"`   // several nodes must share a key
	SentByBrowser    bool   `json:"sent_by_browser"`    // the browser attaches it by itself: cross-site requests matter
	LimitBytes       int    `json:"limit_bytes"`        // what the credential may measure; 0: the state has no such wall
	StaleSeconds     int    `json:"stale_seconds"`      // how long a node may go by what another has changed or ended
}

// The words that traits use.
const (
	HolderServer = "server"
	HolderClient = "client"

	TransportCookie = "cookie"
	TransportBearer = "bearer"

	ProtectedByNone       = "none"
	ProtectedByRandomness = "randomness"
	ProtectedBySignature  = "signature"
	ProtectedByEncryption = "encryption"

	RefreshTokenNone   = "none"
	RefreshTokenBody   = "body"
	RefreshTokenCookie = "cookie"

	SurvivesWithStore    = string(PlaceStore)
	SurvivesWithDatabase = string(PlaceDatabase)
	SurvivesWithKey      = "key"
	SurvivesAlways       = "always"
)

// Limits of what a client can hold.
const (
	// CookieLimit is what browsers accept for a cookie's name and value
	// together, in bytes (RFC 6265bis, 5.6). They drop a larger one without a
	// word and keep the old one, so the server has to count.
	CookieLimit = 4096
	// TokenLimit keeps a token, in bytes, within the header sizes that common
	// proxies accept.
	TokenLimit = 8192
)
