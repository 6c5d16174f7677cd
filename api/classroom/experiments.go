package classroom

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"

	"statelab/api"
	"statelab/api/bilingual"
	"statelab/api/lab"
	"statelab/api/rest"
	"statelab/state"
)

// Experiments is the answer of GET /classroom/experiments.
type Experiments struct {
	Experiments []lab.Outcome `json:"experiments"` // without results
	Words       *lab.Words    `json:"words"`
	Running     *lab.Progress `json:"running"` // null: no run is under way
}

// experiments tells which experiments there are, and how far a run has come.
func (room *Classroom) experiments(*gin.Context) (int, any, error) {
	out := Experiments{Experiments: []lab.Outcome{}, Words: lab.AllWords()}
	if progress, running := room.runner.Progress(); running {
		out.Running = &progress
	}
	for _, o := range room.runner.Latest().Experiments {
		o.Results = []lab.Result{}
		out.Experiments = append(out.Experiments, o)
	}
	return http.StatusOK, out, nil
}

// experiment tells what an experiment has found last, with all that was exchanged.
func (room *Classroom) experiment(c *gin.Context) (int, any, error) {
	id := c.Param("id")
	all := room.runner.Latest().Experiments
	i := slices.IndexFunc(all, func(o lab.Outcome) bool { return o.ID == id })
	if i < 0 {
		return 0, nil, rest.Faultf("not_found", "There is no such experiment.")
	}
	return http.StatusOK, all[i], nil
}

// runExperiment runs an experiment on private servers: what learners have is not touched.
func (room *Classroom) runExperiment(c *gin.Context) (int, any, error) {
	if _, _, err := room.experiment(c); err != nil {
		return 0, nil, err
	}
	in, err := rest.DecodeOptional[struct {
		Strategies []string `json:"strategies"`
	}](c, rest.JSONType)
	if err != nil {
		return 0, nil, err
	}
	all := state.Slugs()
	for i, slug := range in.Strategies {
		if !slices.Contains(all, slug) {
			return 0, nil, rest.Invalid(fmt.Sprintf("/strategies/%d", i), "The server has no such strategy.")
		}
	}
	// On a slow machine it takes longer than other answers may.
	_ = http.NewResponseController(c.Writer).SetWriteDeadline(time.Now().Add(lab.MaxRun))
	found, _ := lab.Find([]string{c.Param("id")})
	if err := room.runner.Run(c.Request.Context(), found, in.Strategies); err != nil {
		return 0, nil, busy(err)
	}
	return room.experiment(c)
}

// runExperiments begins to run all of them.
func (room *Classroom) runExperiments(c *gin.Context) (int, any, error) {
	progress, err := room.runner.Start()
	if err != nil {
		return 0, nil, busy(err)
	}
	c.Header("Location", "/classroom/experiments/run")
	return http.StatusAccepted, progress, nil
}

// progress tells how far the run is that is under way, or was last.
func (room *Classroom) progress(*gin.Context) (int, any, error) {
	progress, _ := room.runner.Progress()
	return http.StatusOK, progress, nil
}

// busy is the fault of a run that has to wait for another one.
func busy(err error) error {
	if errors.Is(err, lab.ErrBusy) {
		return rest.Faultf("busy", "Another run of experiments is under way. GET /classroom/experiments/run tells how far it is.")
	}
	return rest.Failed(err)
}

// compare answers with what all experiments have found last: as JSON, or as tables in
// Markdown or plain text.
func (room *Classroom) compare(s *api.Server) gin.HandlerFunc {
	return func(c *gin.Context) {
		c.Writer.Header().Add("Vary", "Accept")
		language, given := c.GetQuery("lang")
		if given && !slices.Contains(bilingual.Languages, language) {
			s.Fail(c, rest.Faultf("invalid_request", "The parameter lang must be en or ko."))
			return
		}
		report := room.runner.Latest()
		switch kind := api.Accepted(c.Request, "application/json", "text/markdown", "text/plain"); kind {
		case "application/json":
			body, err := json.Marshal(report.WithoutWire(), json.Deterministic(true))
			if err != nil {
				s.Fail(c, err)
				return
			}
			api.Serve(c, kind+"; charset=utf-8", body)
		case "":
			s.Fail(c, rest.Faultf("not_acceptable", "Send Accept: application/json, text/markdown or text/plain."))
		default:
			markdown := kind == "text/markdown"
			api.Serve(c, kind+"; charset=utf-8", []byte(report.Show(lab.View{Language: language, Markdown: markdown, Overview: !markdown})))
		}
	}
}
