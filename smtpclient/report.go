package main

import (
	"fmt"
	"strings"

	"topdown/smtpclient/internal/session"
	"topdown/smtpclient/internal/smtp"
)

// A report is the result of send as JSON.
type report struct {
	Result     string      `json:"result"` // sent, partial, refused, deferred, uncertain or failed
	Exit       int         `json:"exit"`
	MessageID  string      `json:"message_id,omitempty"`
	Size       int64       `json:"size,omitempty"` // bytes
	Server     string      `json:"server,omitempty"`
	Recipients []recipient `json:"recipients"`
	Error      string      `json:"error,omitempty"`
}

// A recipient is the result for one address.
type recipient struct {
	Address  string      `json:"address"`
	Status   smtp.Status `json:"status"`
	Code     int         `json:"code,omitempty"`
	Enhanced string      `json:"enhanced,omitempty"`
	Text     string      `json:"text,omitempty"`
}

// recipient turns the result of a session into a report's.
func (p *program) recipient(address string, status smtp.Status, reply smtp.Reply) recipient {
	return recipient{address, status, reply.Code, reply.Enhanced, session.Printable(p.mask.Hide(reply.Text()))}
}

func (p *program) recipients(result *smtp.Result) []recipient {
	list := make([]recipient, len(result.Recipients))
	for i, to := range result.Recipients {
		list[i] = p.recipient(to.Address, to.Status, to.Reply)
	}
	return list
}

// String is the line about one recipient.
func (r recipient) String() string {
	reply := strings.TrimSpace(fmt.Sprintf("%d %s %s", r.Code, r.Enhanced, r.Text))
	reply = strings.ReplaceAll(reply, "  ", " ")
	switch r.Status {
	case smtp.Accepted:
		return fmt.Sprintf("Sent to %s: %s", r.Address, reply)
	case smtp.Refused:
		return fmt.Sprintf("Refused for %s: %s", r.Address, reply)
	case smtp.Deferred:
		return fmt.Sprintf("Not now for %s: %s", r.Address, reply)
	case smtp.Uncertain:
		return fmt.Sprintf("Perhaps delivered to %s: %s", r.Address, r.Text)
	}
	return fmt.Sprintf("Not sent to %s", r.Address)
}

// resultOf names an exit code in a report.
func resultOf(code int) string {
	switch code {
	case exitOK:
		return "sent"
	case exitPartial:
		return "partial"
	case exitUncertain:
		return "uncertain"
	case exitTemporary:
		return "deferred"
	case exitRefused:
		return "refused"
	}
	return "failed"
}
