package main

import (
	"runtime"

	"topdown/proxyserver/internal/status"
	"topdown/proxyserver/internal/store"
)

// metrics are the numbers of /metrics and of the status page.
func (p *parts) metrics() []status.Metric {
	stats := &p.server.Stats
	number := func(v interface{ Load() int64 }) func() float64 {
		return func() float64 { return float64(v.Load()) }
	}
	memory := func() float64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.Sys - m.HeapReleased)
	}
	all := []status.Metric{
		{Name: "proxyserver_requests_total", Help: "Requests answered", Value: number(&stats.Requests)},
		{Name: "proxyserver_hits_total", Help: "Responses from the store", Value: number(&stats.Hits)},
		{Name: "proxyserver_misses_total", Help: "Responses from origins, perhaps stored", Value: number(&stats.Misses)},
		{Name: "proxyserver_bypasses_total", Help: "Responses with no cache asked", Value: number(&stats.Other)},
		{Name: "proxyserver_errors_total", Help: "Errors answered by the proxy itself", Value: number(&stats.Errors)},
		{Name: "proxyserver_refused_total", Help: "Connections over a limit", Value: number(&stats.Refused)},
		{Name: "proxyserver_connections_total", Help: "Connections accepted", Value: number(&stats.Accepted)},
		{Name: "proxyserver_clients", Help: "Clients connected", Value: number(&stats.Clients)},
		{Name: "proxyserver_tunnels", Help: "Tunnels open", Value: number(&stats.Tunnels)},
		{Name: "proxyserver_received_bytes_total", Help: "Bytes from clients, counted when they leave", Value: number(&stats.Received)},
		{Name: "proxyserver_sent_bytes_total", Help: "Bytes to clients, counted when they leave", Value: number(&stats.Sent)},
		{Name: "proxyserver_idle_origin_connections", Help: "Connections to origins kept for the next request", Value: func() float64 { return float64(p.origin.Idle()) }},
		{Name: "proxyserver_log_lines_lost_total", Help: "Lines of the access log that could not be written", Value: func() float64 { return float64(p.server.Access.Lost()) }},
		{Name: "proxyserver_goroutines", Help: "Goroutines", Value: func() float64 { return float64(runtime.NumGoroutine()) }},
		{Name: "proxyserver_memory_bytes", Help: "Memory that Go holds, in bytes", Value: memory},
	}
	if p.store == nil {
		return all
	}
	if shared, ok := p.store.(*store.Redis); ok {
		outages := func() float64 { n, _ := shared.Outages(); return float64(n) }
		up := func() float64 {
			if _, down := shared.Outages(); down {
				return 0
			}
			return 1
		}
		all = append(all,
			status.Metric{Name: "proxyserver_shared_store_up", Help: "Whether the shared store answers", Value: up},
			status.Metric{Name: "proxyserver_shared_store_outages_total", Help: "How often it stopped answering", Value: outages},
		)
	}
	figure := func(of func(store.Stats) float64) func() float64 {
		return func() float64 { return of(p.store.Stats()) }
	}
	return append(all,
		status.Metric{Name: "proxyserver_store_entries", Help: "Responses stored", Value: figure(func(s store.Stats) float64 { return float64(s.Entries) })},
		status.Metric{Name: "proxyserver_store_bytes", Help: "Size of the store, in bytes", Value: figure(func(s store.Stats) float64 { return float64(s.Bytes) })},
		status.Metric{Name: "proxyserver_store_limit_bytes", Help: "Size that the store may have, in bytes", Value: figure(func(s store.Stats) float64 { return float64(s.Size) })},
		status.Metric{Name: "proxyserver_store_memory_bytes", Help: "Heads and small bodies in memory, in bytes", Value: figure(func(s store.Stats) float64 { return float64(s.HotBytes) })},
		status.Metric{Name: "proxyserver_evictions_total", Help: "Responses evicted to make room", Value: figure(func(s store.Stats) float64 { return float64(s.Evictions) })},
	)
}
