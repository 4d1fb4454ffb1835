package store

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"sort"
	"testing"
	"time"
)

var (
	scale       = flag.Bool("scale", false, "print the table of scripts/bench scale")
	scaleURLs   = flag.Int("urls", 100_000, "`number` of URLs in it")
	scaleAlpha  = flag.Float64("alpha", 0.8, "exponent of their popularity")
	scaleRate   = flag.Float64("rate", 10, "requests a second at each node")
	scaleLife   = flag.Duration("life", time.Hour, "for how long a response is fresh")
	scaleEngine = flag.Int("engine", 4096, "MiB of the engine")
)

// traffic is what a fleet of proxies is asked in the simulation: requests come
// one at a time, evenly, each to a node at random and for a URL at random. The
// popularity of URLs is Zipf's: that of rank i is proportional to i^-alpha.
type traffic struct {
	nodes  int
	urls   int
	alpha  float64
	rate   float64 // requests a second for each node
	life   float64 // seconds that a response is fresh; then the origin is asked again
	memory int     // responses that a node holds in memory before a shared store
	disk   int     // those that it holds if it has a cache of its own
	engine int     // those that the engine holds
	warm   float64 // seconds before the measurement
	length float64 // seconds of it
}

// arrangement is a way to share, or not.
type arrangement int

const (
	ownCaches arrangement = iota
	sharedCache
	sharedWithMemory
	arrangements
)

// load is what comes of it, a second.
type load struct {
	hits      float64 // of all requests
	origin    float64 // requests to the origin
	questions float64 // to the engine
	responses float64 // bodies to and from the engine
}

// What an answer costs the engine, in questions. A hit is head and body; a miss
// is head, lease, head, body, record, and the lease's return.
const (
	hitQuestions  = 2
	missQuestions = 6
)

// slots is a cache of responses of one size. It evicts as the product does
// (SIEVE) or as Redis does nearly (LRU).
type slots struct {
	limit int
	queue *sieve[slot]
	at    map[int]int32
}

type slot struct {
	url   int
	until float64
}

func newSlots(limit int, lru bool) *slots {
	return &slots{limit: limit, queue: newSieve[slot](lru), at: map[int]int32{}}
}

// get returns until when a response is fresh, 0 if it is not there.
func (s *slots) get(url int) (until float64) {
	i, ok := s.at[url]
	if !ok {
		return 0
	}
	s.queue.use(i)
	return s.queue.get(i).until
}

func (s *slots) put(url int, until float64) {
	if i, ok := s.at[url]; ok {
		s.queue.get(i).until = until
		return
	}
	if s.queue.count == s.limit {
		i := s.queue.victim()
		delete(s.at, s.queue.get(i).url)
		s.queue.remove(i)
	}
	s.at[url] = s.queue.add(slot{url, until})
}

// simulate runs the same requests through all arrangements.
func simulate(t traffic) (loads [arrangements]load) {
	sums := make([]float64, t.urls)
	sum := 0.0
	for i := range sums {
		sum += math.Pow(float64(i+1), -t.alpha)
		sums[i] = sum
	}
	disks, memories := make([]*slots, t.nodes), make([]*slots, t.nodes)
	for i := range t.nodes {
		disks[i], memories[i] = newSlots(t.disk, false), newSlots(t.memory, false)
	}
	engine, behind := newSlots(t.engine, true), newSlots(t.engine, true)

	rng := rand.New(rand.NewPCG(1, uint64(t.nodes)))
	step := 1 / (t.rate * float64(t.nodes))
	requests := 0
	for now := step; now < t.warm+t.length; now += step {
		url := sort.SearchFloat64s(sums, rng.Float64()*sum)
		node := rng.IntN(t.nodes)
		until := now + t.life
		var at [arrangements]load
		at[ownCaches].hits = 1
		if disks[node].get(url) <= now {
			at[ownCaches] = load{origin: 1}
			disks[node].put(url, until)
		}
		at[sharedCache] = ask(engine, url, now, until)
		at[sharedWithMemory].hits = 1
		if memory := memories[node]; memory.get(url) <= now {
			at[sharedWithMemory] = ask(behind, url, now, until)
			memory.put(url, behind.get(url))
		}
		if now <= t.warm {
			continue
		}
		requests++
		for i, l := range at {
			loads[i].hits += l.hits
			loads[i].origin += l.origin
			loads[i].questions += l.questions
			loads[i].responses += l.responses
		}
	}
	for i := range loads {
		loads[i].hits /= float64(requests)
		loads[i].origin /= t.length
		loads[i].questions /= t.length
		loads[i].responses /= t.length
	}
	return loads
}

