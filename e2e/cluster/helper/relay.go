package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"time"
)

// relay accepts connections on a listening socket that it inherits and joins each to a new one to
// target. The socket was made in another network namespace than the one relay runs in: that is the
// whole bridge between the host and the cluster.
func relay(descriptor, target string) error {
	number, err := strconv.Atoi(descriptor)
	if err != nil {
		return fmt.Errorf("file descriptor %q: %w", descriptor, err)
	}
	listener, err := net.FileListener(os.NewFile(uintptr(number), "listener"))
	if err != nil {
		return fmt.Errorf("file descriptor %d is no listening socket: %w", number, err)
	}
	for {
		client, err := listener.Accept()
		if err != nil {
			return err
		}
		go join(client.(*net.TCPConn), target)
	}
}

func join(client *net.TCPConn, target string) {
	defer client.Close()
	connection, err := net.DialTimeout("tcp", target, 5*time.Second)
	if err != nil {
		return
	}
	server := connection.(*net.TCPConn)
	defer server.Close()
	var directions sync.WaitGroup
	directions.Add(2)
	for _, pair := range [][2]*net.TCPConn{{server, client}, {client, server}} {
		go func() {
			defer directions.Done()
			_, _ = io.Copy(pair[0], pair[1])
			// The other direction may still have something to say.
			_ = pair[0].CloseWrite()
		}()
	}
	directions.Wait()
}
