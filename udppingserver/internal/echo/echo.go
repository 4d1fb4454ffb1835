// Package echo is the lab's UDP ping server: it receives a message, decides
// whether to lose it, upper-cases it and sends it back to where it came from.
// The same server answers TCP connections on the same port number, line by line.
//
// It refuses to be a tool against others: it never answers a port or an address
// that no client has (see guard.go), never answers a reply, sends no reply that
// is longer than its request, and answers each network only so often a second.
// All its tables are of fixed size.
package echo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"syscall"
	"time"

	"topdown/udppingserver/internal/impair"

	"go.uber.org/zap"
)

// Server answers pings. Set the fields, call Listen, then Serve.
type Server struct {
	// Impair is what the simulated network does to packets.
	Impair impair.Config
	// PerClient draws the fates of each client address from a stream of its
	// own. Without it the first packet of every client meets the same fate, the
	// second the same, and so on.
	PerClient bool
	// TCP answers TCP connections too, on the same port number. Listen clears it
	// where another program has that port for TCP, and says so in TCPTaken.
	TCP      bool
	TCPTaken error
	// Load lets TCP clients fill the line, to measure its delay under load.
	Load bool
	// Rate is the most answers a second to one network (an IPv4 /24 or an IPv6
	// /56; loopback is free). 0 means DefaultRate, less than 0 no limit.
	Rate int
	// Sockets is the number of UDP sockets that share the port; 0 means one for
	// each core, at most 16. Systems other than Linux always have one.
	Sockets int
	// Spin has each socket look for packets without ever sleeping (Linux): no
	// wake-ups in anybody's RTT, for a core each. Then the default is one socket.
	Spin bool
	// Silence is how long a heartbeat may stay away before its client counts as
	// stopped; 0 means DefaultSilence.
	Silence time.Duration
	// Out gets the lines about heartbeats; nil means nowhere.
	Out io.Writer
	// Truth, if set, gets one line for each packet.
	Truth *Truth
	// Trace, if set, gets each packet, decision and reply.
	Trace *Trace
	// Log gets faults; nil means nowhere.
	Log *zap.Logger

	shards   []*shard
	listener net.Listener
	limit    *limiter
	beats    *heartbeats
	lines    outbox // about heartbeats, on their way to Out
	tcp      tcpCounters

	questions pace // about runs, over TCP
	loads     loads
}

// What the zero values of Server's fields mean.
const (
	DefaultRate    = 10_000
	DefaultSilence = 5 * time.Second
)

// Listen opens the UDP sockets, and the TCP one, on addr, "HOST:PORT" or
// ":PORT". Port 0 takes a free one.
func (s *Server) Listen(addr string) error {
	if err := s.Impair.Validate(); err != nil {
		return err
	}
	if s.Log == nil {
		s.Log = zap.NewNop()
	}
	if s.Out == nil {
		s.Out = io.Discard
	}
	if s.Silence <= 0 {
		s.Silence = DefaultSilence
	}
	if s.Rate == 0 {
		s.Rate = DefaultRate
	}
	if s.Sockets == 0 && s.Spin {
		s.Sockets = 1
	}
	if s.Sockets == 0 {
		s.Sockets = min(runtime.GOMAXPROCS(0), 16)
	}
	s.limit = newLimiter(s.Rate)
	s.lines = make(outbox, 2*maxLines)
	s.beats = newHeartbeats(s.lines, s.Silence)

	for try := 1; ; try++ {
		err := s.open(addr)
		if err == nil {
			return nil
		}
		s.Close()
		s.shards, s.listener = nil, nil
		// A port that is free for UDP need not be so for TCP; when any port
		// will do, take another.
		if !anyPort(addr) || try == 10 {
			return err
		}
	}
}

// anyPort reports whether the system is to choose the port.
func anyPort(addr string) bool {
	_, port, _ := net.SplitHostPort(addr)
	return port == "0"
}

// open opens the sockets.
func (s *Server) open(addr string) error {
	// Step 1: a UDP socket, bound to the port. Go's ListenPacket is the
	// textbook's socket() and bind() in one call.
	first, others, err := bind(addr, s.Sockets)
	if err != nil {
		return err
	}
	s.Sockets = 1 + len(others) // as many as this system shares a port among
	for _, conn := range append([]*net.UDPConn{first}, others...) {
		socket, failed := newSocket(conn, s.Spin)
		if failed != nil {
			return failed
		}
		s.shards = append(s.shards, s.newShard(socket))
	}
	if s.TCP {
		s.listener, err = net.Listen("tcp", sameAddress(addr, s.Addr()))
		if errors.Is(err, syscall.EADDRINUSE) && !anyPort(addr) {
			// Some other server's: UDP is what this one is for.
			s.listener, s.TCP, s.TCPTaken = nil, false, err
			return nil
		}
		if err != nil {
			s.listener = nil
			return fmt.Errorf("listen for TCP on the port of the UDP socket: %w", err)
		}
	}
	return nil
}

