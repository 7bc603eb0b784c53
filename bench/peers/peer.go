// Goroutines. See peer.h.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
)

const (
	batch = 100
	room  = 10
	size  = 100
)

func wait(done chan struct{}, count int) {
	for i := 0; i < count; i++ {
		<-done
	}
}

func spawnN(count int) {
	done := make(chan struct{}, batch)
	for i := 0; i < count; i += batch {
		for k := 0; k < batch; k++ {
			go func() { done <- struct{}{} }()
		}
		wait(done, batch)
	}
}

func spawn(count int) {
	result := make(chan *int, 1)
	value := new(int)
	for i := 0; i < count; i++ {
		go func() { result <- value }()
		if <-result != value {
			panic("another result")
		}
	}
}

func switches(threads int) func(int) {
	return func(count int) {
		done := make(chan struct{}, threads)
		for k := 0; k < threads; k++ {
			go func() {
				for i := 0; i < count/threads; i++ {
					runtime.Gosched()
				}
				done <- struct{}{}
			}()
		}
		wait(done, threads)
	}
}

func through(room int) func(int) {
	return func(count int) {
		queue := make(chan *int, room)
		value := new(int)
		go func() {
			for i := 0; i < count; i++ {
				queue <- value
			}
		}()
		for i := 0; i < count; i++ {
			<-queue
		}
	}
}

func pool(count int) {
	slots := make(chan struct{}, size)
	for i := 0; i < count; i++ {
		slots <- struct{}{}
		go func() { <-slots }()
	}
	for i := 0; i < size; i++ {
		slots <- struct{}{}
	}
}

func cpu() int64 {
	var spent syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &spent); err != nil {
		panic(err)
	}
	return spent.Utime.Nano() + spent.Stime.Nano()
}

func main() {
	cases := map[string]func(int){
		"spawn_n": spawnN, "spawn": spawn, "switch-2": switches(2), "switch-100": switches(100),
		"queue": through(room), "channel": through(0), "pool": pool,
	}
	run, seconds := cases[os.Args[1]], 0.0
	if run == nil || len(os.Args) != 3 {
		os.Exit(2)
	}
	seconds, _ = strconv.ParseFloat(os.Args[2], 64)
	for count := 1000; ; count *= 2 {
		start := cpu()
		run(count)
		if spent := float64(cpu() - start); spent >= seconds*1e9 {
			fmt.Printf("%.1f\n", spent/float64(count))
			return
		}
	}
}
