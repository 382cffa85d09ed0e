// Command interop runs the cases with the official Go client against one server.
//
// It prints "ok NAME" or "FAIL NAME: why" for each case, then "N passed, N failed", and exits with 0
// only if every case passed. Cases use fresh topics and groups, so they neither disturb each other
// nor the next run on the same server.
package main

import (
	"flag"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/apache/rocketmq-client-go/v2/rlog"
)

// A testCase is one thing a user does with the client; run reports what is wrong with the outcome.
type testCase struct {
	name string
	run  func(*session) error
}

func main() {
	namesrv := flag.String("namesrv", "", "name server, host:port")
	broker := flag.String("broker", "", "broker, host:port: this client's admin cannot look it up")
	wanted := flag.String("case", "all", "the case to run")
	threads := flag.Int("threads", 6, "cases at the same time")
	flag.Parse()
	rlog.SetLogLevel("fatal")

	server, err := connect(*namesrv, *broker)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	passed, failed := runAll(server, *wanted, *threads)
	fmt.Printf("%d passed, %d failed\n", passed, failed)
	if failed > 0 || passed == 0 {
		os.Exit(1)
	}
}

func runAll(server *server, wanted string, threads int) (passed, failed int) {
	var all sync.WaitGroup
	var counts sync.Mutex
	free := make(chan struct{}, threads)
	for _, one := range append(sendCases, consumeCases...) {
		if wanted != "all" && wanted != one.name {
			continue
		}
		all.Add(1)
		go func() {
			defer all.Done()
			free <- struct{}{}
			defer func() { <-free }()
			start := time.Now()
			err := attempt(one, server)
			counts.Lock()
			defer counts.Unlock()
			if err != nil {
				failed++
				fmt.Printf("FAIL %s: %v\n", one.name, err)
				return
			}
			passed++
			fmt.Printf("ok %s # %.1f s\n", one.name, time.Since(start).Seconds())
		}()
	}
	all.Wait()
	return passed, failed
}

func attempt(one testCase, server *server) (err error) {
	session := &session{server: server}
	defer session.close()
	defer func() {
		if panicked := recover(); panicked != nil {
			err = fmt.Errorf("panic: %v", panicked)
		}
	}()
	return one.run(session)
}