// ask gets a response from the engine, or from the origin and puts it there.
func ask(engine *slots, url int, now, until float64) load {
	if engine.get(url) > now {
		return load{hits: 1, questions: hitQuestions, responses: 1}
	}
	engine.put(url, until)
	return load{origin: 1, questions: missQuestions, responses: 1}
}

// Where the result can be calculated the simulation finds it.
func TestScale(t *testing.T) {
	base := traffic{nodes: 1, urls: 50, alpha: 0.8, rate: 100, life: 1e9, memory: 1, disk: 1, engine: 1, warm: 100, length: 3000}
	p := make([]float64, base.urls)
	sum := 0.0
	for i := range p {
		p[i] = math.Pow(float64(i+1), -base.alpha)
		sum += p[i]
	}
	same, two := 0.0, 0.0 // chances of a hit in a cache of one response, and in an LRU of two
	for i := range p {
		p[i] /= sum
	}
	for i := range p {
		same += p[i] * p[i]
		for j := range p {
			if i != j {
				two += p[i] * p[j] / (1 - p[i]) * (p[i] + p[j])
			}
		}
	}
	near := func(what string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 0.02*want {
			t.Errorf("%s: %.4f, want %.4f", what, got, want)
		}
	}
	loads := simulate(base)
	near("hits in caches of one response", loads[ownCaches].hits, same)
	near("hits in an engine of one response", loads[sharedCache].hits, same)
	near("questions", loads[sharedCache].questions, base.rate*(same*hitQuestions+(1-same)*missQuestions))

	of := base
	of.engine = 2
	near("hits in an engine of two responses", simulate(of)[sharedCache].hits, two)

	// All fit: what is fresh for 10 s is fetched once, 10 s later at the next
	// request: by each node for itself, or once for all.
	all := base
	all.nodes, all.life, all.disk, all.engine, all.memory = 5, 10, 50, 50, 50
	own, shared := 0.0, 0.0
	for i := range p {
		of := all.rate * float64(all.nodes) * p[i] // requests a second
		shared += 1 / (all.life + 1/of)
		own += float64(all.nodes) / (all.life + float64(all.nodes)/of)
	}
	loads = simulate(all)
	near("origin requests of own caches", loads[ownCaches].origin, own)
	near("origin requests of a shared cache", loads[sharedCache].origin, shared)
	near("origin requests with memory in front", loads[sharedWithMemory].origin, shared)
	if loads[sharedWithMemory].questions >= loads[sharedCache].questions {
		t.Error("memory in front spares the engine nothing")
	}
	if simulate(all) != loads {
		t.Error("two runs differ")
	}
}

// TestScaleTable prints the table of scripts/bench scale. A response is 32 KiB;
// the sizes are the defaults of --cache-size and --cache-memory, of which a
// shared store's front has half.
func TestScaleTable(t *testing.T) {
	if !*scale {
		t.Skip("it is run by scripts/bench scale")
	}
	const size = 32 << 10
	of := traffic{
		urls: *scaleURLs, alpha: *scaleAlpha, rate: *scaleRate, life: scaleLife.Seconds(),
		memory: 32 << 20 / size, disk: 1 << 30 / size, engine: *scaleEngine << 20 / size, warm: 2 * 3600, length: 3600,
	}
	fmt.Printf("%d URLs, popularity Zipf with exponent %g, each response %d KiB and fresh for %v.\n", of.urls, of.alpha, size>>10, *scaleLife)
	fmt.Printf("%g requests/s at each node. A node's own cache has room for %d responses, the engine\n", of.rate, of.disk)
	fmt.Printf("for %d, the memory in front of it for %d. Nodes evict by SIEVE, the engine by LRU.\n", of.engine, of.memory)
	fmt.Printf("The third hour.\n\n")
	fmt.Println("        hits, %              origin requests/s      engine questions/s   engine MB/s")
	fmt.Println("nodes   own  shared  +memory    own  shared +memory   shared  +memory   shared +memory")
	for _, of.nodes = range []int{1, 2, 3, 5, 10, 20, 50, 100} {
		loads := simulate(of)
		own, shared, memory := loads[ownCaches], loads[sharedCache], loads[sharedWithMemory]
		mb := func(l load) float64 { return l.responses * size / 1e6 }
		fmt.Printf("%5d %5.1f %7.1f %8.1f %6.1f %7.1f %7.1f %8.0f %8.0f %8.2f %7.2f\n", of.nodes,
			100*own.hits, 100*shared.hits, 100*memory.hits, own.origin, shared.origin, memory.origin,
			shared.questions, memory.questions, mb(shared), mb(memory))
	}
}
