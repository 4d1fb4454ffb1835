package message

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxReport is how much of a delivery report or a calendar is read, in bytes.
const maxReport = 256 << 10

// A Delivery is what a delivery report says about one recipient (RFC 3464
// section 2.3).
type Delivery struct {
	Recipient  string // the address
	Action     string // failed, delayed, delivered, relayed or expanded
	Status     string // an enhanced status code (RFC 3463), as "5.1.1"
	Diagnostic string // the server's own words
}

// String tells it in one sentence.
func (d Delivery) String() string {
	what, known := map[string]string{
		"failed": "refused", "delayed": "not delivered yet, the server goes on trying", "delivered": "delivered",
		"relayed": "handed on to a server that sends no reports", "expanded": "handed on to several addresses",
	}[d.Action]
	if !known {
		what = d.Action
	}
	sentence := fmt.Sprintf("to %s: %s", d.Recipient, what)
	if d.Status != "" {
		sentence += ", " + d.Status
	}
	if d.Diagnostic != "" {
		sentence += " (" + d.Diagnostic + ")"
	}
	return sentence
}

// ReadDeliveries reads the body of a message/delivery-status part: blocks of
// fields, the first about the message, the others about a recipient each.
func ReadDeliveries(r io.Reader) ([]Delivery, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxReport))
	if err != nil {
		return nil, err
	}
	var list []Delivery
	text := strings.ReplaceAll(string(data), "\r\n", "\n")
	for block := range strings.SplitSeq(text, "\n\n") {
		h, err := readHeader(bufio.NewReader(strings.NewReader(strings.TrimLeft(block, "\n"))))
		if err != nil && !errors.Is(err, ErrTooComplex) {
			return nil, err
		}
		d := Delivery{
			Recipient:  afterType(h.Text("Final-Recipient")),
			Action:     strings.ToLower(strings.TrimSpace(h.Text("Action"))),
			Diagnostic: strings.Join(strings.Fields(afterType(h.Text("Diagnostic-Code"))), " "),
		}
		if d.Recipient == "" {
			d.Recipient = afterType(h.Text("Original-Recipient"))
		}
		d.Status, _, _ = strings.Cut(strings.TrimSpace(h.Text("Status")), " ")
		if d.Recipient != "" && (d.Action != "" || d.Status != "") {
			list = append(list, d)
		}
	}
	return list, nil
}

// afterType takes "rfc822;" and its like away.
func afterType(value string) string {
	if kind, rest, ok := strings.Cut(value, ";"); ok && !strings.ContainsAny(strings.TrimSpace(kind), " @") {
		value = rest
	}
	return strings.Trim(strings.TrimSpace(value), "<>")
}
