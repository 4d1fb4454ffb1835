package auth

import (
	"encoding/base64"
	"strings"
	"testing"
)

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func TestToken(t *testing.T) {
	token, err := NewToken("s3cret-token\n")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		authorization string
		want          bool
	}{
		"bearer":               {"Bearer s3cret-token", true},
		"scheme in any case":   {"bEaReR s3cret-token", true},
		"several spaces":       {"Bearer   s3cret-token ", true},
		"basic":                {basic("anyone", "s3cret-token"), true},
		"basic without a user": {basic("", "s3cret-token"), true},
		"nothing":              {"", false},
		"scheme alone":         {"Bearer", false},
		"empty":                {"Bearer ", false},
		"wrong":                {"Bearer s3cret-tokem", false},
		"prefix":               {"Bearer s3cret", false},
		"longer":               {"Bearer s3cret-token1", false},
		"in other case":        {"Bearer S3CRET-TOKEN", false},
		"basic, as user":       {basic("s3cret-token", ""), false},
		"basic, wrong":         {basic("a", "b"), false},
		"basic, no colon":      {"Basic " + base64.StdEncoding.EncodeToString([]byte("s3cret-token")), false},
		"basic, not base64":    {"Basic s3cret-token", false},
		"other scheme":         {"Digest s3cret-token", false},
		"no scheme":            {"s3cret-token", false},
		"too long":             {"Bearer s3cret-token" + strings.Repeat(" ", maxCredentials), false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := token.Check(test.authorization); got != test.want {
				t.Errorf("Check(%q) = %v", test.authorization, got)
			}
		})
	}
	for _, secret := range []string{"", " \n"} {
		if _, err := NewToken(secret); err == nil {
			t.Errorf("NewToken(%q) succeeded", secret)
		}
	}
}

func FuzzParseBasic(f *testing.F) {
	f.Add("Basic YTpi", "Basic")
	f.Add("Basic ", "x")
	f.Add("basic  YTpiOmM= ", "a:b")
	f.Fuzz(func(t *testing.T, authorization, credentials string) {
		user, _, ok := parseBasic(authorization)
		if strings.Contains(user, ":") || ok && !strings.EqualFold(authorization[:6], "Basic ") {
			t.Errorf("%q: user %q, %v", authorization, user, ok)
		}
		if len(credentials) > 1000 || !strings.Contains(credentials, ":") {
			return
		}
		user, password, ok := parseBasic("Basic " + base64.StdEncoding.EncodeToString([]byte(credentials)))
		if !ok || user+":"+password != credentials {
			t.Errorf("%q came back as %q and %q, %v", credentials, user, password, ok)
		}
	})
}
