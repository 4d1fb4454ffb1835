package sasl

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/xdg-go/scram"
)

// talk plays a server's challenges and returns the answers.
func talk(t *testing.T, name, user, password string, challenges ...string) ([]string, error) {
	t.Helper()
	m, err := New(name, user, password, "mail.test", "587")
	if err != nil {
		t.Fatal(err)
	}
	var answers []string
	first, ok, err := m.Start()
	if err != nil {
		t.Fatal(err)
	}
	if ok {
		answers = append(answers, string(first))
	}
	for _, challenge := range challenges {
		answer, err := m.Next([]byte(challenge))
		if err != nil {
			return answers, err
		}
		answers = append(answers, string(answer))
	}
	return answers, m.Done()
}

func TestMechanisms(t *testing.T) {
	for _, tt := range []struct {
		name, user, password string
		challenges, want     []string
	}{
		{"PLAIN", "tim", "tanstaaftanstaaf", nil, []string{"\x00tim\x00tanstaaftanstaaf"}},
		{"LOGIN", "tim", "pw", []string{"Username:", "Password:"}, []string{"tim", "pw"}},
		// The example of RFC 2195 section 2.
		{"CRAM-MD5", "tim", "tanstaaftanstaaf", []string{"<1896.697170952@postoffice.reston.mci.net>"}, []string{"tim b913a602c7eda7a495b4e6e7334d3890"}},
		{"XOAUTH2", "u@x", "token", nil, []string{"user=u@x\x01auth=Bearer token\x01\x01"}},
		{"XOAUTH2", "u@x", "token", []string{`{"status":"401"}`}, []string{"user=u@x\x01auth=Bearer token\x01\x01", ""}},
		// The example of RFC 7628 section 4.1, with another host, and its refusal.
		{"OAUTHBEARER", "us,er=@x", "token", []string{"{}"}, []string{"n,a=us=2Cer=3D@x,\x01host=mail.test\x01port=587\x01auth=Bearer token\x01\x01", "\x01"}},
	} {
		got, err := talk(t, tt.name, tt.user, tt.password, tt.challenges...)
		if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", tt.name, err, diff)
		}
	}
	for _, name := range []string{"PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER"} {
		if _, err := talk(t, name, "u", "p", "1", "2", "3"); err == nil {
			t.Errorf("%s answers without end", name)
		}
	}
	if _, err := talk(t, "CRAM-MD5", "u", "p", ""); err == nil {
		t.Error("CRAM-MD5 answers an empty challenge")
	}
	for _, bad := range [][2]string{{"u\x00", "p"}, {"u", "p\x00"}, {"u\x01", "p"}} {
		if _, err := New("PLAIN", bad[0], bad[1], "", ""); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
	if _, err := New("GSSAPI", "u", "p", "", ""); err == nil || !strings.Contains(err.Error(), "SCRAM-SHA-256, SCRAM-SHA-1, CRAM-MD5") {
		t.Error(err)
	}
}

// TestSCRAM is a server that proves itself, and one that does not.
func TestSCRAM(t *testing.T) {
	t.Run("SHA-256", func(t *testing.T) { testSCRAM(t, "scram-sha-256", scram.SHA256) })
	t.Run("SHA-1", func(t *testing.T) { testSCRAM(t, "SCRAM-SHA-1", scram.SHA1) })
}

func testSCRAM(t *testing.T, name string, hash scram.HashGeneratorFcn) {
	t.Helper()
	client, err := hash.NewClient("user", "pencil", "")
	if err != nil {
		t.Fatal(err)
	}
	stored, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "salt", Iters: 4096})
	if err != nil {
		t.Fatal(err)
	}
	for _, honest := range []bool{true, false} {
		server, err := hash.NewServer(func(string) (scram.StoredCredentials, error) { return stored, nil })
		if err != nil {
			t.Fatal(err)
		}
		conversation := server.NewConversation()
		m, err := New(name, "user", "pencil", "", "")
		if err != nil {
			t.Fatal(err)
		}
		first, _, err := m.Start()
		if err != nil {
			t.Fatal(err)
		}
		challenge, err := conversation.Step(string(first))
		if err != nil {
			t.Fatal(err)
		}
		final, err := m.Next([]byte(challenge))
		if err != nil {
			t.Fatal(err)
		}
		proof, err := conversation.Step(string(final))
		if err != nil {
			t.Fatal(err)
		}
		if !honest {
			proof = "v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=" // of no key
		}
		_, err = m.Next([]byte(proof))
		if honest && (err != nil || m.Done() != nil) || !honest && err == nil && m.Done() == nil {
			t.Errorf("honest %v: %v, %v", honest, err, m.Done())
		}
	}
}

// TestSCRAMIterations does not let a server keep the client busy for hours.
func TestSCRAMIterations(t *testing.T) {
	for _, count := range []string{"2147483647", "99999999999999999999", "5000001", "x"} {
		m, err := New("SCRAM-SHA-256", "user", "pencil", "", "")
		if err != nil {
			t.Fatal(err)
		}
		first, _, err := m.Start()
		if err != nil {
			t.Fatal(err)
		}
		_, nonce, _ := strings.Cut(string(first), "r=")
		if _, err = m.Next([]byte("r=" + nonce + "x,s=c2FsdA==,i=" + count)); err == nil || !strings.Contains(err.Error(), "iterations") {
			t.Errorf("i=%s: %v", count, err)
		}
	}
}

func TestChoose(t *testing.T) {
	for offered, want := range map[string]string{
		"LOGIN PLAIN": "PLAIN", "plain Cram-MD5": "CRAM-MD5", "PLAIN SCRAM-SHA-256 CRAM-MD5": "SCRAM-SHA-256", "XOAUTH2 LOGIN": "LOGIN", "XOAUTH2 GSSAPI": "", "": "",
	} {
		if got, ok := Choose(strings.Fields(offered)); got != want || ok != (want != "") {
			t.Errorf("%q: %q", offered, got)
		}
	}
}
