package listing

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// noon is a fixed time, and later(n) n hours after it.
var noon = time.Date(2026, 11, 3, 12, 0, 0, 0, time.UTC)

func later(hours int) time.Time { return noon.Add(time.Duration(hours) * time.Hour) }

func TestParseQuery(t *testing.T) {
	tests := []struct {
		query, sort string
		desc        bool
	}{
		{"", ByName, false},
		{"sort=name", ByName, false},
		{"sort=size", BySize, false},
		{"sort=time&order=desc", ByTime, true},
		{"order=desc&sort=size", BySize, true},
		{"order=desc", ByName, true},
		{"order=asc", ByName, false},
		{"sort=size&order=asc", BySize, false},
		{"sort=colour", ByName, false},
		{"sort=", ByName, false},
		{"sort", ByName, false},
		{"SORT=size", ByName, false},
		{"sort=size&sort=colour", BySize, false},
		{"sort=size&sort=time", ByTime, false},
		{"order=desc&order=asc", ByName, false},
		{"order=sideways", ByName, false},
		{"&&&=&sort=time&&x=%zz", ByTime, false},
		{"sort=size;order=desc", ByName, false},
	}
	for _, tt := range tests {
		t.Run(tt.query, func(t *testing.T) {
			sort, desc := ParseQuery(tt.query)
			if sort != tt.sort || desc != tt.desc {
				t.Errorf("ParseQuery = %q, %v; want %q, %v", sort, desc, tt.sort, tt.desc)
			}
		})
	}
}

func TestOrder(t *testing.T) {
	entries := []Entry{
		{Name: "b.txt", Size: 10, ModTime: later(2)},
		{Name: "dirB", IsDir: true, Size: 4096, ModTime: later(1)},
		{Name: "a.txt", Size: 30, ModTime: later(3)},
		{Name: "c.txt", Size: 10, ModTime: later(1)},
		{Name: "dirA", IsDir: true, Size: 8192, ModTime: later(5)},
		{Name: "d.txt", Size: 20},
	}
	tests := []struct {
		name, sort string
		desc       bool
		want       []string
	}{
		{"default", "", false, []string{"dirA", "dirB", "a.txt", "b.txt", "c.txt", "d.txt"}},
		{"unknown", "colour", false, []string{"dirA", "dirB", "a.txt", "b.txt", "c.txt", "d.txt"}},
		{"name down", ByName, true, []string{"dirB", "dirA", "d.txt", "c.txt", "b.txt", "a.txt"}},
		{"size", BySize, false, []string{"dirA", "dirB", "b.txt", "c.txt", "d.txt", "a.txt"}},
		{"size down", BySize, true, []string{"dirA", "dirB", "a.txt", "d.txt", "b.txt", "c.txt"}},
		{"time", ByTime, false, []string{"dirB", "dirA", "d.txt", "c.txt", "b.txt", "a.txt"}},
		{"time down", ByTime, true, []string{"dirA", "dirB", "a.txt", "b.txt", "c.txt", "d.txt"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			page := Page{Entries: entries, Sort: tt.sort, Desc: tt.desc}
			var got []string
			for _, e := range page.sorted() {
				got = append(got, e.Name)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("order (-want +got):\n%s", diff)
			}
			if page.Entries[0].Name != "b.txt" {
				t.Error("the caller's entries were moved")
			}
		})
	}
}

func TestSize(t *testing.T) {
	for size, want := range map[int64]string{
		0: "0 B", 1: "1 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB",
		10188: "9.9 KiB", 10189: "10 KiB", 10240: "10 KiB", 1048063: "1023 KiB", 1048064: "1.0 MiB",
		1 << 20: "1.0 MiB", 24<<20 + 12345: "24 MiB", 1 << 30: "1.0 GiB", 3 << 40: "3.0 TiB",
		1 << 50: "1.0 PiB", 1<<63 - 1: "8.0 EiB",
	} {
		if got := formatSize(size); got != want {
			t.Errorf("size %d is shown as %q, want %q", size, got, want)
		}
	}
}
