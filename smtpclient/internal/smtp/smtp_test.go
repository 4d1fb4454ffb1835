package smtp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"topdown/smtpclient/internal/session"

	"github.com/emersion/go-sasl"
	oracle "github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"
)

// lineSource gives the lines of a string.
type lineSource struct{ rest string }

func (l *lineSource) ReadLine() (string, error) {
	line, rest, found := strings.Cut(l.rest, "\n")
	if !found {
		return "", session.ErrClosed
	}
	l.rest = rest
	return strings.TrimSuffix(line, "\r"), nil
}

func TestReadReply(t *testing.T) {
	many := strings.Repeat("250-x\n", maxReplyLines)
	for _, tt := range []struct {
		name, in string
		want     Reply
		err      error
	}{
		{"one line", "250 ok\n", Reply{250, "", []string{"ok"}}, nil},
		{"bare code", "250\n", Reply{250, "", []string{""}}, nil},
		{"several lines", "250-a\n250-b c\n250 d\n", Reply{250, "", []string{"a", "b c", "d"}}, nil},
		{"enhanced", "550 5.1.1 no\n", Reply{550, "5.1.1", []string{"5.1.1 no"}}, nil},
		{"enhanced of another class", "250 5.1.1 no\n", Reply{250, "", []string{"5.1.1 no"}}, nil},
		{"a version is no code", "220 2.0 x\n", Reply{220, "", []string{"2.0 x"}}, nil},
		{"two codes", "250-a\n550 b\n", Reply{}, ErrProtocol},
		{"no code", "hello\n", Reply{}, ErrProtocol},
		{"code too small", "150 a\n", Reply{}, ErrProtocol},
		{"code too large", "600 a\n", Reply{}, ErrProtocol},
		{"no space", "250ok\n", Reply{}, ErrProtocol},
		{"empty line", "\n", Reply{}, ErrProtocol},
		{"longest", many[:len(many)-6] + "250 x\n", Reply{250, "", strings.Split(strings.Repeat("x ", maxReplyLines-1)+"x", " ")}, nil},
		{"too many lines", many + "250 x\n", Reply{}, ErrProtocol},
		{"too many bytes", strings.Repeat("250-"+strings.Repeat("x", 2000)+"\n", 50), Reply{}, ErrProtocol},
		{"closed", "250-a\n", Reply{}, session.ErrClosed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := readReply(&lineSource{tt.in}, nil, func(string) {})
			if !errors.Is(err, tt.err) {
				t.Fatalf("%v, want %v", err, tt.err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// FuzzReadReply checks that whatever is taken for a reply is one.
func FuzzReadReply(f *testing.F) {
	for _, seed := range []string{"250 ok\r\n", "250-a\r\n250 b\r\n", "250-a\n550 b\n", "421 4.3.2 x\n", "2", "999 \n", "250-\n250-\n250\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		reply, err := readReply(&lineSource{in}, nil, func(string) {})
		if err != nil {
			return
		}
		if reply.Code < 200 || reply.Code > 599 || len(reply.Lines) == 0 || len(reply.Lines) > maxReplyLines {
			t.Fatalf("%+v", reply)
		}
		if reply.Enhanced != "" && int(reply.Enhanced[0]-'0') != reply.Code/100 {
			t.Fatalf("%+v", reply)
		}
		_ = reply.Text()
	})
}

// text is a Message.
type text string

func (m text) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, string(m))
	return int64(n), err
}
func (m text) Size() int64    { return int64(len(m)) }
func (m text) EightBit() bool { return !ascii(string(m)) }
func (m text) UTF8() bool     { return false }

// backend is an independent server that keeps what it gets.
type backend struct {
	mu     sync.Mutex
	from   string
	to     []string
	params string
	data   string
	user   string
}

type inbound struct{ b *backend }

func (b *backend) NewSession(*oracle.Conn) (oracle.Session, error) { return &inbound{b}, nil }
func (s *inbound) AuthMechanisms() []string                        { return []string{"PLAIN"} }
func (s *inbound) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if password != "right" {
			return errors.New("wrong")
		}
		s.b.user = user
		return nil
	}), nil
}

