"""A Kubernetes cluster made of namespaces on one Linux machine. `../run` is its command line."""
