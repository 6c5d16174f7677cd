package lab

import (
	"cmp"
	_ "embed"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/goccy/go-yaml"
)

// Text is a text in the languages of the page.
type Text struct {
	En string `json:"en" yaml:"en"`
	Ko string `json:"ko" yaml:"ko"`
}

// In returns the text in a language, "en" or "ko".
func (t Text) In(language string) string {
	if language == "ko" && t.Ko != "" {
		return t.Ko
	}
	return t.En
}

// Words are all texts of the laboratory that a reader sees, from words.yaml.
type Words struct {
	// Experiments have their texts by the experiment's id.
	Experiments map[string]struct {
		Question Text     `yaml:"question"`
		Lesson   Text     `yaml:"lesson"`
		Steps    []Text   `yaml:"steps"`
		Refs     []string `yaml:"refs"`
		Curl     []string `yaml:"curl"`
	} `yaml:"experiments" json:"-"`
	// Strategies have title and price by their slug.
	Strategies map[string]struct {
		Title    Text `yaml:"title"`
		PaysWith Text `yaml:"pays_with"`
	} `yaml:"strategies" json:"-"`
	Columns map[string]Text `yaml:"columns" json:"columns"` // heads of tables by the member of a Result
	Marks   map[string]Text `yaml:"marks" json:"marks"`     // by Result.Mark and Result.Attack
	Why     map[string]Text `yaml:"why" json:"why"`         // reasons of what is null, by their word
	Values  map[string]Text `yaml:"values" json:"values"`   // words that Result.Values has
	Tables  map[string]Text `yaml:"tables" json:"-"`        // what the tables of the terminal and of documents say besides
	Facts   map[string]Text `yaml:"facts" json:"-"`         // heads of rows by the id of a fact
	// Steps are the Korean for Exchange.Who and Exchange.Does, by the English, with {n} for
	// each number or time.
	Steps map[string]string `yaml:"steps" json:"steps"`
}

var numbers = regexp.MustCompile(`\d[\dhms]*`)

// Step returns Exchange.Who or Exchange.Does in a language. The name of a user is the same
// in both. Each number and time in it is written as span does.
func (w *Words) Step(english, language string, span func(number string) string) string {
	form := numbers.ReplaceAllString(english, "{n}")
	if language == "ko" {
		form = cmp.Or(w.Steps[english], w.Steps[form], form)
	}
	for _, number := range numbers.FindAllString(english, -1) {
		form = strings.Replace(form, "{n}", span(number), 1)
	}
	return form
}

//go:embed words.yaml
var wordsFile []byte

// AllWords returns the words. They are embedded: what is wrong with them is a fault of the
// build, and panics in every test.
var AllWords = sync.OnceValue(func() *Words {
	var w Words
	if err := yaml.UnmarshalWithOptions(wordsFile, &w, yaml.Strict()); err != nil {
		panic(err)
	}
	return &w
})

func mustUnmarshal(b []byte, v any) {
	if err := json.Unmarshal(b, v); err != nil {
		panic(err) // marshal has made it
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
