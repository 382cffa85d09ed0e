package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// serve answers every request with the host's name, which in a pod is the pod's.
func serve(address string) error {
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	server := &http.Server{
		Addr:              address,
		ReadHeaderTimeout: 5 * time.Second,
		Handler: http.HandlerFunc(func(response http.ResponseWriter, _ *http.Request) {
			fmt.Fprintln(response, name)
		}),
	}
	return server.ListenAndServe()
}

// get prints the body at url. It gives up soon, since tests ask it whether a network is cut.
func get(url string) error {
	client := &http.Client{Timeout: 3 * time.Second}
	response, err := client.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", url, response.Status)
	}
	_, err = io.Copy(os.Stdout, io.LimitReader(response.Body, 1<<20))
	return err
}
