// Command helper holds the small programs that the cluster needs beside Kubernetes: the process that
// keeps a set of namespaces (or a pod's) alive, the relay that lets the host reach the API server,
// and the server and client that the self-test runs in pods. One static binary without dependencies,
// so that it can be an image of its own.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	switch {
	case len(arguments) == 1 && arguments[0] == "pause":
		pause()
		return nil
	case len(arguments) == 3 && arguments[0] == "relay":
		return relay(arguments[1], arguments[2])
	case len(arguments) == 2 && arguments[0] == "serve":
		return serve(arguments[1])
	case len(arguments) == 2 && arguments[0] == "get":
		return get(arguments[1])
	}
	return fmt.Errorf("usage: helper pause | relay FD HOST:PORT | serve HOST:PORT | get URL")
}

// pause reaps the orphans of its process namespace until it is told to stop. As first process of the
// namespace it gets only the signals that it asks for, and its end ends all the others.
func pause() {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGCHLD, syscall.SIGTERM, syscall.SIGINT)
	for received := range signals {
		if received != syscall.SIGCHLD {
			return
		}
		// Several ends may have made one signal.
		for {
			pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
			if pid <= 0 || err != nil {
				break
			}
		}
	}
}
