package store

import (
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.uber.org/zap"
)

const scanners = 4 // directories read at a time

// scan finds the files of an earlier run: only names and sizes, heads are read
// when they are asked for.
func (d *Disk) scan() {
	began := time.Now()
	outer, err := os.ReadDir(d.dir)
	if err != nil {
		d.fault("read the cache directory", err)
	}
	dirs := make(chan string)
	var workers sync.WaitGroup
	for range scanners {
		workers.Go(func() {
			for dir := range dirs {
				d.scanDir(dir)
			}
		})
	}
feed:
	for _, f := range outer {
		if len(f.Name()) != 2 || !f.IsDir() {
			continue
		}
		select {
		case dirs <- filepath.Join(d.dir, f.Name()):
		case <-d.stop:
			break feed
		}
	}
	close(dirs)
	workers.Wait()
	select {
	case <-d.stop:
		return
	default:
	}
	d.scanned.Store(true)
	if count, bytes := d.index.totals(); count > 0 {
		d.log.Info("cache: the stored responses are counted",
			zap.Int("responses", count), zap.Int64("bytes", bytes), zap.Duration("took", time.Since(began)))
	}
	d.evict(d.size)
}

func (d *Disk) scanDir(dir string) {
	inner, err := os.ReadDir(dir)
	if err != nil {
		d.fault("read a cache directory", err)
		return
	}
	for _, sub := range inner {
		select {
		case <-d.stop:
			return
		default:
		}
		files, err := os.ReadDir(dir + "/" + sub.Name())
		if err != nil {
			d.fault("read a cache directory", err)
			continue
		}
		for _, f := range files {
			d.found(f)
		}
	}
}