// Addr returns the address of the UDP sockets (and of the TCP one).
func (s *Server) Addr() netip.AddrPort {
	return s.shards[0].socket.addr
}

// Close gives up the sockets of a server that does not serve. Serve does so itself.
func (s *Server) Close() {
	for _, sh := range s.shards {
		sh.socket.close()
	}
	if s.listener != nil {
		s.listener.Close()
	}
}

// Serve answers until ctx is done, and then returns nil. Replies that are still
// being held up then are never sent.
func (s *Server) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer s.Close() // when nobody uses the sockets any more

	var wg sync.WaitGroup
	failed := make(chan error, len(s.shards)+1)
	run := func(serve func() error) {
		wg.Go(func() {
			if err := serve(); err != nil && !errors.Is(err, net.ErrClosed) {
				failed <- err
				cancel()
			}
		})
	}
	for _, sh := range s.shards {
		run(sh.serve)
		if sh.late != nil {
			wg.Go(func() { sh.late.run(ctx) })
		}
	}
	if s.listener != nil {
		run(func() error { return s.serveTCP(ctx) })
	}
	wg.Go(func() { s.beats.watch(ctx) })
	wg.Go(func() { s.lines.run(ctx, s.Out) })
	wg.Go(func() { s.stop(ctx) })
	wg.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// stop wakes up all who wait for packets and connections once ctx is done.
func (s *Server) stop(ctx context.Context) {
	<-ctx.Done()
	for _, sh := range s.shards {
		sh.socket.stop()
	}
	if s.listener != nil {
		s.listener.Close()
	}
}

// shard is one socket and the clients whose packets the kernel gives to it: it
// picks the socket by the client's address and port, so a client stays.
type shard struct {
	server *Server
	socket *socket
	own    uint16 // our port
	late   *late  // replies being held up; nil if none ever are

	mu      sync.Mutex // guards what follows against those who read it
	clients *clients
	count   Counters
}

func (s *Server) newShard(socket *socket) *shard {
	sh := &shard{
		server:  s,
		socket:  socket,
		own:     socket.addr.Port(),
		clients: newClients(maxClients / s.Sockets),
	}
	if c := s.Impair; c.Delay > 0 || c.Jitter > 0 || c.Reorder > 0 {
		sh.late = newLate(socket, s.Sockets, s.Trace)
	}
	return sh
}

// turn is how often a shard steps aside for other goroutines. From one that has
// not for 10 ms Go's scheduler takes the processor away in each system call that
// it sees, and it looks every 20 µs: other threads were woken up for every packet.
const turn = 5 * time.Millisecond

// serve is the server's loop, in the lab's order.
func (sh *shard) serve() error {
	var yielded time.Time
	for {
		// Step 2: receive. One system call fetches all that has come, up to
		// the size of a batch; every packet says who sent it.
		batch, err := sh.socket.receive()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return err
			}
			sh.server.Log.Warn("receive", zap.Error(err))
			sh.bump(&sh.count.Errors)
			time.Sleep(time.Millisecond) // whatever it is, do not spin on it
			continue
		}
		now := time.Now()
		sh.server.Trace.keep(batch)
		sh.mu.Lock()
		for i := range batch {
			// Step 3: decide, and Step 4: upper-case (see answer.go).
			sh.answer(&batch[i], now)
		}
		sh.mu.Unlock()
		sh.server.Trace.received(batch, now, sh.server.Addr())
		sh.server.Trace.replied(batch...)
		// Step 5: reply, each to the address that its request came from.
		if failed := sh.socket.reply(batch); failed > 0 {
			sh.mu.Lock()
			sh.count.Errors += uint64(failed)
			sh.mu.Unlock()
		}
		if now.Sub(yielded) > turn {
			runtime.Gosched()
			yielded = now
		}
	}
}

func (sh *shard) bump(counter *uint64) {
	sh.mu.Lock()
	*counter++
	sh.mu.Unlock()
}