func (s *inbound) Mail(from string, o *oracle.MailOptions) error {
	s.b.from, s.b.params = from, fmt.Sprintf("%d %s %s %s %v", o.Size, o.Body, o.Return, o.EnvelopeID, o.UTF8)
	return nil
}

func (s *inbound) Rcpt(to string, o *oracle.RcptOptions) error {
	if strings.HasPrefix(to, "no") {
		return &oracle.SMTPError{Code: 550, EnhancedCode: oracle.EnhancedCode{5, 1, 1}, Message: "no"}
	}
	s.b.to = append(s.b.to, to+fmt.Sprint(o.Notify))
	return nil
}

func (s *inbound) Data(r io.Reader) error {
	data, err := io.ReadAll(r)
	s.b.data = string(data)
	return err
}
func (s *inbound) Reset()        {}
func (s *inbound) Logout() error { return nil }

// TestOracle talks to a server that somebody else wrote.
func TestOracle(t *testing.T) {
	b := &backend{}
	server := oracle.NewServer(b)
	server.AllowInsecureAuth, server.EnableSMTPUTF8, server.EnableDSN, server.EnableBINARYMIME = true, true, true, true
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(ln) }()
	defer func() {
		server.Close()
		<-done
	}()
	host, port, _ := net.SplitHostPort(ln.Addr().String())
	for _, chunking := range []bool{false, true} {
		s, err := Dial(t.Context(), &Config{Config: session.Config{Host: host, Port: port, Login: &session.Login{User: "u", Password: "right"}}, Chunking: chunking})
		if err != nil {
			t.Fatal(err)
		}
		b.to = nil
		body := text("Subject: x\r\n\r\n.\r\n..dot\r\nü\r\n" + strings.Repeat("line\r\n", 50000))
		result, err := s.Send(&Envelope{From: "a@lab.test", To: []string{"jürgen@lab.test", "no@lab.test", "c@lab.test"}, Notify: "FAILURE", Return: "HDRS"}, body)
		if err != nil {
			t.Fatal(err)
		}
		if got := []int{result.Count(Accepted), result.Count(Refused)}; !cmp.Equal(got, []int{2, 1}) {
			t.Errorf("accepted and refused: %v", got)
		}
		b.mu.Lock()
		got := []string{b.user, b.from, b.params, strings.Join(b.to, " ")}
		want := []string{"u", "a@lab.test", fmt.Sprintf("%d 8BITMIME HDRS  true", len(body)), "jürgen@lab.test[FAILURE] c@lab.test[FAILURE]"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if b.data != string(body) {
			t.Errorf("%d bytes arrived changed", len(b.data))
		}
		b.mu.Unlock()
		if err := s.Quit(); err != nil {
			t.Error(err)
		}
	}
	// More recipients than fit in one batch, each third refused.
	s, err := Dial(t.Context(), &Config{Config: session.Config{Host: host, Port: port}})
	if err != nil {
		t.Fatal(err)
	}
	many := &Envelope{From: "a@lab.test"}
	for n := range 250 {
		many.To = append(many.To, fmt.Sprintf("%s%d@lab.test", []string{"no", "b", "c"}[n%3], n))
	}
	b.to = nil
	result, err := s.Send(many, text("Subject: x\r\n\r\nx\r\n"))
	if err != nil || result.Count(Refused) != 84 || result.Count(Accepted) != 166 || len(b.to) != 166 {
		t.Errorf("%v: %d refused, %d accepted, %d arrived", err, result.Count(Refused), result.Count(Accepted), len(b.to))
	}
	for _, to := range result.Recipients {
		if (to.Status == Refused) != strings.HasPrefix(to.Address, "no") {
			t.Errorf("%+v", to)
		}
	}
	if err = s.Quit(); err != nil {
		t.Error(err)
	}
	_, err = Dial(t.Context(), &Config{Config: session.Config{Host: host, Port: port, Login: &session.Login{User: "u", Password: "wrong"}}})
	if _, ok := errors.AsType[*session.AuthError](err); !ok {
		t.Error(err)
	}
}

// fakeAddr is a connection that seems to come from another machine.
type farAway struct{ net.Conn }

func (farAway) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 25} }

