package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"topdown/scripts/grade/internal/submission"
)

// An autogradingTest is one of the tests of autograding.json, the configuration
// that GitHub Classroom kept in a repository's .github/classroom, and that other
// tools still read.
type autogradingTest struct {
	Name       string `json:"name"`
	Setup      string `json:"setup"`
	Run        string `json:"run"`
	Input      string `json:"input"`
	Output     string `json:"output"`
	Comparison string `json:"comparison"`
	Timeout    int    `json:"timeout"` // minutes
	Points     int    `json:"points"`
}

// autograding writes a test for each check: it runs the grader with --check, whose
// exit code says whether the points are earned.
func autograding(w io.Writer, c *config, spec submission.Spec) error {
	r, _, err := checksOf(spec.Lab, spec.Rubric, nil)
	if err != nil {
		return err
	}
	command := spec.Command
	if command == "" {
		command = labs()[c.lab].command
	}
	tests := []autogradingTest{}
	for _, check := range r.Checks {
		if check.Bonus {
			continue
		}
		words := []string{"grade", c.lab, "--check", check.ID, "--seed", fmt.Sprint(c.seed), "--cmd", submission.Quote(command)}
		if c.compile != "" {
			words = append(words, "--compile", submission.Quote(c.compile))
		}
		if c.fixedPort != 0 {
			words = append(words, "--fixed-port", fmt.Sprint(c.fixedPort))
		}
		for _, also := range c.also {
			words = append(words, "--also", submission.Quote(also))
		}
		tests = append(tests, autogradingTest{
			Name: check.ID + ": " + check.Title, Run: strings.Join(words, " "),
			Comparison: "included", Timeout: 5, Points: check.Points,
		})
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(map[string]any{"tests": tests})
}
