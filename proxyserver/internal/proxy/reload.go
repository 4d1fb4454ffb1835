package proxy

import "topdown/proxyserver/internal/rules"

// maxReloads bounds how many URLs wait to be revalidated.
const maxReloads = 1000

// Revalidate has the next request for a URI ask the origin whether what is stored
// is up to date: it is treated as if its client had asked for that (RFC 9111,
// section 5.2.1.4). It reports whether the URI is one.
func (s *Server) Revalidate(uri string) bool {
	key, ok := rules.ParseKey(uri)
	if !ok {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reload == nil || len(s.reload) >= maxReloads {
		s.reload = make(map[string]bool)
	}
	s.reload[key] = true
	s.reloads.Store(int32(len(s.reload)))
	return true
}

// takeReload reports whether a request is to be treated so, once.
func (s *Server) takeReload(t target) bool {
	if s.reloads.Load() == 0 {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := rules.Key(t.scheme, t.host, t.path)
	taken := s.reload[key]
	delete(s.reload, key)
	s.reloads.Store(int32(len(s.reload)))
	return taken
}