// TestPlainAuth checks that no password leaves on a readable link.
func TestPlainAuth(t *testing.T) {
	client, server := net.Pipe()
	var heard bytes.Buffer
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.WriteString(server, "220 hi\r\n")
		buf := make([]byte, 1000)
		for {
			n, err := server.Read(buf)
			if err != nil {
				return
			}
			heard.Write(buf[:n])
			if bytes.HasPrefix(buf[:n], []byte("QUIT")) {
				_, _ = io.WriteString(server, "221 bye\r\n")
			} else {
				_, _ = io.WriteString(server, "250-hi\r\n250 AUTH PLAIN LOGIN\r\n")
			}
		}
	}()
	_, err := Dial(t.Context(), &Config{Config: session.Config{
		Host: "mail.example", Port: "25", Login: &session.Login{User: "u", Password: "secret"},
		Dial: func(context.Context, string, string) (net.Conn, error) { return farAway{client}, nil },
	}})
	if !errors.Is(err, session.ErrPlainAuth) {
		t.Error(err)
	}
	<-done
	if strings.Contains(heard.String(), "AUTH") {
		t.Errorf("the server heard %q", heard.String())
	}
}

type dns struct {
	mx    map[string][]*net.MX
	hosts map[string][]string
}

func (d dns) LookupMX(_ context.Context, name string) ([]*net.MX, error) {
	if mx, ok := d.mx[name]; ok {
		return mx, nil
	}
	return nil, &net.DNSError{Name: name, IsNotFound: true}
}

func (d dns) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	var addrs []netip.Addr
	for _, text := range d.hosts[host] {
		addrs = append(addrs, netip.MustParseAddr(text))
	}
	if addrs == nil {
		return nil, &net.DNSError{Name: host, IsNotFound: true}
	}
	return addrs, nil
}

func TestXtext(t *testing.T) {
	if got := rcptLine(&Envelope{Notify: "NEVER"}, "a+b=c d@lab.test", map[string]string{"DSN": ""}); got != "RCPT TO:<a+b=c d@lab.test> NOTIFY=NEVER ORCPT=rfc822;a+2Bb+3Dc+20d@lab.test" {
		t.Error(got)
	}
}

func TestRoute(t *testing.T) {
	d := dns{
		mx: map[string][]*net.MX{
			"two.test":  {{Host: "b.test.", Pref: 20}, {Host: "gone.test.", Pref: 5}, {Host: "a.test.", Pref: 10}},
			"null.test": {{Host: ".", Pref: 0}},
			"dead.test": {{Host: "gone.test.", Pref: 0}},
		},
		hosts: map[string][]string{"a.test": {"192.0.2.1", "2001:db8::1"}, "b.test": {"192.0.2.2"}, "host.test": {"192.0.2.3"}},
	}
	for domain, want := range map[string]string{
		"two.test":          "a.test 2001:db8::1, a.test 192.0.2.1, b.test 192.0.2.2",
		"host.test":         "host.test 192.0.2.3",
		"[192.0.2.9]":       "192.0.2.9 192.0.2.9",
		"[IPv6:2001:db8::]": "2001:db8:: 2001:db8::",
		"null.test":         "error: null.test: the domain takes no mail (null MX)",
		"dead.test":         "error: look up the mail exchanger gone.test: lookup gone.test: ",
		"unknown.test":      "error: look up the mail exchanger unknown.test: lookup unknown.test: ",
		"[nonsense]":        `error: [nonsense]: ParseAddr("nonsense"): unable to parse IP`,
	} {
		hops, err := Route(t.Context(), d, domain)
		var got []string
		for _, hop := range hops {
			got = append(got, hop.Host+" "+hop.Addr.String())
		}
		text := strings.Join(got, ", ")
		if err != nil {
			text = "error: " + err.Error()
		}
		if text != want {
			t.Errorf("%s: %q, want %q", domain, text, want)
		}
	}
}

// TestCancel checks that a cancelled context ends a session that waits.
func TestCancel(t *testing.T) {
	client, server := net.Pipe()
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	_, err := Dial(ctx, &Config{Config: session.Config{Host: "x", Port: "25", Dial: func(context.Context, string, string) (net.Conn, error) { return client, nil }}})
	if err == nil || ctx.Err() == nil {
		t.Error(err)
	}
}
