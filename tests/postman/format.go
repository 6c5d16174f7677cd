package main

import "strings"

// The form of a collection, version 2.1.0.
type (
	collection struct {
		Info     info        `json:"info"`
		Item     []itemGroup `json:"item"`
		Event    []event     `json:"event"`
		Variable []pair      `json:"variable"`
	}

	info struct {
		ID          string `json:"_postman_id"`
		Name        string `json:"name"`
		Description string `json:"description"`
		Schema      string `json:"schema"`
	}

	itemGroup struct {
		Name        string `json:"name"`
		Description string `json:"description"`
		Item        []item `json:"item"`
		Auth        *auth  `json:"auth,omitempty"`
	}

	item struct {
		Name     string  `json:"name"`
		Event    []event `json:"event"`
		Request  sending `json:"request"`
		Response []saved `json:"response"`
	}

	event struct {
		Listen string `json:"listen"`
		Script struct {
			Type string   `json:"type"`
			Exec []string `json:"exec"`
		} `json:"script"`
	}

	pair struct {
		Key   string `json:"key"`
		Value string `json:"value"`
		Type  string `json:"type,omitempty"`
	}

	auth struct {
		Type   string `json:"type"`
		Bearer []pair `json:"bearer,omitempty"`
	}

	address struct {
		Raw  string   `json:"raw"`
		Host []string `json:"host"`
		Path []string `json:"path"`
	}

	payload struct {
		Mode    string `json:"mode"`
		Raw     string `json:"raw"`
		Options struct {
			Raw struct {
				Language string `json:"language"`
			} `json:"raw"`
		} `json:"options"`
	}

	sending struct {
		Method      string   `json:"method"`
		Header      []pair   `json:"header"`
		URL         address  `json:"url"`
		Auth        *auth    `json:"auth,omitempty"`
		Body        *payload `json:"body,omitempty"`
		Description string   `json:"description,omitempty"`
	}

	// saved is an example answer.
	saved struct {
		Name     string  `json:"name"`
		Request  sending `json:"originalRequest"`
		Status   string  `json:"status"`
		Code     int     `json:"code"`
		Language string  `json:"_postman_previewlanguage"`
		Header   []pair  `json:"header"`
		Cookie   []pair  `json:"cookie"`
		Body     string  `json:"body"`
	}
)

// script returns an event whose script has these lines.
func script(listen, text string) event {
	e := event{Listen: listen}
	e.Script.Type, e.Script.Exec = "text/javascript", strings.Split(text, "\n")
	return e
}
