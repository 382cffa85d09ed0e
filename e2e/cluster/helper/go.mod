module rocketkube/e2e/cluster/helper

go 1.24
