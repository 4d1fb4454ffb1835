package main

import (
	"fmt"
	"sort"

	"topdown/scripts/grade/internal/proxyserver"
	"topdown/scripts/grade/internal/rubric"
	"topdown/scripts/grade/internal/smtpclient"
	"topdown/scripts/grade/internal/submission"
	"topdown/scripts/grade/internal/udppinger"
	"topdown/scripts/grade/internal/udppingserver"
	"topdown/scripts/grade/internal/webserver"
)

// A lab is one of the five: its checks, and the command lines of the repository's
// own program. Those have no flag that a student's program would not have.
type lab struct {
	rubric  func(*submission.Submission) (*rubric.Rubric, func(), error)
	purpose string
	command string
	also    map[string]string
	holders string // placeholders, for the help text
}

func labs() map[string]lab {
	return map[string]lab{
		"webserver": {
			rubric: webserver.Rubric, purpose: "grade a web server",
			command: "./webserver --root {root} {port}",
			also:    map[string]string{"client": "./webserver get {host} {port} {file}"},
			holders: "{port} {root}; --also client=…: {host} {port} {file} {url}",
		},
		"udppinger": {
			rubric: udppinger.Rubric, purpose: "grade a UDP ping client",
			command: "./udppinger {host}:{port}",
			also:    map[string]string{"heartbeat": "./udppinger heartbeat -i 0.2 {host}:{port}"},
			holders: "{host} {port}; --also heartbeat=…: {host} {port}",
		},
		"udppingserver": {
			rubric: udppingserver.Rubric, purpose: "grade a UDP ping server",
			command: "./udppingserver {port}",
			also:    map[string]string{"loss": "./udppingserver --loss {loss} --seed {seed} {port}"},
			holders: "{port}; --also loss=…: {port} {loss} {seed}",
		},
		"smtpclient": {
			rubric: smtpclient.Rubric, purpose: "grade a mail client",
			command: "./smtpclient send --server {host}:{port} --from {from} --to {to} --subject {subject} --text-file {body_file}",
			also: map[string]string{
				"starttls": "./smtpclient send --server {host}:{port} --tls starttls --ca {ca} --from {from} --to {to} --subject {subject} --text-file {body_file}",
				"auth":     "SMTP_PASSWORD={password} ./smtpclient send --server {host}:{port} --user {user} --from {from} --to {to} --subject {subject} --text-file {body_file}",
				"image":    "./smtpclient send --server {host}:{port} --from {from} --to {to} --subject {subject} --text-file {body_file} --attach {image}",
			},
			holders: "{host} {port} {from} {to} {subject} {body_file}; --also starttls=…: {ca}, auth=…: {user} {password}, image=…: {image}",
		},
		"proxyserver": {
			rubric: proxyserver.Rubric, purpose: "grade a web proxy",
			command: "./proxyserver {port}",
			holders: "{port}",
		},
	}
}

// labNames lists the labs in the order of their names.
func labNames() []string {
	var names []string
	for name := range labs() {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// checksOf returns a lab's rubric with the changes of TOML text applied.
func checksOf(name, changes string, s *submission.Submission) (*rubric.Rubric, func(), error) {
	l, ok := labs()[name]
	if !ok {
		return nil, nil, fmt.Errorf("there is no lab %q", name)
	}
	r, end, err := l.rubric(s)
	if err != nil {
		return nil, end, err
	}
	return r, end, r.Apply(changes)
}
